"""What is in a data set."""

from __future__ import annotations

import numpy as np
import pytest

from pdnet.report import dataset
from tests.helpers import disc, make_tree, save_image


def test_people_are_counted_measured_and_followed_frame_by_frame(tmp_path):
    data = make_tree(tmp_path / "data", train=("a/one",), val=("two",), frames=3)
    masks = sorted((data / "Annotations/480p/two").glob("*.png"))
    one, other = disc((48, 64), (24, 16), 8), disc((48, 64), (24, 48), 8)
    for path, mask in zip(masks, (one, one, one | other), strict=True):
        save_image(path, mask.astype(np.uint8) * 255)
    rows = dataset.people_table(data)
    assert list(rows.groupby("clip", sort=False).size()) == [3, 3]
    two = rows[rows["clip"] == "two"]
    assert set(two.split) == {"val"} and list(two.people) == [1, 1, 2]
    # the second disc doubles the mask: one half of the union was there before
    assert list(two.motion) == pytest.approx([0, 0, 0.5], abs=0.01)
    assert two["size"].iloc[0] == pytest.approx(one.mean())


def test_clips_of_one_length_stand_on_an_axis_of_frames(tmp_path):
    axis = dataset.frames_figure(make_tree(tmp_path / "data", frames=6)).axes[0]
    low, high = axis.get_xlim()
    assert low <= 6 - 2 and high >= 6 + 2
    assert all(float(tick).is_integer() for tick in axis.get_xticks())
