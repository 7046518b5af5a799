"""Trees of people: clips of several are one data set, photographs come by their set's name."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from pdnet.config import Config, load_config
from pdnet.data.layout import image_pairs, read_tree
from pdnet.errors import InputError
from pdnet.sources.clips import download
from tests.helpers import ROOT, TINY, disc, make_tree, save_image, write_params

SHARED = ROOT.parent / "shared"
LISTS = ("train", "val")


def photographs(folder: Path, stems: tuple[str, ...] = ("a", "b")) -> None:
    """A set: FOLDER/{img,mask}."""
    for stem in stems:
        save_image(folder / f"img/{stem}.jpg", np.zeros((40, 50, 3), np.uint8))
        save_image(folder / f"mask/{stem}.png", disc((40, 50), (20, 20), 9).astype(np.uint8) * 255)


@pytest.fixture
def root(tmp_path) -> Path:
    """Two trees: `one` has clips and the set street, `two` clips, `three` the set beach alone."""
    root = tmp_path / "roots"
    make_tree(root / "one", train=("swing", "kite"), val=("hockey",), frames=2)
    make_tree(root / "two", train=("dance/b", "dance/a"), val=("twirl",), frames=2)
    photographs(root / "one/images/street")
    photographs(root / "three/images/beach", ("c",))
    return root


def config(tmp_path: Path, **data: object) -> Config:
    values = {"source": "people", "trees": ["one", "two", "three"], "image_sets": [], **data}
    values.setdefault("root", str(tmp_path / "roots"))
    changes = {f"data__{name}": value for name, value in values.items()}
    return load_config(write_params(tmp_path / "config.yaml", **{**TINY, **changes}))


def brought(tmp_path: Path, **data: object) -> Path:
    raw = tmp_path / "project/raw"
    source = tmp_path / "source"
    if not source.is_dir():
        shutil.copytree(ROOT / "pipelines/sample", source)
    download(config(tmp_path, **data), source, raw)
    return raw


def refusal(tmp_path: Path, **data: object) -> str:
    """The one line of what is refused before anything is written."""
    with pytest.raises(InputError) as error:
        brought(tmp_path, **data)
    assert "\n" not in str(error.value) and not (tmp_path / "project/raw/ImageSets").exists()
    return str(error.value)


def lists(raw: Path) -> dict[str, list[str]]:
    return {split: (raw / f"ImageSets/{split}.txt").read_text().split() for split in LISTS}


def test_clips_of_all_trees_are_one_data_set_in_the_trees_order(tmp_path, root, capsys):
    raw = brought(tmp_path, image_sets=["street", "beach"])
    assert lists(raw) == {
        "train": ["swing", "kite", "dance/b", "dance/a"],
        "val": ["hockey", "twirl"],
    }
    assert all(len(clip.frames) == 2 for clip in read_tree(raw).every_clip())
    frame = raw / "Keyframes/480p/dance/a/00000.jpg"
    assert frame.resolve() == root / "two/Keyframes/480p/dance/a/00000.jpg"
    pairs = [(image.parent.parent.name, image.stem) for image, _ in image_pairs(raw)]
    assert pairs == [("beach", "c"), ("street", "a"), ("street", "b")]
    assert "street: 2 images\n" in capsys.readouterr().err, "the paper has no such set"
    raw = brought(tmp_path, trees=["two", "one"])
    assert lists(raw)["train"] == ["dance/b", "dance/a", "swing", "kite"]
    assert not image_pairs(raw)


def test_a_clip_of_two_trees_is_refused_by_name_whatever_its_list(tmp_path, root):
    make_tree(root / "more", train=("hockey",), val=("new",), frames=2)
    said = refusal(tmp_path, trees=["one", "more"])
    assert "clip 'hockey' is in" in said and str(root / "one") in said and "more" in said


def test_a_set_of_two_trees_is_refused_by_name_unless_one_is_meant(tmp_path, root):
    photographs(root / "three/images/street", ("x", "y", "z"))
    said = refusal(tmp_path, image_sets=["street"])
    assert "'street' is in" in said and "one/images" in said and "three/images" in said
    meant = brought(tmp_path, image_sets=["street"], image_root=str(root / "three/images"))
    assert len(image_pairs(meant)) == 3


def test_leftovers_of_a_set_are_counted_and_left_out(tmp_path, root, capsys):
    (root / "one/images/street/mask/a.png").unlink()
    raw = brought(tmp_path, image_sets=["street"])
    assert [image.stem for image, _ in image_pairs(raw)] == ["b"]
    assert "street: 1 files without a partner left out (first: a)" in capsys.readouterr().err
    (root / "one/images/street/mask/b.png").unlink()
    save_image(root / "one/images/street/mask/c.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match="no image in img/ has a mask of its name in mask/"):
        brought(tmp_path, image_sets=["street"])


def test_the_paper_s_sets_keep_their_folders_in_a_tree(tmp_path, root):
    shutil.move(root / "one/images/street/img", root / "one/images/EG1800/Images")
    shutil.move(root / "one/images/street/mask", root / "one/images/EG1800/Labels")
    assert len(image_pairs(brought(tmp_path, image_sets=["eg1800"]))) == 2


def test_rendered_clips_only_train_beside_real_ones(tmp_path, root):
    scenes = yaml.safe_load((ROOT / "pipelines/sample/scenes.yaml").read_text())["clips"]
    chosen = [next(clip for clip in scenes if clip["split"] == split) for split in LISTS]
    source = tmp_path / "source/scenes.yaml"
    source.parent.mkdir()
    source.write_text(yaml.safe_dump({"clips": [{**clip, "frames": 6} for clip in chosen]}))
    raw = brought(tmp_path, trees=["sample", "one"], image_sets=["sample"], sample_images=1)
    assert lists(raw) == {"train": [chosen[0]["name"], "swing", "kite"], "val": ["hockey"]}
    assert not (raw / "Keyframes/480p" / chosen[1]["name"]).exists()
    assert len(image_pairs(raw)) == 1


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"trees": ["one", "nine"]}, "data.trees: no folder {root}/nine"),
        ({"trees": ["../roots/one"]}, "data.trees: '../roots/one' leads out of data.root"),
        ({"trees": ["one/images"]}, "{root}/one/images: neither clips"),
        ({"trees": ["three"]}, "data.trees: no clips"),
        ({"trees": []}, "data.trees: no clips"),
        ({"root": None}, "data.root: not set; set it to the folder that holds one, two, three"),
        ({"image_sets": ["foo"]}, "'foo' is not there, looked for {root}/one/images/foo, {root}/"),
        ({"image_sets": ["foo"], "image_root": "{root}"}, "{root}/foo/img: no such folder"),
        ({"licences": [4]}, "data.licences: no picture of MSCOCO"),
    ],
)
def test_what_is_not_there_is_one_line_that_says_where_was_looked(tmp_path, root, data, says):
    data = {
        name: value.format(root=root) if isinstance(value, str) else value
        for name, value in data.items()
    }
    assert says.format(root=root) in refusal(tmp_path, **data)


def test_a_tree_among_the_project_s_own_folders_is_refused(tmp_path, root, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = make_tree(tmp_path / "data/480p", frames=2)
    (root / "link").symlink_to(made)
    before = {file: file.read_bytes() for file in made.rglob("*.*")}
    assert "which the pipeline writes; nothing was touched" in refusal(tmp_path, trees=["link"])
    assert {file: file.read_bytes() for file in made.rglob("*.*")} == before


@pytest.mark.skipif(
    not (SHARED / "people").is_dir() or not (SHARED / "davis2016_people").is_dir(),
    reason="needs the hand-outs ../shared/people and ../shared/davis2016_people",
)
def test_the_profile_people_composes_the_hand_outs(tmp_path):
    """Counts: the READMEs of the two folders."""
    params = write_params(
        tmp_path / "p.yaml", profile="people", data__root=str(SHARED), machine__workers=1
    )
    download(load_config(params), tmp_path / "none", tmp_path / "raw")
    sets = [image.parent.parent.name for image, _ in image_pairs(tmp_path / "raw")]
    counts = {name: sets.count(name) for name in sets}
    assert counts == {"ccp": 1004, "voc": 556, "penn": 170}
    clips = {clip.name: len(clip.frames) for clip in read_tree(tmp_path / "raw").every_clip()}
    assert len(clips) == 12 and clips["hockey"] == 75 and clips["dance-twirl"] == 90
    assert lists(tmp_path / "raw")["val"] == ["hockey", "dance-twirl"]
