"""A variant's trainings and scores have keys of their own: what cannot change a result repeats
nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pdnet.experiments.variants import Places, run_variant
from tests.helpers import TINY, make_tree, write_params


@pytest.fixture
def places(tmp_path) -> Places:
    data = make_tree(tmp_path / "data")
    return Places(data=data, series=tmp_path / "none", work=tmp_path / "work", out=tmp_path / "out")


def run(tmp_path: Path, places: Places, **changes: object) -> dict[str, bool]:
    """Runs the variant `full`; whether its first seed was trained and was scored this time."""
    short = {"train.epochs": 1, "train.steps_per_epoch": 1, "train.holdout": []}
    values = {**TINY, "ablation.seeds": [1], "ablation.set": short, **changes}
    params = write_params(tmp_path / "p.yaml", **values)
    folder = places.work / "full" / "1"
    notes = {"trained": folder / "trained.json", "scored": folder / "scores.json"}
    before = {name: _stamp(note) for name, note in notes.items()}
    run_variant(params, "full", places)
    return {name: _stamp(note) != before[name] for name, note in notes.items()}


def _stamp(note: Path) -> int | None:
    return note.stat().st_mtime_ns if note.is_file() else None


@pytest.mark.parametrize(
    ("change", "trained", "scored"),
    [
        ({}, False, False),
        ({"evaluate__threshold": 0.4}, False, True),
        ({"report__best_worst": 1}, False, False),
        ({"machine__workers": 2}, False, False),
        ({"ablation__seeds": [1, 2]}, False, False),
        ({"data__sample_images": 7}, False, False),
        ({"loss__area": 0.5}, True, True),
    ],
)
def test_only_what_a_change_bears_on_is_done_again(tmp_path, places, change, trained, scored):
    assert run(tmp_path, places) == {"trained": True, "scored": True}
    assert run(tmp_path, places, **change) == {"trained": trained, "scored": scored}


def test_a_new_variant_leaves_the_others_alone(tmp_path, places):
    run(tmp_path, places)
    raw = yaml.safe_load((tmp_path / "p.yaml").read_text())["ablation"]["variants"]
    variants = {**raw, "odd": {"loss.area": 0.3}}
    changed = run(tmp_path, places, **{"ablation.variants": variants})
    assert changed == {"trained": False, "scored": False}


def test_a_damaged_checkpoint_is_trained_again(tmp_path, places):
    run(tmp_path, places)
    (places.work / "full/1/pdnet.safetensors").write_bytes(b"half")
    assert run(tmp_path, places)["trained"]


def test_other_code_trains_or_scores_again(tmp_path, places, monkeypatch):
    run(tmp_path, places)
    monkeypatch.setattr("pdnet.experiments.variants.code_hash", lambda *_: "other scoring")
    assert run(tmp_path, places) == {"trained": False, "scored": True}
    monkeypatch.setattr("pdnet.training.state.code_hash", lambda *_: "other training")
    assert run(tmp_path, places)["trained"]


def test_another_evaluation_split_is_scored(tmp_path, places):
    run(tmp_path, places, **{"evaluate.set": "train"})
    clips = (places.out / "clips.csv").read_text()
    assert "a/one" in clips and "b/three" not in clips
