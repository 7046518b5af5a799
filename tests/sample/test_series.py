"""The imbalance series: only the limbs' speed differs."""

from __future__ import annotations

import numpy as np

from pdnet.experiments.names import level_of
from pdnet.sample.scene import Scene
from pdnet.sample.series import SCENES, series


def test_only_the_limbs_speed_differs_in_the_series():
    clips = series([0.0, 1.0, 2.0], 11)
    assert [level_of(c.name) for c in clips[:3]] == [0, 1, 2] and len(clips) == 3 * len(SCENES)
    start = [Scene(clip).render(0) for clip in clips[:3]]
    later = [Scene(clip).render(10) for clip in clips[:3]]
    for frame in start[1:]:
        assert np.array_equal(frame.colour, start[0].colour), (
            "the series does not start from one picture"
        )
    joints = [{k: v for k, v in f.joints[0].items()} for f in later]
    for name in ("pelvis", "neck", "head"):
        assert np.allclose(joints[0][name], joints[2][name])
    moved = [np.linalg.norm(j["left wrist"] - start[0].joints[0]["left wrist"]) for j in joints]
    assert moved[0] < 0.2 * moved[1], "limbs at speed 0 should only follow the torso"
