"""Sources of clips become the MVPS layout, by links."""

from __future__ import annotations

import io
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from pdnet.base.files import file_hash
from pdnet.base.manifest import Hashes, bring
from pdnet.config import PreprocessConfig, load_config
from pdnet.data.images import read_labels
from pdnet.data.layout import problems, read_tree
from pdnet.errors import InputError
from pdnet.sources.clips import davis_clips, download, split_frame_name
from pdnet.sources.preprocess import preprocess
from pdnet.sources.trees import composed
from tests.helpers import TINY, Server, disc, make_tree, save_image, write_params


def palette_png(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels.astype(np.uint8), mode="P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [0] * 759)
    image.save(path)
    return path


def config(tmp_path, **changes):
    return load_config(
        write_params(tmp_path / "config.yaml", **{**TINY, "data__image_sets": [], **changes})
    )


def test_mvps_is_linked_not_copied(tree, tmp_path):
    download(
        config(tmp_path, data__source="mvps", data__root=str(tree)),
        tmp_path / "none",
        tmp_path / "raw",
    )
    link = tmp_path / "raw/Keyframes/480p/a/one/00000.jpg"
    assert link.is_symlink() and link.resolve() == tree / "Keyframes/480p/a/one/00000.jpg"
    assert problems(read_tree(tmp_path / "raw")) == []


def test_another_source_replaces_what_the_last_one_left(tree, tmp_path):
    other = make_tree(tmp_path / "other", train=("x/y",), val=("x/z",))
    for root in (tree, other):
        download(
            config(tmp_path, data__source="mvps", data__root=str(root)),
            tmp_path / "none",
            tmp_path / "raw",
        )
    assert (
        not (tmp_path / "raw/Keyframes/480p/a").exists()
        and (tree / "Keyframes/480p/a/one/00000.jpg").is_file()
    )


@pytest.mark.parametrize("shape", ["2016", "480p"])
def test_davis_lists_and_instance_ids(tmp_path, shape):
    """Instance ids merge into one mask; both shapes of split list; sequences without people stay
    out.
    """
    root = tmp_path / "DAVIS"
    ids = np.zeros((48, 64), np.uint8)
    ids[10:20, 10:20], ids[20:30, 10:20] = 1, 2
    for clip in ("hike", "bear", "dance-twirl"):
        for i in range(3):
            save_image(
                root / f"JPEGImages/480p/{clip}/{i:05d}.jpg", np.zeros((48, 64, 3), np.uint8)
            )
            palette_png(root / f"Annotations/480p/{clip}/{i:05d}.png", ids)
    lists = root / "ImageSets" / shape
    lists.mkdir(parents=True)
    for name, clips in (("train", ("hike", "bear")), ("val", ("dance-twirl",))):
        line = (
            "{0}"
            if shape == "2016"
            else "/JPEGImages/480p/{0}/00000.jpg /Annotations/480p/{0}/00000.png"
        )
        (lists / f"{name}.txt").write_text(
            "".join(line.format(c) + "\n" for c in clips for _ in range(2))
        )
    clips = davis_clips(root, Hashes(tmp_path / "raw"))
    bring(tmp_path / "raw", composed({"DAVIS": clips}), "link", workers=1)
    assert (tmp_path / "raw/ImageSets/train.txt").read_text() == "hike\n"
    preprocess(tmp_path / "raw", tmp_path / "480p", PreprocessConfig(short_side=48), workers=1)
    mask = read_labels(tmp_path / "480p/Annotations/480p/hike/00001.png")
    assert set(np.unique(mask)) == {0, 255} and (mask > 0).sum() == 200


def test_pp_humanseg_reads_palette_indices_and_builds_clips(tmp_path):
    """Read as grey, palette index 1 is 38; the clip is the path without the frame's number."""
    root = tmp_path / "pp"
    labels = disc((48, 64), (24, 32), 12).astype(np.uint8)
    rows = {"train": [], "test": []}
    for name, clip in (("train", "room-a"), ("train", "room-b"), ("test", "room-c")):
        for i in range(3):
            save_image(root / f"images/{clip}_{i:03d}.jpg", np.zeros((48, 64, 3), np.uint8))
            path = palette_png(root / f"annotations/{clip}_{i:03d}.png", labels)
            assert set(np.unique(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))) == {0, 38}
            rows[name].append(f"images/{clip}_{i:03d}.jpg annotations/{clip}_{i:03d}.png\n")
    for name, lines in rows.items():
        (root / f"{name}.txt").write_text("".join(lines))
    download(
        config(tmp_path, data__source="pp_humanseg14k", data__root=str(root)),
        tmp_path,
        tmp_path / "raw",
    )
    tree = read_tree(tmp_path / "raw")
    assert [c.name for c in tree.clips("train")] == ["room-a", "room-b"] and tree.clips("val")[
        0
    ].frames == (
        "000",
        "001",
        "002",
    )
    mask = read_labels(tmp_path / "raw/Annotations/480p/room-c/001.png")
    assert set(np.unique(mask)) == {0, 255} and np.array_equal(mask > 0, labels > 0)
    assert split_frame_name("train/images/video_7_0012.jpg") == ("train/video_7", "0012")


@pytest.mark.parametrize("line", ["{outside}.jpg {outside}.png", "../out.jpg ../out.png", "a.jpg"])
def test_a_list_that_leads_out_of_its_data_set_is_refused(tmp_path, line):
    root, outside = tmp_path / "pp", tmp_path / "out"
    root.mkdir()
    for suffix in (".jpg", ".png"):
        save_image(outside.with_suffix(suffix), np.zeros((4, 4), np.uint8))
    before = outside.with_suffix(".jpg").read_bytes()
    for name in ("train", "test"):
        (root / f"{name}.txt").write_text(line.format(outside=outside) + "\n")
    chosen = config(tmp_path, data__source="pp_humanseg14k", data__root=str(root))
    with pytest.raises(InputError, match="train.txt, line 1"):
        download(chosen, tmp_path, tmp_path / "raw")
    kept = outside.with_suffix(".jpg")
    assert kept.read_bytes() == before and not kept.is_symlink()


def test_davis_from_an_archive(server, tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for i in range(3):
            archive.writestr(
                f"DAVIS/JPEGImages/480p/hike/{i:05d}.jpg",
                cv2.imencode(".jpg", np.zeros((48, 64, 3)))[1].tobytes(),
            )
            archive.writestr(
                f"DAVIS/Annotations/480p/hike/{i:05d}.png",
                cv2.imencode(".png", np.zeros((48, 64)))[1].tobytes(),
            )
        archive.writestr("DAVIS/ImageSets/2016/train.txt", "hike\n")
        archive.writestr("DAVIS/ImageSets/2016/val.txt", "blackswan\n")
    Server.content, Server.broken = stream.getvalue(), True
    (tmp_path / "sum").write_bytes(Server.content)
    chosen = config(
        tmp_path, data__source="davis", data__url=server, data__sha256=file_hash(tmp_path / "sum")
    )
    download(chosen, tmp_path, tmp_path / "data/raw")
    assert len(read_tree(tmp_path / "data/raw").clips("train")[0].frames) == 3
