"""Layouts, sources and their label pitfalls, preprocessing: each with a tiny tree that has the fault."""

from __future__ import annotations

import http.server
import io
import json
import tarfile
import threading
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from pdnet.config import PreprocessConfig, load_config
from pdnet.data.images import read_frame, read_labels, read_mask
from pdnet.data.layout import check, image_pairs, problems, read_tree
from pdnet.errors import InputError
from pdnet.sources.clips import bring_davis, download, split_frame_name
from pdnet.sources.fetch import fetch, file_sha256, unpack
from pdnet.sources.image_sets import bring_image_sets, coco_union
from pdnet.sources.preprocess import preprocess, resized
from tests.helpers import TINY, disc, make_tree, save_image, write_params


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
    """Instance ids merge into one mask; both shapes of split list; sequences without people stay out."""
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
    bring_davis(root, tmp_path / "raw")
    assert (tmp_path / "raw/ImageSets/train.txt").read_text() == "hike\n"
    preprocess(tmp_path / "raw", tmp_path / "480p", PreprocessConfig(short_side=48, workers=1))
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


def test_eg1800_labels_are_0_and_1_and_gone_photographs_do_not_shift_the_pairs(tmp_path, capsys):
    root = tmp_path / "sets/EG1800"
    for i in (1, 2, 3):
        label = np.zeros((30, 40), np.uint8)
        label[:, :i] = 1
        save_image(root / f"Labels/{i:05d}.png", label)
        if i != 2:  # a photograph that its owner took down
            save_image(root / f"Images/{i:05d}.png", np.full((30, 40, 3), i, np.uint8))
    counts = bring_image_sets(["eg1800"], str(tmp_path / "sets"), tmp_path / "raw", 1)
    pairs = image_pairs(tmp_path / "raw")
    assert counts == {"eg1800": 2} and [a.stem for a, _ in pairs] == ["00001", "00003"]
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
    counts = bring_image_sets(["coco_person"], str(tmp_path / "sets"), tmp_path / "raw", 1)
    ((_, mask),) = image_pairs(tmp_path / "raw")
    assert counts == {"coco_person": 1} and mask.stem == f"{1:012d}"
    assert (
        abs(int(read_mask(mask).sum()) - (2 * 3600 - 900)) < 130
    )  # two squares of 60 that share one of 30
    assert "the paper has 49,479" in capsys.readouterr().err
    assert coco_union([crowd], 200, 300).all()


def test_image_sets_need_their_folder(tmp_path):
    with pytest.raises(InputError, match="data.image_root"):
        bring_image_sets(["supervisely"], None, tmp_path, 1)
    with pytest.raises(InputError, match="SuperviselyPerson/img"):
        bring_image_sets(["supervisely"], str(tmp_path), tmp_path / "raw", 1)


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one file with ranges, and breaks off the first answer in the middle."""

    content, ranges, broken = b"", [], False

    def do_GET(self):
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        Server.ranges.append(start)
        body = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not Server.broken:
            Server.broken = True
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    Server.ranges, Server.broken = [], False
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/davis.zip"
        running.shutdown()


def test_a_broken_download_goes_on_where_it_stopped(server, tmp_path):
    Server.content = np.random.default_rng(0).bytes(3_000_000)
    target = tmp_path / "davis.zip"
    with pytest.raises(InputError, match="run again"):
        fetch(server, target, None)
    with pytest.raises(
        InputError, match="data.sha256"
    ) as error:  # whole now, but nobody vouches for it
        fetch(server, target, None)
    assert target.read_bytes() == Server.content and Server.ranges[0] == 0 and Server.ranges[1] > 0
    assert file_sha256(target) in str(error.value)
    assert fetch(server, target, file_sha256(target)) == target and len(Server.ranges) == 2
    with pytest.raises(InputError, match="wrong checksum"):
        fetch(server, target, "0" * 64)
    assert not target.exists()


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
        tmp_path, data__source="davis", data__url=server, data__sha256=file_sha256(tmp_path / "sum")
    )
    download(chosen, tmp_path, tmp_path / "data/raw")
    assert len(read_tree(tmp_path / "data/raw").clips("train")[0].frames) == 3


def test_an_archive_that_leads_out_is_refused_before_anything_is_written(tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("fine.txt", "x")
        archive.writestr("../outside.txt", "x")
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        entry = tarfile.TarInfo("../../outside.txt")
        archive.addfile(entry, io.BytesIO(b""))
    for name in ("bad.zip", "bad.tar"):
        with pytest.raises(InputError, match="leads out"):
            unpack(tmp_path / name, tmp_path / "folder")
    assert not (tmp_path / "outside.txt").exists() and not list((tmp_path / "folder").iterdir())


def test_preprocess_halves_frames_and_keeps_masks_binary_and_aligned(tmp_path):
    tree = make_tree(tmp_path / "raw", size=(144, 256), frames=3)
    preprocess(tree, tmp_path / "out", PreprocessConfig(short_side=72, workers=1))
    for clip in read_tree(tmp_path / "out").clips("train"):
        for stem in clip.frames:
            mask, frame = read_labels(clip.mask(stem)), read_frame(clip.frame(stem))
            assert mask.shape == frame.shape[:2] == (72, 128) and set(np.unique(mask)) <= {0, 255}
            before = read_mask(tree / "Annotations/480p" / clip.name / f"{stem}.png")
            centre, expected = (np.argwhere(m > 0).mean(0) + 0.5 for m in (mask, before))
            assert np.abs(centre - expected / 2).max() < 0.1
            assert abs(4 * (mask > 0).sum() / before.sum() - 1) < 0.02


def test_preprocess_links_what_has_the_size_and_skips_what_is_done(tree, tmp_path):
    out = tmp_path / "out"
    preprocess(tree, out, PreprocessConfig(short_side=48, workers=1))
    linked = out / "Keyframes/480p/a/one/00000.jpg"
    assert linked.samefile(tree / "Keyframes/480p/a/one/00000.jpg")
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*.png")}
    (out / "Annotations/480p/a/one/00010.png").unlink()  # as a kill would leave it
    (out / "Annotations/480p/stray").mkdir()
    save_image(out / "Annotations/480p/stray/00000.png", np.zeros((4, 4), np.uint8))
    preprocess(tree, out, PreprocessConfig(short_side=48, workers=1))
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.png")} == times


def test_another_quality_or_side_is_made_anew(tmp_path):
    tree, out = make_tree(tmp_path / "raw", size=(144, 256), frames=3), tmp_path / "out"
    sizes = []
    for quality in (95, 60):
        preprocess(tree, out, PreprocessConfig(short_side=72, jpeg_quality=quality, workers=1))
        sizes.append((out / "Keyframes/480p/a/one/00000.jpg").stat().st_size)
    assert sizes[1] < sizes[0]


def test_the_working_size():
    assert resized((720, 1280), 480) == (480, 854) and resized((1280, 720), 480) == (854, 480)
    assert resized((480, 854), 480) == (480, 854)


def test_an_image_without_mask_is_named(tmp_path):
    save_image(tmp_path / "Images/x/img/1.jpg", np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "Images/x/mask").mkdir()
    with pytest.raises(InputError, match="x/1: image without mask"):
        image_pairs(tmp_path)
