"""MSCOCO's people; files that are not as MSCOCO's are refused before compiled code sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as rle

from pdnet.errors import InputError
from pdnet.sources.coco import People, Rights, read_people, union
from tests.helpers import disc

HEIGHT, WIDTH = 40, 60
SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]


def tables(**changes: Any) -> dict[str, Any]:
    """A file's content: an image, a person in it; values by `image__name` or `person__name`."""
    image = {"id": 7, "file_name": "000007.jpg", "height": HEIGHT, "width": WIDTH}
    person = {"id": 5, "image_id": 7, "category_id": 1, "iscrowd": 0, "segmentation": [SQUARE]}
    for name, value in changes.items():
        part, name = name.split("__")
        {"image": image, "person": person}[part][name] = value
    categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
    return {"images": [image], "annotations": [person], "categories": categories}


def written(root: Path, content: Any) -> Path:
    file = root / "annotations/instances_train2017.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return root


def people(root: Path, **changes: Any) -> People:
    ((stem, path, found),) = read_people(written(root, tables(**changes)))
    assert (stem, path) == ("000007", root / "train2017/000007.jpg")
    return found


def refusal(root: Path, content: Any) -> str:
    with pytest.raises(InputError) as error:
        read_people(written(root, content))
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    return str(error.value)


def run_lengths(mask: np.ndarray, compressed: bool) -> dict[str, Any]:
    """COCO's own encoder, or a plain count of runs."""
    if compressed:
        encoded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
        return {"size": list(mask.shape), "counts": encoded["counts"].decode()}
    flat = np.concatenate([[False], mask.T.ravel(), [not mask[-1, -1]]])
    changes = np.flatnonzero(np.diff(flat))
    return {"size": list(mask.shape), "counts": np.diff([0, *(changes)]).tolist()}


def test_run_lengths_become_the_mask_they_were_made_of(tmp_path):
    draw = np.random.default_rng(0)
    size = HEIGHT, WIDTH
    masks = [disc(size, (20, 30), 12), draw.random(size) < 0.5, draw.random(size) < 0.02]
    for mask in (*masks, np.ones(size, bool), np.zeros(size, bool)):
        for compressed in (True, False):
            given = run_lengths(mask, compressed)
            assert np.array_equal(union(people(tmp_path, person__segmentation=given)), mask)


def test_polygons_are_drawn_as_coco_draws_them(tmp_path):
    # corners a little outside, as other tools write them, stay where they are
    outside = [-3.5, -2, 20, 5, 63, 44.5, 4, 30]
    for polygons in ([SQUARE], [outside], [SQUARE, outside]):
        encoded = rle.merge(rle.frPyObjects(polygons, HEIGHT, WIDTH))
        drawn = union(people(tmp_path, person__segmentation=polygons))
        assert drawn.any() and np.array_equal(drawn, rle.decode(encoded).astype(bool))


def test_people_of_an_image_are_together_and_crowds_and_dogs_are_nobody(tmp_path):
    content = tables()
    template = content["annotations"][0]
    for number, more in enumerate(
        ({"iscrowd": 1}, {"category_id": 18}, {"image_id": 3}, {"image_id": 7})
    ):
        content["annotations"].append({**template, "id": number, **more})
    for key in (3, 2):
        more = {"id": key, "file_name": f"00000{key}.jpg"}
        content["images"].append({**content["images"][0], **more})
    rows = read_people(written(tmp_path, content))
    assert [(stem, len(found.segmentations)) for stem, _, found in rows] == [
        ("000003", 1),
        ("000007", 2),
    ]


RUNS = {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}
OF_ANNOTATIONS = {
    "unknown image": {"person__image_id": 8},
    "image id as text": {"person__image_id": "7"},
    "image id as list": {"person__image_id": [7]},
    "category as text": {"person__category_id": "1"},
    "crowd as text": {"person__iscrowd": "0"},
    "no height": {"image__height": None},
    "height as text": {"image__height": "40"},
    "height as bool": {"image__height": True},
    "height of 0": {"image__height": 0},
    "negative height": {"image__height": -40},
    "huge height": {"image__height": 10**9},
    "endless height": {"image__height": 10**400},
    "no polygon": {"person__segmentation": []},
    "segmentation null": {"person__segmentation": None},
    "segmentation as text": {"person__segmentation": "10 10"},
    "empty polygon": {"person__segmentation": [[]]},
    "short polygon": {"person__segmentation": [[1, 2, 3, 4]]},
    "odd polygon": {"person__segmentation": [[*SQUARE, 3]]},
    "polygon of text": {"person__segmentation": [["1"] * 6]},
    "polygon of null": {"person__segmentation": [[None] * 6]},
    "polygon null": {"person__segmentation": [SQUARE, None]},
    "polygon of lists": {"person__segmentation": [[SQUARE]]},
    "polygon of 1e300": {"person__segmentation": [[10, 10, 1e300, 10, 10, 30]]},
    "polygon of 10**400": {"person__segmentation": [[10, 10, 10**400, 10, 10, 30]]},
    "polygon of NaN": {"person__segmentation": [[10, 10, float("nan"), 10, 10, 30]]},
    "polygon of infinity": {"person__segmentation": [[10, 10, float("inf"), 10, 10, 30]]},
    "endless outline": {"person__segmentation": [[0, 0, WIDTH, HEIGHT] * 100_000]},
    "no counts": {"person__segmentation": {"size": [HEIGHT, WIDTH]}},
    "no size": {"person__segmentation": {"counts": [2400]}},
    "wrong size": {"person__segmentation": {**RUNS, "size": [WIDTH, HEIGHT]}},
    "too long counts": {"person__segmentation": {**RUNS, "counts": [0, 2400, 1]}},
    "too short counts": {"person__segmentation": {**RUNS, "counts": [0, 2399]}},
    "endless counts": {"person__segmentation": {**RUNS, "counts": [10**4299] * 20}},
    "negative counts": {"person__segmentation": {**RUNS, "counts": [2401, -1]}},
    "counts of text": {"person__segmentation": {**RUNS, "counts": ["0", "2400"]}},
    "counts of halves": {"person__segmentation": {**RUNS, "counts": [0.5, 2399.5]}},
    "empty counts": {"person__segmentation": {**RUNS, "counts": ""}},
    "garbage counts": {"person__segmentation": {**RUNS, "counts": "\x00\xff hello"}},
    "counts cut off": {"person__segmentation": {**RUNS, "counts": "Pb"}},
    "counts without an end": {"person__segmentation": {**RUNS, "counts": "o" * 10_000}},
}
OF_IMAGES = {
    "id as text": {"image__id": "7"},
    "id as list": {"image__id": [7]},
    "no id": {"image__id": None},
    "numeric file name": {"image__file_name": 7},
    "no file name": {"image__file_name": None},
    "empty file name": {"image__file_name": ""},
    "file name with NUL": {"image__file_name": "a\0.jpg"},
    "absolute file name": {"image__file_name": "/etc/hosts.jpg"},
    "file name that leads out": {"image__file_name": "../../hosts.jpg"},
    "hidden file name": {"image__file_name": ".jpg"},
}
LICENCES = [{"id": 1, "name": "Attribution", "url": "http://cc/by"}, {"id": 7}]
FLAWED_RIGHTS = {
    "licence as text": {"license": "1"},
    "licence as list": {"license": [1]},
    "unknown licence": {"license": 2},
    "address as number": {"license": 1, "flickr_url": 7},
    "address of two lines": {"license": 1, "coco_url": "http://a\nhttp://b"},
    "endless address": {"license": 1, "flickr_url": "x" * 10_000},
}


@pytest.mark.parametrize("changes", OF_ANNOTATIONS.values(), ids=OF_ANNOTATIONS)
def test_a_flawed_annotation_is_named_in_one_line(tmp_path, changes):
    assert "annotation 5: " in refusal(tmp_path, tables(**changes))


@pytest.mark.parametrize("changes", OF_IMAGES.values(), ids=OF_IMAGES)
def test_a_flawed_image_is_named_in_one_line(tmp_path, changes):
    assert ", image " in refusal(tmp_path, tables(**changes))


@pytest.mark.parametrize("changes", FLAWED_RIGHTS.values(), ids=FLAWED_RIGHTS)
def test_flawed_rights_are_named_in_one_line(tmp_path, changes):
    content = tables(**{f"image__{name}": value for name, value in changes.items()})
    # the picture is looked at for its person, so the person is what is named
    assert "annotation 5: " in refusal(tmp_path, {**content, "licenses": LICENCES})


@pytest.mark.parametrize(
    "licences", [5, "x", [1], [{"id": "1"}], [{}], [{"id": 1}, {"id": 1}]], ids=str
)
def test_a_list_of_licences_that_is_none_is_one_line(tmp_path, licences):
    assert "MSCOCO's own file" in refusal(tmp_path, {**tables(), "licenses": licences})


def test_pictures_are_chosen_by_their_licence_and_one_that_tells_none_is_not(tmp_path):
    content = {**tables(image__license=7), "licenses": LICENCES}
    for key in (8, 9):
        more = {"id": key, "file_name": f"00000{key}.jpg", "license": 1 if key == 8 else None}
        content["images"].append({**content["images"][0], **more})
        content["annotations"].append({**content["annotations"][0], "id": key, "image_id": key})
    rows = read_people(written(tmp_path, content))
    assert [people.rights and people.rights.licence for _, _, people in rows] == [7, 1, None]
    assert rows[0][2].rights == Rights(7, "", "", "")
    for chosen, expected in (([1], ["000008"]), ([1, 7], ["000007", "000008"]), ([], [])):
        found = read_people(written(tmp_path, content), licences=chosen)
        assert [stem for stem, _, _ in found] == expected
    with pytest.raises(InputError, match="data.licences: 3 is no licence of .*which has 1, 7"):
        read_people(written(tmp_path, content), licences=[1, 3])
    with pytest.raises(InputError, match="which has none"):
        read_people(written(tmp_path, tables()), licences=[1])


def test_another_split_has_its_own_file_and_folder(tmp_path):
    written(tmp_path, tables())
    old = tmp_path / "annotations/instances_train2017.json"
    old.rename(tmp_path / "annotations/instances_val2017.json")
    ((_, path, _),) = read_people(tmp_path, split="val2017")
    assert path == tmp_path / "val2017/000007.jpg"
    ((_, path, _),) = read_people(tmp_path, split="val2017", images=tmp_path / "elsewhere")
    assert path == tmp_path / "elsewhere/000007.jpg"


def test_two_images_of_one_id_or_one_name_are_refused(tmp_path):
    content = tables()
    content["images"].append(dict(content["images"][0]))
    assert "same id" in refusal(tmp_path, content)
    content["images"][1] |= {"id": 8, "file_name": "000007.png"}
    content["annotations"].append({**content["annotations"][0], "image_id": 8})
    assert "called '000007' too" in refusal(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"\xff\xfe{}", b"[" * 100_000, b"9" * 5000, b"null", b"[]", b"{}", b"5"),
        *({**tables(), name: value} for name in tables() for value in (None, {}, [1], "x")),
        {**tables(), "categories": []},
        {**tables(), "categories": [{"id": "1", "name": "person"}]},
        {**tables(), "categories": [{"name": ["person"]}]},
    ],
    ids=lambda content: None,
)
def test_a_file_that_is_not_as_mscoco_s_is_one_line(tmp_path, content):
    assert "MSCOCO" in refusal(tmp_path, content)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="MSCOCO needs"):
        read_people(tmp_path)
