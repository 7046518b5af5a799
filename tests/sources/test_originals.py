"""Public originals: fetched from a local mirror, in the exact formats of their makers."""

from __future__ import annotations

import csv
import hashlib
import http.server
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
from PIL import Image

from pdnet.config import Config, PreprocessConfig, checked, load_config
from pdnet.data.images import read_labels, read_mask
from pdnet.data.layout import data_hash, image_pairs, read_tree
from pdnet.errors import InputError
from pdnet.sources.clips import download
from pdnet.sources.originals import ORIGINALS, address
from pdnet.sources.preprocess import preprocess
from tests.helpers import TINY, Server, make_tree, write_params

SIZE = (100, 120)  # height, width


class Mirror(Server):
    """Serves files by their paths, and breaks off the first answer."""

    files: ClassVar[dict[str, bytes]] = {}

    def do_GET(self):
        if self.path not in self.files:
            self.send_error(404)
            return
        self.content = self.files[self.path]
        super().do_GET()


@pytest.fixture
def mirror() -> Iterator[str]:
    Mirror.files = {}
    Server.ranges, Server.broken = [], True
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def jpeg() -> bytes:
    return cv2.imencode(".jpg", np.zeros((*SIZE, 3), np.uint8))[1].tobytes()


def labels_png(*boxes: tuple[int, slice, slice], palette: bool = True) -> bytes:
    """A label picture with a value in each box."""
    labels = np.zeros(SIZE, np.uint8)
    for value, rows, columns in boxes:
        labels[rows, columns] = value
    stream = io.BytesIO()
    image = Image.fromarray(labels, mode="P" if palette else "L")
    if palette:
        image.putpalette([i for i in range(256) for _ in range(3)])
    image.save(stream, "PNG")
    return stream.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


LICENSES = [
    {"id": 1, "name": "Attribution-NonCommercial-ShareAlike License", "url": "http://cc/by-nc-sa"},
    {"id": 4, "name": "Attribution License", "url": "http://cc/by"},
    {"id": 7, "name": "No known copyright restrictions", "url": "http://flickr/commons"},
]


def instances(first: int) -> bytes:
    """A file of MSCOCO: pictures FIRST, +1, +2 under the licences 1, 4, 7, with a person each; the
    third one's is too small.
    """
    images, people = [], []
    for number, (licence, right) in enumerate(((1, 110), (4, 90), (7, 20)), first):
        name = f"{number:012d}.jpg"
        images.append({"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        images[-1] |= {"license": licence, "coco_url": f"http://images.cocodataset.org/x/{name}"}
        outline = [10, 10, right, 10, right, 95, 10, 95]
        people.append({"id": number, "image_id": number, "category_id": 1, "iscrowd": 0})
        people[-1]["segmentation"] = [outline]
    images[1]["flickr_url"] = "http://farm1.staticflickr.com/1.jpg"
    tables = {"licenses": LICENSES, "images": images, "annotations": people}
    return json.dumps({**tables, "categories": [{"id": 1, "name": "person"}]}).encode()


def coco_files() -> dict[str, bytes]:
    numbers = {"val2017": (1, 2, 3), "train2017": (11, 12, 13)}
    files = {
        f"/zips/{split}.zip": zipped({f"{split}/{number:012d}.jpg": jpeg() for number in inside})
        for split, inside in numbers.items()
    }
    files["/annotations/annotations_trainval2017.zip"] = zipped(
        {f"annotations/instances_{split}.json": instances(n[0]) for split, n in numbers.items()}
    )
    return files


def voc_files() -> dict[str, bytes]:
    """A person with a border and a sofa; a small person; a sofa alone; a picture without labels."""
    tall = slice(10, 95)
    inside = {
        "2007_000001": labels_png((15, tall, slice(10, 90)), (255, tall, slice(90, 95))),
        "2007_000002": labels_png((15, slice(10, 30), slice(10, 30)), (18, tall, slice(40, 120))),
        "2007_000003": labels_png((18, tall, slice(5, 115))),
    }
    base = "VOCdevkit/VOC2012"
    files = {f"{base}/SegmentationClass/{stem}.png": labels for stem, labels in inside.items()}
    for stem in (*inside, "2008_000004"):
        files[f"{base}/JPEGImages/{stem}.jpg"] = jpeg()
    return {"/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar": tarred(files)}


def penn_files() -> dict[str, bytes]:
    picture = cv2.imencode(".png", np.zeros((*SIZE, 3), np.uint8))[1].tobytes()
    boxes = (1, slice(10, 60), slice(10, 30)), (2, slice(20, 70), slice(50, 60))
    files = {
        "PennFudanPed/PNGImages/FudanPed00001.png": picture,
        "PennFudanPed/PedMasks/FudanPed00001_mask.png": labels_png(*boxes, palette=False),
        "PennFudanPed/readme.txt": b"",
    }
    return {"/~jshi/ped_html/PennFudanPed.zip": zipped(files)}


def davis_files() -> dict[str, bytes]:
    files = {
        "DAVIS/ImageSets/2016/train.txt": b"hike\nbear\n",
        "DAVIS/ImageSets/2016/val.txt": b"parkour\n",
    }
    for clip in ("hike", "bear", "parkour"):
        for number in range(2):
            files[f"DAVIS/JPEGImages/480p/{clip}/{number:05d}.jpg"] = jpeg()
            mask = labels_png((1, slice(10, 60), slice(10, 30)))
            files[f"DAVIS/Annotations/480p/{clip}/{number:05d}.png"] = mask
    return {"/csergi/share/davis/DAVIS-2017-trainval-480p.zip": zipped(files)}


def config(tmp_path: Path, mirror: str | None, *originals: str, **data: object) -> Config:
    """People of one tree with a clip each, and originals whose checksums are the mirror's."""
    make_tree(tmp_path / "roots/one", train=("a",), val=("b",), frames=2)
    sums = {
        path.rsplit("/", 1)[-1]: f"sha256:{hashlib.sha256(content).hexdigest()}"
        for path, content in Mirror.files.items()
    }
    values = {"source": "people", "root": str(tmp_path / "roots"), "trees": ["one"], **data}
    values = {"image_sets": [], "checksums": sums, "mirror": mirror, **values}
    values["originals"] = list(originals)
    changes = {f"data__{name}": value for name, value in values.items()}
    return load_config(write_params(tmp_path / "config.yaml", **{**TINY, **changes}))


def brought(tmp_path: Path, *of_mirror: str, **data: object) -> Path:
    raw = tmp_path / "data/raw"
    download(config(tmp_path, *of_mirror, **data), tmp_path / "none", raw)
    return raw


def licences(raw: Path) -> list[dict[str, str]]:
    with (raw / "Images/coco_person/licences.csv").open() as stream:
        return list(csv.DictReader(stream))


def stems(raw: Path) -> list[str]:
    return [f"{image.parent.parent.name}/{image.stem}" for image, _ in image_pairs(raw)]


def test_people_of_both_splits_of_mscoco_are_one_set_with_their_licences(tmp_path, mirror, capsys):
    Mirror.files = coco_files()
    raw = brought(tmp_path, mirror, "coco_val2017", "coco_train2017")
    kept = [f"{number:012d}" for number in (1, 2, 11, 12)]
    assert stems(raw) == [f"coco_person/{stem}" for stem in kept]
    rows = licences(raw)
    assert [row["image"] for row in rows] == [f"{stem}.jpg" for stem in kept], "small ones are out"
    assert [int(row["licence"]) for row in rows] == [1, 4, 1, 4]
    assert rows[1]["name"] == "Attribution License" and rows[1]["terms"] == "http://cc/by"
    assert rows[1]["url"] == "http://farm1.staticflickr.com/1.jpg"
    assert rows[0]["url"] == f"http://images.cocodataset.org/x/{kept[0]}.jpg"
    assert "coco_person: 4 images (the paper has 49,479)" in capsys.readouterr().err
    asked = len(Server.ranges)
    before = data_hash(raw, ["Images"])
    brought(tmp_path, mirror, "coco_val2017", "coco_train2017")
    assert len(Server.ranges) == asked == 3 and data_hash(raw, ["Images"]) == before
    chosen = brought(tmp_path, mirror, "coco_val2017", "coco_train2017", licences=[4, 7])
    assert stems(chosen) == [f"coco_person/{stem}" for stem in (kept[1], kept[3])]
    assert {row["licence"] for row in licences(chosen)} == {"4"}


def test_the_table_of_licences_is_in_no_reader_s_way(tmp_path, mirror):
    Mirror.files = coco_files()
    raw = brought(tmp_path, mirror, "coco_val2017")
    working = tmp_path / "480p"
    made = preprocess(raw, working, PreprocessConfig(short_side=48), workers=1)
    assert stems(working) == stems(raw) and not list(working.rglob("*.csv"))
    assert made.made == 2 * (2 + 4) + 2  # pairs of pictures and of the clips' frames, two lists
    (raw / "Images/coco_person/licences.csv").write_text("mine")
    with pytest.raises(InputError, match="not what was made"):
        preprocess(raw, working, PreprocessConfig(short_side=48), workers=1)


@pytest.mark.parametrize("number", [2, 8])
def test_a_licence_that_the_file_does_not_know_is_one_line(tmp_path, mirror, number):
    Mirror.files = coco_files()
    with pytest.raises(InputError, match=f"data.licences: {number} is no licence of .*1, 4, 7"):
        brought(tmp_path, mirror, "coco_val2017", licences=[4, number])
    assert not (tmp_path / "data/raw/ImageSets").exists()


def test_only_people_of_voc_that_are_large_enough_count_and_its_border_is_nobody(tmp_path, mirror):
    Mirror.files = voc_files()
    raw = brought(tmp_path, mirror, "voc2012")
    ((image, mask),) = image_pairs(raw)
    assert image.stem == "2007_000001" and image.parent.parent.name == "voc2012"
    assert read_mask(mask).sum() == 85 * 80 and set(np.unique(read_labels(mask))) == {0, 255}


def test_every_pedestrian_of_penn_fudan_is_foreground(tmp_path, mirror):
    Mirror.files = penn_files()
    raw = brought(tmp_path, mirror, "penn_fudan")
    ((image, mask),) = image_pairs(raw)
    assert image.name == "FudanPed00001.png" and mask.name == "FudanPed00001.png"
    assert read_mask(mask).sum() == 50 * 20 + 50 * 10


def test_clips_of_davis_come_beside_the_trees_and_may_not_come_twice(tmp_path, mirror):
    Mirror.files = davis_files()
    tree = read_tree(brought(tmp_path, mirror, "davis"))
    assert [clip.name for clip in tree.clips("train")] == ["a", "hike"]
    assert [clip.name for clip in tree.clips("val")] == ["b", "parkour"]
    make_tree(tmp_path / "roots/two", train=("x",), val=("parkour",), frames=2)
    with pytest.raises(InputError, match="clip 'parkour' is in .*two and in the original DAVIS"):
        brought(tmp_path, mirror, "davis", trees=["one", "two"])
    alone = read_tree(brought(tmp_path, mirror, "davis", trees=[], root=None))
    assert [clip.name for clip in alone.every_clip()] == ["parkour", "hike"]


def test_the_source_davis_needs_no_checksum_of_the_user_s(tmp_path, mirror):
    Mirror.files = davis_files()
    raw = brought(tmp_path, mirror, source="davis", root=None, trees=[])
    assert [clip.name for clip in read_tree(raw).every_clip()] == ["parkour", "hike"]


def test_a_broken_download_goes_on_where_it_stopped(tmp_path, mirror):
    Mirror.files, Server.broken = voc_files(), False
    ((path, content),) = Mirror.files.items()
    padded = content + b"\0" * 3_000_000  # more than the blocks in which it comes
    Mirror.files = {path: padded}
    with pytest.raises(InputError, match="run again, it goes on from"):
        brought(tmp_path, mirror, "voc2012")
    assert len(image_pairs(brought(tmp_path, mirror, "voc2012"))) == 1
    assert Server.ranges[0] == 0 and 0 < Server.ranges[1] < len(padded) and len(Server.ranges) == 2


def test_what_is_not_the_known_original_is_refused_and_removed(tmp_path, mirror):
    """The project's own checksums stand against the tiny archives."""
    Mirror.files = {**coco_files(), **voc_files(), **davis_files()}
    for name in ("coco_val2017", "coco_train2017", "voc2012", "davis"):
        with pytest.raises(InputError, match="wrong checksum") as error:
            brought(tmp_path, mirror, name, checksums={})
        assert "\n" not in str(error.value)
    assert not [file for file in (tmp_path / "data/archives").iterdir() if file.name[0] != "."]


def test_an_archive_without_a_known_checksum_tells_its_own_to_pin(tmp_path, mirror):
    Mirror.files = penn_files()
    (content,) = Mirror.files.values()
    found = hashlib.sha256(content).hexdigest()
    with pytest.raises(InputError, match="set PennFudanPed.zip in data.checksums") as error:
        brought(tmp_path, mirror, "penn_fudan", checksums={})
    assert found in str(error.value) and not (tmp_path / "data/raw/ImageSets").exists()
    # pinned by either kind of checksum; nothing is fetched twice
    for said in (found, f"md5:{hashlib.md5(content).hexdigest()}"):
        raw = brought(tmp_path, mirror, "penn_fudan", checksums={"PennFudanPed.zip": said})
        assert len(image_pairs(raw)) == 1 and len(Server.ranges) == 1


def test_an_original_and_a_set_of_its_name_are_refused(tmp_path, mirror):
    with pytest.raises(InputError, match="data.image_sets: voc2012 comes from data.originals"):
        brought(tmp_path, mirror, "voc2012", image_sets=["voc2012"])
    with pytest.raises(InputError, match="data.checksums: 'x.zip' is no original's file"):
        brought(tmp_path, mirror, "voc2012", checksums={"x.zip": "md5:" + "0" * 32})
    assert not (tmp_path / "data").exists()


def test_an_archive_of_something_else_is_one_line(tmp_path, mirror):
    ((path, _),) = voc_files().items()
    Mirror.files = {path: tarred({"VOCdevkit/readme.txt": b"x"})}
    with pytest.raises(InputError, match="holds no folder SegmentationClass"):
        brought(tmp_path, mirror, "voc2012")


def test_a_labelled_picture_that_is_missing_is_one_line(tmp_path, mirror):
    base = "VOCdevkit/VOC2012"
    label = labels_png((15, slice(10, 95), slice(10, 90)))
    ((path, _),) = voc_files().items()
    files = {f"{base}/SegmentationClass/1.png": label, f"{base}/JPEGImages/2.jpg": jpeg()}
    Mirror.files = {path: tarred(files)}
    with pytest.raises(InputError, match="JPEGImages/1.jpg: missing, and 1.png labels it"):
        brought(tmp_path, mirror, "voc2012")


def test_a_mirror_stands_for_scheme_and_host(tmp_path):
    (voc,) = ORIGINALS["voc2012"]
    own = config(tmp_path, None, "voc2012").data
    assert address(voc, own) == voc.url
    for mirror in ("http://here:80", "http://here:80/", "https://here/pub/"):
        mirrored = config(tmp_path, mirror, "voc2012").data
        path = "/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar"
        assert address(voc, mirrored) == mirror.rstrip("/") + path


@pytest.mark.parametrize(
    "values",
    [
        {"originals": ["coco"]},
        {"originals": ["davis", "davis"]},
        {"licences": [9]},
        {"licences": ["4"]},
        {"licences": [4, 4]},
        {"mirror": "ftp://here"},
        {"mirror": "http:///x"},
        {"checksums": {"val2017.zip": "md5:12"}},
        {"checksums": {"val2017.zip": "sha1:" + "0" * 40}},
        {"image_sets": ["../x"]},
        {"image_sets": [".x"]},
    ],
    ids=str,
)
def test_a_value_that_cannot_be_is_one_line(values):
    (name,) = values
    with pytest.raises(InputError, match=rf"data: {name}") as error:
        checked("data", source="people", **values)
    assert "\n" not in str(error.value)
