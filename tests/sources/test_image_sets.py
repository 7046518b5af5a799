"""Image sets are paired by name, with their own senses of a label."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pdnet.base.manifest import Brought, Hashes, bring
from pdnet.data.images import read_frame, read_labels, read_mask
from pdnet.data.layout import image_pairs
from pdnet.errors import InputError
from pdnet.sources.image_sets import image_set_units, say_counts
from tests.helpers import save_image


def bring_sets(names: list[str], folder: Path) -> Brought:
    raw = folder / "raw"
    hashes = Hashes(raw)
    units = image_set_units(names, root=str(folder / "sets"), hashes=hashes)
    brought = bring(raw, units, "images", hashes=hashes, workers=1)
    say_counts(names, raw)
    return brought


def test_eg1800_labels_are_0_and_1_and_gone_photographs_do_not_shift_the_pairs(tmp_path, capsys):
    root = tmp_path / "sets/EG1800"
    for i in (1, 2, 3):
        label = np.zeros((30, 40), np.uint8)
        label[:, :i] = 1
        save_image(root / f"Labels/{i:05d}.png", label)
        if i != 2:  # a photograph that its owner took down
            save_image(root / f"Images/{i:05d}.png", np.full((30, 40, 3), i, np.uint8))
    bring_sets(["eg1800"], tmp_path)
    pairs = image_pairs(tmp_path / "raw")
    assert [a.stem for a, _ in pairs] == ["00001", "00003"]
    for image, mask in pairs:
        assert read_frame(image)[0, 0, 0] == int(image.stem) and read_mask(mask).sum() == 30 * int(
            image.stem
        )
        assert set(np.unique(read_labels(mask))) == {0, 255}
    text = capsys.readouterr().err
    assert "1 files without a partner" in text and "2 images (the paper has 1,735)" in text


def square(x, y, side):
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def test_coco_is_the_union_of_people_that_are_no_crowd_of_at_least_5000_pixels(tmp_path, capsys):
    root = tmp_path / "sets/coco"
    size = {"height": 200, "width": 300}
    images = [{"id": i, "file_name": f"{i:012d}.jpg", **size} for i in (1, 2, 3)]
    crowd = {"size": [200, 300], "counts": [0, 60000]}
    annotations = [
        {"image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": square(10, 10, 60)},
        {
            "image_id": 1,
            "category_id": 1,
            "iscrowd": 0,
            "segmentation": square(40, 40, 60),
        },  # together large enough
        {
            "image_id": 1,
            "category_id": 18,
            "iscrowd": 0,
            "segmentation": square(200, 100, 80),
        },  # a dog
        {"image_id": 2, "category_id": 1, "iscrowd": 1, "segmentation": crowd},  # only a crowd
        {
            "image_id": 3,
            "category_id": 1,
            "iscrowd": 0,
            "segmentation": square(10, 10, 40),
        },  # too small
    ]
    tables = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
    }
    (root / "annotations").mkdir(parents=True)
    (root / "annotations/instances_train2017.json").write_text(json.dumps(tables))
    for image in images:
        save_image(root / "train2017" / image["file_name"], np.zeros((200, 300, 3), np.uint8))
    bring_sets(["coco_person"], tmp_path)
    ((_, mask),) = image_pairs(tmp_path / "raw")
    assert mask.stem == f"{1:012d}"
    assert (
        abs(int(read_mask(mask).sum()) - (2 * 3600 - 900)) < 130
    )  # two squares of 60 that share one of 30
    assert "the paper has 49,479" in capsys.readouterr().err
    again = bring_sets(["coco_person"], tmp_path)
    assert again.made == 0, "the picture whose people are too small is not looked at again"


def test_any_folder_is_a_set_by_its_name(tmp_path, capsys):
    root = tmp_path / "sets/my-Set_2"
    for stem, side in (("b", 3), ("a", 2), ("only image", 0)):
        save_image(root / f"img/{stem}.JPG", np.zeros((30, 40, 3), np.uint8))
        if side:
            label = np.zeros((30, 40), np.uint8)
            label[:side] = 7  # whatever number its owner gave to people
            save_image(root / f"mask/{stem}.png", label)
    bring_sets(["my-Set_2"], tmp_path)
    pairs = image_pairs(tmp_path / "raw")
    assert [mask.relative_to(tmp_path).as_posix() for _, mask in pairs] == [
        "raw/Images/my-Set_2/mask/a.png",
        "raw/Images/my-Set_2/mask/b.png",
    ]
    assert [int(read_mask(mask).sum()) for _, mask in pairs] == [80, 120]
    text = capsys.readouterr().err
    assert "my-Set_2: 1 files without a partner left out (first: only image)" in text
    assert "my-Set_2: 2 images\n" in text
    assert bring_sets(["my-Set_2"], tmp_path).made == 0


def test_the_authors_pack_of_mscoco_tells_no_licences(tmp_path):
    (tmp_path / "COCO_person").mkdir()
    with pytest.raises(InputError, match="does not tell its pictures' licences"):
        image_set_units(["coco_person"], root=str(tmp_path), hashes=Hashes(tmp_path), licences=[4])


def test_image_sets_need_their_folder(tmp_path):
    with pytest.raises(InputError, match="data.image_root"):
        image_set_units(["supervisely"], root=None, hashes=Hashes(tmp_path))
    with pytest.raises(InputError, match="set data.image_root to the folder with foo/"):
        image_set_units(["foo"], root=None, hashes=Hashes(tmp_path))
    with pytest.raises(InputError, match="foo/img: no such folder"):
        image_set_units(["foo"], root=str(tmp_path), hashes=Hashes(tmp_path))
    with pytest.raises(InputError, match="SuperviselyPerson/img"):
        image_set_units(["supervisely"], root=str(tmp_path), hashes=Hashes(tmp_path))
