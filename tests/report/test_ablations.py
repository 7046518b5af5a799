"""The flow question, inside clips."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pdnet.base.manifest import bring
from pdnet.data.layout import read_tree
from pdnet.experiments.tables import write_table_files
from pdnet.report import ablations
from pdnet.sample.render import clip_units
from pdnet.sample.series import series


@pytest.mark.parametrize(
    ("growth", "clips", "says"),
    [(5.0, 6, "a trend"), (0.0, 6, "within noise"), (5.0, 2, "too few")],
)
def test_the_flow_question_is_asked_inside_clips(growth, clips, says):
    rng = np.random.default_rng(3)
    imbalance = rng.uniform(0, 1, (clips, 12))
    table = pd.DataFrame({"clip": np.repeat(np.arange(clips), 12), "imbalance": imbalance.ravel()})
    table["gain"] = growth * table.imbalance + 10 * table["clip"] + rng.normal(0, 0.3, len(table))
    assert says in ablations.flow_trend(table)


def test_flow_imbalance_of_limbs_at_rest_and_in_motion(tmp_path):
    clips = [c for c in series([0.0, 3.0], 11) if "speaker" in c.name]
    bring(tmp_path / "series", clip_units(clips, between=False), "render", workers=1)
    frames = [(clip.name, clip.frames[1]) for clip in read_tree(tmp_path / "series").clips("val")]
    rest, motion = ablations.frames_imbalance(tmp_path / "series", frames).imbalance
    assert 0 <= rest < motion


def test_the_page_says_how_its_numbers_came_about_once(tmp_path):
    trained, tested = "Short trainings; 3 seeds.", "p: a test."
    said = {"table3": f"{trained} {tested}", "table4": f"{trained} {tested}"}
    said |= {
        "table5": "The main training.",
        "imbalance": f"{trained} p: another.",
        "control": trained,
    }
    for name, note in said.items():
        write_table_files(pd.DataFrame({"J": [1]}), tmp_path / name, note)
    notes = ablations.notes(tmp_path)
    for text in (trained, tested, "The main training.", "p: another."):
        assert notes.count(text) == 1
    table = ablations.bare_table(tmp_path, "table3")
    assert "| J" in table and trained not in table
