"""Names and tables as MLflow takes and shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence


def admitted(name: str) -> str:
    """A name as MLflow's metrics may have it: letters, digits and a few signs."""
    return re.sub(r"[^\w\-. :/]", "_", name.replace("&", "and").replace("+", " and "))


def markdown_table(
    what: str, rows: Mapping[str, Mapping[str, float]], columns: Sequence[str]
) -> str:
    """Shares as a table in per cent.

    Args:
        what: the rows are.
        rows: name -> column -> share.
        columns: that are shown.
    """
    lines = [f"| {what} | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    for name, row in rows.items():
        values = " | ".join(f"{100 * float(row[column]):.2f}" for column in columns)
        lines.append(f"| {name} | {values} |")
    return "\n".join(lines)
