"""The imbalance series on casts: only people's arms move, and only their speed differs."""

from __future__ import annotations

import numpy as np
import pytest

from pdnet.sample.cast_series import LEVELS, SCENES, cast_series
from pdnet.sample.scene import Scene

ARMS = ("elbow", "wrist")


@pytest.fixture(scope="module")
def scripts() -> dict[str, list]:
    found: dict[str, list] = {}
    for script in cast_series(LEVELS, seed=5):
        found.setdefault(script.name.rpartition("-")[0], []).append(script)
    return found


def test_levels_differ_in_the_speed_of_arms_alone(scripts):
    assert len(scripts) == SCENES
    for levels in scripts.values():
        first = levels[0]
        assert {person.alive for person in first.people} == {True, False}
        for script, level in zip(levels, LEVELS, strict=True):
            assert {person.limb_speed for person in script.people if person.alive} == {level}
            people = [
                person.model_copy(update={"limb_speed": LEVELS[0]}) if person.alive else person
                for person in script.people
            ]
            alike = script.model_copy(update={"name": first.name, "people": people})
            assert alike == first


def test_torsos_rest_and_arms_move_the_faster_the_level(scripts):
    scene = scripts["imbalance/00"]
    ways = []
    for script in scene:
        one = Scene(script.model_copy(update={"camera": "still"}))
        poses = [one.render(number).joints for number in (0, 5, 10)]
        way = 0.0
        for member, person in enumerate(script.people):
            for joint, start in poses[0][member].items():
                moved = [np.linalg.norm(pose[member][joint] - start) for pose in poses]
                if person.alive and joint.split()[-1] in ARMS:
                    way += sum(moved)
                else:
                    assert max(moved) < 1e-9, (joint, person.alive)
        ways.append(way)
    assert ways[0] < 1e-9 and ways[1] > 0
    assert ways[1] < ways[2] < ways[3]  # faster swings than these turn back within the frames
