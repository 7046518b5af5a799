"""The renderer: the same wherever it runs, and its truth is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from pdnet.data.images import read_labels
from pdnet.data.layout import problems, read_tree
from pdnet.errors import InputError
from pdnet.sample.body import JOINTS, PARTS
from pdnet.sample.render import read_scenes, render_clips, render_images
from pdnet.sample.scene import Scene
from tests.helpers import ROOT

SCENES = ROOT / "pipelines/sample/scenes.yaml"


def test_the_scripts_hold_what_the_data_card_says():
    clips = read_scenes(SCENES)
    train, val = ([c for c in clips if c.split == s] for s in ("train", "val"))
    assert len(train) >= 14 and len(val) == 7
    categories = {c.name.split("/")[0] for c in val}
    assert len(categories) == 7 == len({c.name.split("/")[0] for c in train})
    assert all(c.frames >= 60 for c in clips) and {c.format for c in clips} == {
        "landscape",
        "portrait",
    }
    assert not {c.seed for c in train} & {c.seed for c in val}
    photographs = [{c.backdrop for c in s if c.backdrop.startswith("photo:")} for s in (train, val)]
    assert not photographs[0] & photographs[1]


def test_a_frame_is_the_same_whenever_it_is_rendered():
    clip = read_scenes(SCENES)[0]
    once, scene = Scene(clip).render(33), Scene(clip)
    scene.render(5)
    again = scene.render(33)
    assert np.array_equal(once.colour, again.colour) and np.array_equal(once.labels, again.labels)


def test_parts_lie_where_the_joints_are():
    clip = next(c for c in read_scenes(SCENES) if c.name == "outdoor-activity/jogging").model_copy(
        update={"distractors": []}
    )
    frame = Scene(clip).render(17)
    for part, (a, b) in {
        "head": ("head", "head"),
        "torso": ("neck", "pelvis"),
        "left upper arm": ("left shoulder", "left elbow"),
        "left lower arm": ("left elbow", "left wrist"),
    }.items():
        x, y = np.round((frame.joints[0][a] + frame.joints[0][b]) / 2).astype(int)
        around = frame.labels[y - 25 : y + 26, x - 25 : x + 26]
        assert PARTS.index(part) + 1 in around, part
    assert (frame.mask > 0).sum() == (frame.labels > 0).sum()


def test_limb_speed_changes_limbs_only():
    clip = next(c for c in read_scenes(SCENES) if c.name == "lecture/museum")
    fast = clip.model_copy(
        update={"people": [clip.people[0].model_copy(update={"limb_speed": 3.0})]}
    )
    a, b = Scene(clip).render(20).joints[0], Scene(fast).render(20).joints[0]
    for joint in JOINTS:
        moved = np.abs(a[joint] - b[joint]).max() > 1
        assert moved == any(limb in joint for limb in ("elbow", "wrist", "knee", "ankle")), joint


def small_script(path: Path) -> Path:
    raw = yaml.safe_load(SCENES.read_text())
    clips = [
        c
        for c in raw["clips"]
        if c["name"] in ("lecture/museum", "news/evening", "online-shopping/kettle")
    ]
    path.write_text(yaml.safe_dump({"clips": [{**c, "frames": 7} for c in clips]}))
    return path


def test_rendering_makes_a_sound_tree_and_resumes(tmp_path):
    script = small_script(tmp_path / "scenes.yaml")
    for _ in range(2):
        render_clips(read_scenes(script), tmp_path / "raw", 1)
        render_images(tmp_path / "raw", 2, 0, 1)
    tree = read_tree(tmp_path / "raw")
    assert problems(tree) == [] and tree.clips("val")[0].frames == ("00000", "00005")
    names = {p.name for p in (tmp_path / "raw/Frames/480p/lecture/museum").iterdir()}
    assert names == {f"{i:05d}.jpg" for i in (1, 2, 3, 4, 6)}
    parts = read_labels(tmp_path / "raw/Parts/480p/lecture/museum/00003.png")
    assert set(np.unique(parts)) <= set(range(len(PARTS) + 1))
    assert len(list((tmp_path / "raw/Images/sample/img").iterdir())) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("clips: 3", "not a list of scenes"),
        (
            "clips: [{name: a/b, split: train, seed: 1, backdrop: clutter, people: [], color: red}]",
            "color",
        ),
        (
            "clips: [{name: a/b, split: test, seed: 1, backdrop: clutter, people: []}]",
            "split = 'test'",
        ),
    ],
)
def test_a_wrong_script_is_named(tmp_path, text, says):
    (tmp_path / "scenes.yaml").write_text(text)
    with pytest.raises(InputError, match="scenes.yaml") as error:
        read_scenes(tmp_path / "scenes.yaml")
    assert says in str(error.value)
