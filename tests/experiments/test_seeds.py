"""How many trainings run at a time."""

from __future__ import annotations

import pytest

from pdnet.config import MachineConfig
from pdnet.experiments import seeds
from pdnet.experiments.seeds import side_by_side, with_each_seed


@pytest.mark.parametrize(
    ("threads", "workers", "expected"),
    [(1, 0, 8), (1, 3, 3), (2, 0, 4), (3, 0, 2), (16, 0, 1), (0, 0, 1), (1, 1, 1)],
)
def test_as_many_as_keep_the_cores_busy(threads, workers, expected, monkeypatch):
    monkeypatch.setattr(seeds, "cores", lambda: 8)
    machine = MachineConfig(threads=threads, workers=workers, device="cpu")
    assert side_by_side(machine) == expected


def test_a_gpu_has_one_at_a_time(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert side_by_side(MachineConfig(threads=1, device="auto")) == 1


def test_results_are_told_by_seed(monkeypatch):
    monkeypatch.setattr(seeds, "side_by_side", lambda _: 1)

    class Parameters:
        machine = None

    found = with_each_seed(lambda one: one[0] * 10, {3: Parameters, 1: Parameters}, "what")
    assert found == {3: 30, 1: 10}
