"""After any change `data/raw` and `data/480p` are what a cold rebuild gives, byte for byte."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from pdnet.base.files import file_hash
from pdnet.base.manifest import files_of
from pdnet.config import load_config
from pdnet.errors import InputError
from pdnet.sources.clips import download
from pdnet.sources.preprocess import preprocess
from tests.helpers import ROOT, TINY, Server, make_tree, save_image, write_params

TREES = ("raw", "480p")
Contents = dict[str, bytes]


def contents(data: Path) -> Contents:
    """Every file of both trees, and what it holds, whatever kind of link it is."""
    found: Contents = {}
    for tree in TREES:
        for path in files_of(data / tree):
            found[f"{tree}/{path}"] = (data / tree / path).read_bytes()
    return found


class Project:
    """A folder with a source; both stages are run in it, and cold in another one."""

    def __init__(self, folder: Path, **changes: object) -> None:
        self.folder, self.source, self.changes = folder, folder / "source", dict(changes)

    def make(self, data: Path) -> Contents:
        values = {**TINY, "preprocess__short_side": 48, "data__image_sets": [], **self.changes}
        config = load_config(write_params(self.folder / "params.yaml", **values))
        download(config, self.source, data / "raw")
        preprocess(data / "raw", data / "480p", config.preprocess, 1)
        return contents(data)

    def check(self) -> Contents:
        """Makes the trees anew in place and cold; they are equal."""
        here = self.make(self.folder / "data")
        cold = self.folder / "cold"
        shutil.rmtree(cold, ignore_errors=True)
        assert here == self.make(cold)
        return here


def write_scenes(source: Path, frames: int = 11, clips: int = 2) -> None:
    raw = yaml.safe_load((ROOT / "pipelines/sample/scenes.yaml").read_text())["clips"]
    chosen = [next(c for c in raw if c["split"] == split) for split in ("train", "val")]
    source.mkdir(parents=True, exist_ok=True)
    short = [{**clip, "frames": frames} for clip in chosen[:clips]]
    (source / "scenes.yaml").write_text(yaml.safe_dump({"clips": short}))


def test_fewer_frames_clips_and_images(tmp_path):
    project = Project(tmp_path, data__image_sets=["sample"], data__sample_images=3)
    write_scenes(project.source)
    first = project.check()
    write_scenes(project.source, frames=6)
    second = project.check()
    assert second.keys() < first.keys()
    project.changes["data__sample_images"] = 1
    third = project.check()
    assert third.keys() < second.keys()
    write_scenes(project.source, frames=6, clips=1)
    assert project.check().keys() < third.keys()


@pytest.mark.parametrize("tree", TREES)
def test_a_garbled_and_a_deleted_file_never_become_the_truth(tmp_path, tree):
    project = Project(tmp_path)
    write_scenes(project.source, frames=6)
    first = project.check()
    frames = sorted((tmp_path / "data" / tree / "Keyframes").rglob("*.jpg"))
    before = frames[0].stat()
    content = bytearray(frames[0].read_bytes())
    content[len(content) // 2] ^= 255
    frames[0].write_bytes(content)
    os.utime(frames[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert project.check() == first
    for kind, suffix in (("Keyframes", ".jpg"), ("Annotations", ".png")):
        frame = frames[-1].relative_to(tmp_path / "data" / tree / "Keyframes")
        (tmp_path / "data" / tree / kind / frame).with_suffix(suffix).unlink()
    assert project.check() == first


def test_a_working_copy_is_not_made_from_a_garbled_tree(tmp_path):
    project = Project(tmp_path)
    write_scenes(project.source, frames=6)
    project.check()
    mask = next((tmp_path / "data/raw/Annotations").rglob("*.png"))
    mask.write_bytes(mask.read_bytes()[:-9])
    config = load_config(tmp_path / "params.yaml")
    with pytest.raises(InputError, match="not what was made"):
        preprocess(tmp_path / "data/raw", tmp_path / "data/480p", config.preprocess, 1)


def test_root_a_then_b_then_a_though_dates_say_otherwise(tmp_path):
    trees = [make_tree(tmp_path / name) for name in "ab"]
    for i, file in enumerate(sorted((trees[1] / "Annotations").rglob("*.png"))):
        mask = np.zeros((48, 64), np.uint8)
        mask[i : i + 9, 5:20] = 255
        save_image(file, mask)  # the same names and sizes, other masks
        os.utime(file, (1, 1))
    project = Project(tmp_path, data__source="mvps")
    found = []
    for tree in (trees[0], trees[1], trees[0]):
        project.changes["data__root"] = str(tree)
        found.append(project.check())
    assert found[0] == found[2] != found[1]
    mask = trees[0] / "Annotations/480p/a/one/00000.png"
    save_image(mask, np.full((48, 64), 255, np.uint8))
    os.utime(mask, (1, 1))
    assert project.check()["480p/Annotations/480p/a/one/00000.png"] == mask.read_bytes()


def test_another_url_and_another_checksum_are_another_archive(tmp_path, server):
    project = Project(tmp_path, data__source="davis")
    found = []
    for level in (40, 90):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for i in range(3):
                frame, mask = np.full((48, 64, 3), level), np.full((48, 64), 255)
                for kind, picture, suffix in (
                    ("JPEGImages", frame, ".jpg"),
                    ("Annotations", mask, ".png"),
                ):
                    data = cv2.imencode(suffix, picture)[1].tobytes()
                    archive.writestr(f"DAVIS/{kind}/480p/hike/{i:05d}{suffix}", data)
            for split, clip in (("train", "hike"), ("val", "none")):
                archive.writestr(f"DAVIS/ImageSets/2016/{split}.txt", clip + "\n")
        Server.content, Server.broken = stream.getvalue(), True
        (tmp_path / "sum").write_bytes(Server.content)
        project.changes |= {
            "data__url": server.replace("davis.zip", f"{level}/davis.zip"),
            "data__sha256": file_hash(tmp_path / "sum"),
        }
        found.append(project.check())
    assert found[0] != found[1]


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("place", ["data/raw", "data/raw/inside", "data/480p", "models/mine"])
def test_a_root_among_the_projects_own_folders_is_refused(tmp_path, monkeypatch, place, link):
    monkeypatch.chdir(tmp_path)
    make_tree(tmp_path / place)
    before = {file: file.read_bytes() for file in (tmp_path / place).rglob("*.*")}
    root = Path(place)
    if link:
        (tmp_path / "elsewhere").symlink_to(tmp_path / place)
        root = tmp_path / "elsewhere"
    for name in ("data__root", "data__image_root"):
        changes = {"data__source": "mvps", "data__root": str(root), name: str(root)}
        config = load_config(write_params(tmp_path / "p.yaml", **{**TINY, **changes}))
        with pytest.raises(InputError, match="which the pipeline writes; nothing was touched"):
            download(config, tmp_path / "none", Path("data/raw"))
    assert {file: file.read_bytes() for file in (tmp_path / place).rglob("*.*")} == before


def test_files_of_the_users_in_the_tree_are_refused_and_stay(tmp_path):
    project = Project(tmp_path)
    write_scenes(project.source, frames=6)
    mine = tmp_path / "data/raw/notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(InputError, match="notes.txt: nothing here made it"):
        project.make(tmp_path / "data")
    assert mine.read_text() == "mine" and [*mine.parent.rglob("*.*")] == [mine]


def test_a_tree_behind_a_link_to_another_disk_is_made_there(tmp_path):
    project = Project(tmp_path)
    write_scenes(project.source, frames=6)
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/raw").symlink_to(tmp_path / "disk")
    project.check()
    assert (tmp_path / "disk/ImageSets/train.txt").is_file()


def test_a_changed_renderer_renders_anew(tmp_path):
    """In a copy of the package, as somebody would change it."""
    package = tmp_path / "code"
    shutil.copytree(ROOT / "pdnet", package / "pdnet")
    write_scenes(tmp_path / "data/source", frames=6)
    write_params(tmp_path / "params.yaml", **{**TINY, "data__image_sets": []})

    def make() -> Contents:
        for command in ("download", "preprocess"):
            subprocess.run(
                [sys.executable, "-m", "pdnet.cli", command],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(package)},
                check=True,
                capture_output=True,
            )
        return contents(tmp_path / "data")

    first = make()
    scene = package / "pdnet/sample/scene.py"
    scene.write_text(scene.read_text().replace("FPS = 30", "FPS = 12"))
    changed = make()
    for tree in TREES:
        shutil.rmtree(tmp_path / "data" / tree)
    assert changed == make() != first
