"""The table of faults names tests that there are."""

from __future__ import annotations

import ast
import re

import pytest

from tests.helpers import ROOT

ROWS = [
    line
    for line in (ROOT / "docs/faults.md").read_text().splitlines()
    if re.match(r"\| [A-E]", line)
]


@pytest.mark.parametrize("row", ROWS)
def test_every_fault_has_a_test(row):
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", row)
    assert named and row.count("::") == len(named), row
    for file, name in named:
        tree = ast.parse((ROOT / "tests" / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name


def test_every_fault_is_there():
    assert {row.split("|")[1].strip() for row in ROWS} >= {
        *(f"A{n}" for n in range(1, 12)),
        *(f"B{n}" for n in range(12, 15)),
        *(f"C{n}" for n in range(15, 21)),
    }
