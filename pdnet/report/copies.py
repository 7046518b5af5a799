"""Copies of the notebooks to play with: what a reader opens and saves is never what git tracks."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pdnet.base.files import write_text
from pdnet.errors import InputError

MADE_FROM = "pdnet_made_from"  # in a copy's metadata: the hash of the cells that it was made with


def fresh_copies(notebooks: Path, folder: Path) -> list[str]:
    """Puts a copy of every notebook into a folder.

    A copy that is not there is made; one whose cells nobody changed follows its notebook. A copy
    that somebody changed, or that is nobody's copy, stays as it is.

    Args:
        notebooks: the tracked ones.
        folder: for the copies; made where it is not there.

    Returns:
        a line for each copy that stays although its notebook is another one by now.

    Raises:
        InputError: no notebooks, or a copy cannot be written.
    """
    originals = sorted(notebooks.glob("*.ipynb"))
    if not originals:
        raise InputError(f"{notebooks}: no notebooks; run this in the project's folder")
    kept = []
    for original in originals:
        copy, content = folder / original.name, json.loads(original.read_text())
        state = _state(copy, _cells_hash(content))
        if state == "changed":
            kept.append(f"{copy}: changed by you, kept; remove it for the one of {notebooks}/")
        if state == "old":
            content["metadata"][MADE_FROM] = _cells_hash(content)
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            write_text(copy, text)
    return kept


def _state(copy: Path, original: str) -> str:
    """`old` (not there, or unchanged and its notebook is newer), `current`, or `changed`."""
    if not copy.is_file():
        return "old"
    try:
        content = json.loads(copy.read_text())
        made_from, now = content["metadata"].get(MADE_FROM), _cells_hash(content)
    except (ValueError, LookupError, TypeError, AttributeError):
        return "changed"  # somebody's file, whatever it is
    if now == original:
        return "current"
    return "old" if now == made_from else "changed"


def _cells_hash(notebook: dict[str, Any]) -> str:
    """Of what somebody writes in a notebook; outputs and the look of cells do not count."""
    cells = [[cell["cell_type"], "".join(cell["source"])] for cell in notebook["cells"]]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()
