"""What the house style asks for and no linter looks at."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.helpers import ROOT

FILES = sorted(ROOT.glob("pdnet/**/*.py"))
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_one_step_at_a_time(path):
    """A comprehension has one `for`, a conditional expression no second one inside it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, COMPREHENSIONS):
            assert len(node.generators) == 1, f"line {node.lineno}: two loops in one expression"
        if isinstance(node, ast.IfExp):
            inner = [n for n in ast.walk(node) if isinstance(n, ast.IfExp) and n is not node]
            assert not inner, f"line {node.lineno}: a condition inside a condition"


def test_a_class_name_occurs_once():
    seen: dict[str, Path] = {}
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                assert node.name not in seen, f"{node.name}: {name(path)}, {name(seen[node.name])}"
                seen[node.name] = path
