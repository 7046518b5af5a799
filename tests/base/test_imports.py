"""What a file reaches through its imports, on a small package whose answer is seen at a glance."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdnet.base.imports import code_hash, imported_names, reached

FILES = {
    "__init__.py": '"""Says nothing else."""\n',
    "entry.py": (
        "from typing import TYPE_CHECKING\n"
        "from toy.base.files import write\n"
        "from toy.model import Network\n"
        "if TYPE_CHECKING:\n"
        "    from toy.types import Shape\n"
        "def late():\n"
        "    import toy.hidden\n"
    ),
    "hidden.py": "import json\n",
    "types.py": "Shape = tuple\n",
    "other.py": "nobody = 'imports this'\n",
    "base/__init__.py": '"""Cannot change a number."""\n',
    "base/files.py": "def write(): ...\n",
    "model/__init__.py": "from toy.model.network import Network\n",
    "model/network.py": "from toy.model import blocks\nclass Network: ...\n",
    "model/blocks.py": "width = 3\n",
}


@pytest.fixture
def toy(tmp_path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / "toy" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "toy"


def test_imports_inside_functions_count_and_those_for_type_checkers_do_not(toy):
    names = set(imported_names(toy / "entry.py"))
    assert "toy.hidden" in names and "toy.types.Shape" not in names


def test_reached_follows_imports_of_imports_but_not_base_nor_an_init_that_only_says(toy):
    found = {str(file.relative_to(toy)) for file in reached(toy / "entry.py", toy)}
    assert found == {"hidden.py", "model/__init__.py", "model/network.py", "model/blocks.py"}


@pytest.mark.parametrize("name", ["entry.py", "hidden.py", "model/__init__.py", "model/blocks.py"])
def test_a_change_in_a_reached_file_changes_the_hash(toy, name):
    before = code_hash("toy.entry", package=toy)
    (toy / name).write_text(FILES[name] + "more = 1\n")
    assert code_hash("toy.entry", package=toy) != before


@pytest.mark.parametrize("name", ["other.py", "types.py", "base/files.py"])
def test_a_change_in_any_other_file_leaves_the_hash(toy, name):
    before = code_hash("toy.entry", package=toy)
    (toy / name).write_text(FILES[name] + "more = 1\n")
    assert code_hash("toy.entry", package=toy) == before


def test_the_hash_does_not_depend_on_where_the_package_lies(toy, tmp_path):
    before = code_hash("toy.entry", package=toy)
    moved = tmp_path / "elsewhere" / "toy"
    moved.parent.mkdir()
    toy.rename(moved)
    assert code_hash("toy.entry", package=moved) == before
