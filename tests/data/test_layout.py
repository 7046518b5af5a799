"""The MVPS layout: a sound tree, and every fault of one by name."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from pdnet.data.layout import Clip, check, data_hash, image_pairs, problems, read_tree
from pdnet.data.lists import read_list
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


def spoil_both_by_another_name(tree):
    (tree / "ImageSets/train.txt").write_text("a/one\na/two\n./b//three/\n")


def spoil_cut_mask(tree):
    file = tree / "Annotations/480p/a/one/00005.png"
    file.write_bytes(file.read_bytes()[:-20])


def spoil_two_frames(tree):
    save_image(tree / "Keyframes/480p/a/one/00005.png", np.zeros((48, 64, 3), np.uint8))


def spoil_two_masks(tree):
    folder = tree / "Annotations/480p/a/one"
    shutil.copy(folder / "00005.png", folder / "00005.PNG")


FAULTS = [
    (spoil_mask, "a/one/00005: missing mask"),
    (spoil_frame, "a/one/00005: missing frame"),
    (spoil_size, "mask is 12x10, its frame 64x48"),
    (spoil_jpeg, "truncated JPEG"),
    (spoil_rubbish, "not a readable image"),
    (spoil_listed, "z/gone: in a split list, but no frames and no masks"),
    (spoil_empty, "a/one: in a split list, but no frames and no masks"),
    (spoil_both, "'b/three' is in both"),
    (spoil_both_by_another_name, "'b/three' is in both"),
    (spoil_cut_mask, "a/one/00005.png: truncated PNG"),
    (spoil_two_frames, "a/one: 00005.jpg and 00005.png are one frame; keep one"),
    (spoil_two_masks, "a/one: 00005.PNG and 00005.png are one frame; keep one"),
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


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"../../etc", "line 1: '../../etc' leads out of the data set"),
        (b"b/three\n/etc", "line 2: '/etc' leads out of the data set"),
        (b"C:\\films\\three", "line 1: .* leads out of the data set"),
        (b"b/three\n\n./", "line 3: './' is no clip name"),
        (b"b/one, two", "line 1: 'b/one, two' is no clip name"),
        (b"b/th\x00ree", "line 1: .* is no clip name"),
        (b"b/th\x0bree", "line 1: .* is no clip name"),
        (b"b/three\nb/four\nb/three", "line 3: clip 'b/three' is listed twice, first in line 1"),
        (b"b/three\n./b//three/", "line 2: clip 'b/three' is listed twice"),
        (b"b/three\nb/f\xfcnf", "line 2: not UTF-8; save"),
        ("b/three\n".encode("utf-16"), "line 1: not UTF-8; save"),
    ],
)
def test_a_bad_line_of_a_list_is_refused_by_file_and_number_in_every_command(
    cli, tree, tmp_path, text, says
):
    (tree / "ImageSets/val.txt").write_bytes(text)
    with pytest.raises(InputError, match=rf"ImageSets/val\.txt, {says}"):
        read_tree(tree)
    status, printed = cli("evaluate", tree / "Annotations/480p", tree, "--out", tmp_path / "out")
    assert status == 2 and printed.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfb/three\nb/f\xc3\xbcnf",
        b"b\\three\r\nb\\f\xc3\xbcnf\r\n",
        b" ./b/three/ \r\rb//./f\xc3\xbcnf",
    ],
)
def test_a_list_may_have_a_byte_order_mark_and_the_ways_of_windows(tree, text):
    (tree / "ImageSets/val.txt").write_bytes(text)
    assert read_list(tree, "val") == ["b/three", "b/fünf"]


def test_a_folder_in_place_of_a_list_is_one_line(tree):
    for name in ("train", "val"):
        (tree / f"ImageSets/{name}.txt").unlink()
    (tree / "ImageSets/val.txt").mkdir()
    with pytest.raises(InputError, match=r"ImageSets/val.txt: a folder; expected a text file"):
        read_tree(tree)


def test_a_list_in_a_loop_of_links_is_one_line(tree):
    for name, other in (("train", "val"), ("val", "train")):
        (tree / f"ImageSets/{name}.txt").unlink()
        (tree / f"ImageSets/{name}.txt").symlink_to(tree / f"ImageSets/{other}.txt")
    with pytest.raises(InputError, match="no ImageSets/train.txt"):
        read_tree(tree)


@pytest.mark.parametrize("change", [str.upper, str.title])
def test_suffixes_may_have_any_case(tree, change):
    for kind in ("Keyframes", "Annotations"):
        for file in (tree / kind / "480p/b/three").iterdir():
            file.rename(file.with_suffix(change(file.suffix)))
    read = read_tree(tree)
    assert problems(read) == []
    clip = read.clips("val")[0]
    assert clip.frame("00005").name == f"00005{change('.jpg')}"
    assert clip.mask("00005").name == f"00005{change('.png')}"
    assert clip.frame("missing").name == "missing.jpg" and clip.mask("no").name == "no.png"


def test_hidden_files_are_no_frames(tree):
    for kind, suffix in (("Keyframes", "jpg"), ("Annotations", "png")):
        (tree / kind / f"480p/b/three/.writing-0.{suffix}").write_bytes(b"half")
    read = read_tree(tree)
    assert len(read.clips("val")[0].frames) == 5 and problems(read) == []


def test_a_trees_hash_is_of_names_and_contents_and_not_of_hidden_files(tree):
    # what the hash of a tree without odd names is must not move: it names runs that are done
    plain = hashlib.sha256()
    for file in sorted((tree / "Keyframes").rglob("*.jpg")):
        plain.update(str(file.relative_to(tree)).encode())
        plain.update(hashlib.sha256(file.read_bytes()).hexdigest().encode())
    assert data_hash(tree, ["Keyframes"]) == plain.hexdigest()
    (tree / "Keyframes/.writing-0.jpg").write_bytes(b"half")
    assert data_hash(tree, ["Keyframes"]) == plain.hexdigest()
    Path(os.fsdecode(os.fsencode(tree / "Keyframes") + b"/no-utf8-\xff")).touch()
    assert data_hash(tree, ["Keyframes"]) != plain.hexdigest()


def test_two_images_of_one_name_are_refused(tmp_path):
    for name in ("img/1.jpg", "img/1.png", "mask/1.png"):
        save_image(tmp_path / "Images/x" / name, np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(InputError, match=r"img: 1.jpg and 1.png are one frame; keep one"):
        image_pairs(tmp_path)


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
