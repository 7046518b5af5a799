"""Clips and networks are found by name, computed once, and seen to have changed."""

from __future__ import annotations

import pytest

from pdnet.errors import InputError
from pdnet.model.checkpoint import save_network
from pdnet.report.checkpoints import checkpoints_at_hand, the_checkpoint
from pdnet.report.library import Library
from tests.helpers import make_tree, small


@pytest.fixture
def library(tmp_path):
    return Library(make_tree(tmp_path / "tree"), threshold=0.5, people="all")


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "network.safetensors"
    save_network(small(), path)
    return path


def test_a_wrong_clip_name_lists_the_clips(library):
    with pytest.raises(InputError, match="no clip 'a/four'; known: a/one, a/two, b/three"):
        library.clip("a/four")
    assert library.set_of("a/two") == "train" and library.set_of("b/three") == "val"


def test_outputs_are_computed_once_until_the_file_changes(library, checkpoint):
    first = library.outputs("b/three", checkpoint)
    assert library.outputs("b/three", checkpoint) is first
    save_network(small(parts=4), checkpoint)
    again = library.outputs("b/three", checkpoint)
    assert again is not first and len(again.part_masks[0]) == 4


def test_a_checkpoint_that_says_how_to_cut_is_cut_so(library, checkpoint, tmp_path):
    noted = tmp_path / "noted.safetensors"
    save_network(small(), noted, {"segment": {"threshold": 0.999999}})
    strict, usual = (library.outputs("b/three", path) for path in (noted, checkpoint))
    assert sum(map(int, (mask.sum() for mask in strict.masks))) < sum(
        map(int, (mask.sum() for mask in usual.masks))
    )


def test_checkpoints_are_listed_by_what_they_are(tmp_path):
    models, results = tmp_path / "models", tmp_path / "results"
    places = [
        models / "pdnet.safetensors",
        models / "ablation/no-ipda/2/pdnet.safetensors",
        models / "ablation/no-ipda/10/pdnet.safetensors",
        results / "ablation/no-ipda/pdnet.safetensors",
        results / "ablation/one-part/pdnet.safetensors",
        results / "comparison/cosnet/pdnet.safetensors",
    ]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"")
    found = checkpoints_at_hand(models, results)
    titles = list(found)
    assert titles[0] == "main training" and found["main training"] == places[0]
    assert titles[1:3] == ["without IPDA and fusion, seed 2", "without IPDA and fusion, seed 10"]
    assert found["p = 1"] == places[4], "whose seeds are gone"
    assert any(title.startswith("compared: COSNet") for title in titles)
    assert {"shipped: people", "shipped: free"} <= set(titles)


def test_a_checkpoint_is_named_by_title_path_or_place(tmp_path, checkpoint):
    at_hand = {"main training": tmp_path / "a", "other": tmp_path / "b"}
    assert the_checkpoint("other", at_hand) == tmp_path / "b"
    assert the_checkpoint(str(checkpoint), at_hand) == checkpoint
    assert the_checkpoint(None, at_hand, 5) == tmp_path / "b"
    with pytest.raises(InputError, match="no such checkpoint; at hand: main training, other"):
        the_checkpoint("/no/such", at_hand)
    with pytest.raises(InputError, match="no trained network at hand"):
        the_checkpoint(None, {})
