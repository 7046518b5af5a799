"""What the bench commands print."""

from __future__ import annotations

import json


def test_bench_commands(cli, tmp_path):
    small_one = ("--backbone", "resnet18", "--size", 64, "--rounds", 1)
    status, text = cli("bench", "model", *small_one, "-o", tmp_path / "b.json")
    result = json.loads((tmp_path / "b.json").read_text())
    assert (
        status == 0
        and "channels last" in text
        and result["gmacs_pairwise"] > 1.5 * result["gmacs_cached"]
    )
    assert result["part_loss_memory_ratio"] > 20 and result["seconds"]["pairwise"] > 0
    status, text = cli("bench", "step", *small_one, "--batch", 2, "--checkpointing")
    assert status == 0 and "peak memory" in text
    status, text = cli("bench", "step", "--resolution", "fine")
    assert status == 2 and "resolution" in text
