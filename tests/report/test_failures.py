"""What bad frames have in common is asked inside clips and tested across them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pdnet.experiments.statistics import inside_clips
from pdnet.report.failures import in_common, worst_kinds


def table(slope: float, clips: int = 7, frames: int = 12, hard: int = 0) -> pd.DataFrame:
    """Frames whose J&F falls with motion by `slope`; the first `hard` clips are worse and move
    more.
    """
    rng, rows = np.random.default_rng(0), []
    for clip in range(clips):
        for frame in range(frames):
            motion = rng.uniform(0, 0.3) + (0.5 if clip < hard else 0)
            score = 0.8 - slope * motion - (0.4 if clip < hard else 0) + rng.normal(0, 0.01)
            row = {"clip": str(clip), "frame": f"{frame:05d}", "J": score, "F": score}
            row |= {"J&F": score, "motion": motion, "size": 0.2, "people": 1.0, "cut": rng.random()}
            rows.append(row | {"missed": 1 - score, "false": 0.0, "boundary": 0.1})
    return pd.DataFrame(rows)


def test_a_factor_inside_clips_is_found():
    said = in_common(table(slope=1.0))
    assert float(said.loc["motion", "rank correlation with J&F"]) < -0.8
    assert said.loc["motion", "clips"] == 7
    assert float(said.loc["motion", "p (Holm)"]) < 0.05
    assert said.loc["motion", "smallest possible p"] == "0.016"


def test_one_bad_clip_that_moves_more_is_no_finding():
    """Pooled over frames the worst tenth all lie in one clip, and motion would look guilty."""
    frames = table(slope=0.0, hard=1)
    worst = frames[frames["J&F"] <= frames["J&F"].quantile(0.1)]
    assert set(worst["clip"]) == {"0"} and worst.motion.mean() > 2 * frames.motion.mean()
    assert float(in_common(frames).loc["motion", "p (Holm)"]) > 0.05


def test_a_factor_that_never_changes_inside_a_clip_cannot_be_asked():
    assert inside_clips(table(slope=1.0), "people", "J&F") == []
    said = in_common(table(slope=1.0)).loc["people"]
    assert said["rank correlation with J&F"] == "the same in all frames of a clip"
    assert said["p (Holm)"] == "too few clips to test"


def test_few_clips_are_not_tested():
    assert in_common(table(slope=1.0, clips=3)).loc["motion", "p (Holm)"] == "too few clips to test"


def test_kinds_of_error_are_shown_without_a_test():
    said = worst_kinds(table(slope=1.0))
    assert list(said.columns) == ["worst tenth of each clip", "its other frames"]
    assert said.loc["missed"].iloc[0] > said.loc["missed"].iloc[1]
    assert said.loc["boundary"].to_list() == pytest.approx([10.0, 10.0])
