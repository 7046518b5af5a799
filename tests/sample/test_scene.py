"""A scene: what is drawn where, the same each time."""

from __future__ import annotations

import numpy as np

from pdnet.data.skeleton import JOINTS, PARTS
from pdnet.sample.render import read_scenes
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
