"""Either split can be evaluated, and a threshold cuts what is scored."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pdnet.config import EvaluateConfig, ModelConfig
from pdnet.inference.evaluate import Evaluation, evaluate
from pdnet.model import PDNet
from tests.helpers import make_tree


@pytest.fixture
def network() -> PDNet:
    values = {"backbone": "resnet18", "weights": "none", "channels": 16, "part_channels": 8}
    return PDNet(ModelConfig(**values, attention_channels=8, input_size=(64, 64))).eval()


def run(network: PDNet, tmp_path: Path, **options: object) -> Evaluation:
    data = make_tree(tmp_path / "data")
    chosen = EvaluateConfig(fps_frames=3, **options)
    return evaluate(network, data, tmp_path / "out", options=chosen, seed=1)


@pytest.mark.parametrize(("split", "clips"), [("val", {"b/three"}), ("train", {"a/one", "a/two"})])
def test_a_split_is_predicted_and_scored(network, tmp_path, split, clips):
    run(network, tmp_path, set=split)
    with (tmp_path / f"out/per-sequence_results-{split}.csv").open() as stream:
        assert {row["Sequence"] for row in csv.DictReader(stream)} == clips
    frames = json.loads((tmp_path / f"out/per-frame_results-{split}.json").read_text())
    assert set(frames) == clips
    found = {str(p.parent.relative_to(tmp_path / "out/predictions")) for p in masks(tmp_path)}
    assert found == clips


def masks(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "out/predictions").rglob("*.png"))


def test_a_low_threshold_takes_all_for_people_and_a_high_one_nothing(network, tmp_path):
    low = run(network, tmp_path, threshold=1e-6).metrics
    high = run(network, tmp_path, threshold=1 - 1e-6).metrics
    assert high["J-Mean"] == 0 < low["J-Mean"]


def test_what_differs_from_run_to_run_is_kept_apart(network, tmp_path):
    first = run(network, tmp_path)
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").glob("*.*")}
    second = run(network, tmp_path)
    after = {p.name: p.read_bytes() for p in (tmp_path / "out").glob("*.*")}
    assert first.metrics == second.metrics
    assert {name for name in before if before[name] != after[name]} <= {"speed.json"}
