"""docs/study/filmed: filmed clips, each scored by networks that were trained without it. No part of
`dvc repro`: it takes hours and its results are recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pdnet.base.lock import only_writer
from pdnet.config import LEFT_OUT_DATA, LEFT_OUT_RAW, LEFT_OUT_WORK, SOURCE
from pdnet.experiments.left_out import LeftOutFolders, run_left_out
from pdnet.experiments.record import read_shard
from pdnet.report.left_out import write_figure


def run(
    params: Path,
    values: Mapping[str, Any],
    out: Path,
    shard: str = "1/1",
    rows: Sequence[str] = (),
) -> list[str]:
    """Trains, scores, writes the tables and draws them.

    Args:
        params: parameter file.
        values: by dotted name, in place of the file's.
        out: folder for the tables.
        shard: `2/3` does the second third of the trainings.
        rows: whose trainings; all of `left_out.run` without any named.

    Returns:
        the trainings that are neither done nor recorded, as `row clip seed`.
    """
    part = read_shard(shard)
    places = LeftOutFolders(SOURCE, LEFT_OUT_RAW, LEFT_OUT_DATA, LEFT_OUT_WORK, out)
    with only_writer(LEFT_OUT_WORK):
        missing = run_left_out(params, values, places, part, rows)
    if (out / "summary.md").is_file():
        write_figure(out)
    return missing
