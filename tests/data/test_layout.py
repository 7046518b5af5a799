"""The MVPS layout: a sound tree, and every fault of one by name."""

from __future__ import annotations

import numpy as np
import pytest

from pdnet.data.layout import Clip, check, image_pairs, problems, read_tree
from pdnet.errors import InputError
from tests.helpers import TINY, make_tree, save_image, write_params


def test_a_sound_tree(tree):
    read = read_tree(tree)
    assert [c.name for c in read.clips("train")] == ["a/one", "a/two"] and read.clips("val")[
        0
    ].category == "b"
    assert read.clips("val")[0].frames == ("00000", "00005", "00010", "00015", "00020")
    assert problems(read) == []


def spoil_mask(tree):
    (tree / "Annotations/480p/a/one/00005.png").unlink()


def spoil_frame(tree):
    (tree / "Keyframes/480p/a/one/00005.jpg").unlink()


def spoil_size(tree):
    save_image(tree / "Annotations/480p/a/one/00005.png", np.zeros((10, 12), np.uint8))


def spoil_jpeg(tree):
    file = tree / "Keyframes/480p/a/one/00005.jpg"
    file.write_bytes(file.read_bytes()[:-40])


def spoil_rubbish(tree):
    (tree / "Keyframes/480p/a/one/00005.jpg").write_bytes(b"rubbish")


def spoil_listed(tree):
    (tree / "ImageSets/train.txt").write_text("a/one\na/two\nz/gone\n")


def spoil_empty(tree):
    for kind in ("Keyframes", "Annotations"):
        for file in (tree / kind / "480p/a/one").iterdir():
            file.unlink()


def spoil_both(tree):
    (tree / "ImageSets/train.txt").write_text("a/one\na/two\nb/three\n")


def spoil_twice(tree):
    (tree / "ImageSets/train.txt").write_text("a/one\na/two\na/one\n")


FAULTS = [
    (spoil_mask, "a/one/00005: missing mask"),
    (spoil_frame, "a/one/00005: missing frame"),
    (spoil_size, "mask is 12x10, its frame 64x48"),
    (spoil_jpeg, "truncated JPEG"),
    (spoil_rubbish, "not a readable image"),
    (spoil_listed, "z/gone: in a split list but not on disk"),
    (spoil_empty, "a/one: empty clip"),
    (spoil_both, "'b/three' is in both"),
    (spoil_twice, "'a/one' is listed twice"),
]


@pytest.mark.parametrize(("spoil", "says"), FAULTS)
def test_every_fault_is_named_and_ends_with_status_2(cli, tree, tmp_path, monkeypatch, spoil, says):
    spoil(tree)
    params = write_params(
        tmp_path / "p.yaml", **TINY, data__source="mvps", data__root=str(tree), data__image_sets=[]
    )
    monkeypatch.chdir(tmp_path)
    status, text = cli("download", "--params", params)
    assert status == 2 and says in text and "1 problem(s)" in text, text


def test_many_faults_are_cut_at_twenty_lines_and_counted(tmp_path):
    tree = make_tree(tmp_path, frames=30)
    for file in (tree / "Annotations/480p/a/one").iterdir():
        file.unlink()
    with pytest.raises(InputError) as error:
        check(read_tree(tree))
    lines = str(error.value).splitlines()
    assert "30 problem(s)" in lines[0] and len(lines) == 22 and lines[-1] == "... and 10 more"


def test_a_list_that_leads_out_of_the_tree_is_refused(tree):
    (tree / "ImageSets/val.txt").write_text("../../etc\n")
    with pytest.raises(InputError, match="leads out"):
        read_tree(tree)


def test_an_image_without_mask_is_named(tmp_path):
    save_image(tmp_path / "Images/x/img/1.jpg", np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "Images/x/mask").mkdir()
    with pytest.raises(InputError, match="x/1: image without mask"):
        image_pairs(tmp_path)


def test_the_first_and_last_annotated_frame_are_not_scored_unless_asked_for(tree):
    clip = read_tree(tree).clips("val")[0]
    assert clip.scored_frames() == clip.frames[1:-1]
    assert clip.scored_frames(include_first_last=True) == clip.frames


def test_a_clip_of_two_frames_has_none_to_score_without_its_first_and_last(tmp_path):
    clip = Clip(tmp_path, "b/short", ("00000", "00005"))
    with pytest.raises(InputError, match=r"b/short: 2 annotated frame.*--include-first-last"):
        clip.scored_frames()
    assert clip.scored_frames(include_first_last=True) == ("00000", "00005")
