"""What is held back, and what a weight may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdnet.data.layout import Clip
from pdnet.errors import InputError
from pdnet.training.groups import check_weights, split_holdout, split_images

TRAIN = [Clip(Path(), name, ("0", "1", "2")) for name in ("a", "b")]
VAL = [Clip(Path(), "c", ("0", "1", "2"))]


def test_a_clip_of_the_evaluation_list_is_held_back_only_where_it_is_named():
    assert split_holdout(TRAIN, [], VAL) == (TRAIN, [])
    assert split_holdout(TRAIN, ["c", "a"], VAL) == ([TRAIN[1]], [TRAIN[0], VAL[0]])
    with pytest.raises(InputError, match=r"train\.holdout: 'd' is no clip; known: a, b, c"):
        split_holdout(TRAIN, ["d"], VAL)


def test_an_image_stays_on_its_side_whatever_else_is_there():
    def pairs(numbers: range):
        return [(Path(f"Images/x/img/{i}.jpg"), Path(f"Images/x/mask/{i}.png")) for i in numbers]

    left, kept = split_images(pairs(range(2000)), 0.1)
    assert len(kept) == pytest.approx(200, abs=40)  # three standard deviations
    fewer, same = split_images(pairs(range(0, 2000, 7)), 0.1)
    assert set(same) <= set(kept) and set(fewer) <= set(left)
    assert split_images(pairs(range(9)), 0.0) == (pairs(range(9)), [])


def test_a_weight_of_what_is_not_there_is_refused():
    check_weights({"a": 0.5, "ccp": 2}, ["a", "a", "ccp"])
    with pytest.raises(InputError, match="'ccq' is no training clip and no set of images; known"):
        check_weights({"ccq": 2}, ["a", "ccp"])
