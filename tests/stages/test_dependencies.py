"""What a stage depends on is computed from its imports; parameters read are watched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pdnet.base.imports import PACKAGE, imported_names, module_files, only_says, reached
from tests.helpers import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# floors of the house: a room imports from its own and from lower floors only
FLOORS = (
    ("errors",),
    ("base",),
    ("config",),
    ("data",),
    ("sample", "model", "metrics"),
    ("sources", "losses", "official"),
    ("inference",),
    ("training",),
    ("experiments",),
    ("report",),
    ("stages", "bench"),
    ("cli",),
)
MOST_ROOMS = 18


def floor_of(file: Path) -> int:
    room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0]


def code_files() -> list[Path]:
    return [file for file in sorted(PACKAGE.rglob("*.py")) if file != PACKAGE / "__init__.py"]


def imports_upwards(file: Path) -> list[str]:
    """Imports of a file that lead to a higher floor, or to another room of its own floor."""
    found = []
    for target in direct_imports(file):
        beside = floor_of(target) == floor_of(file) and room_of(target) != room_of(file)
        if beside or floor_of(target) > floor_of(file):
            found.append(f"{file.relative_to(ROOT)} imports {target.relative_to(ROOT)}")
    return found


def test_no_import_leads_upwards():
    found = [line for file in code_files() for line in imports_upwards(file)]
    assert not found, "\n".join(found)


def direct_imports(file: Path) -> set[Path]:
    """The files that a file names; a package's `__init__` that Python runs on the way is no import
    of ours.
    """
    named = {
        list(module_files(name))[-1] for name in imported_names(file) if list(module_files(name))
    }
    return named - {PACKAGE / "__init__.py"}


def test_no_circle():
    graph = {file: direct_imports(file) for file in code_files()}
    for start in graph:
        seen: set[Path] = set()
        pending = list(graph[start])
        while pending:
            file = pending.pop()
            if file not in seen:
                seen.add(file)
                pending += graph.get(file, ())
        assert start not in seen, f"{start.relative_to(ROOT)} imports itself in a circle"


def test_contributing_names_every_room_on_its_floor():
    # a folder without code, `weights`, is no room
    modules = [path for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))]
    rooms = {path.stem for path in modules} - {"__init__"}
    assert rooms == {room for floor in FLOORS for room in floor} and len(rooms) < MOST_ROOMS
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rows = [
        line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `pdnet/")
    ]
    told = [tuple(room.strip("` /").removesuffix(".py") for room in row.split(",")) for row in rows]
    told = [tuple(room.removeprefix("pdnet/") for room in row) for row in told]
    assert [set(row) for row in told] == [set(floor) for floor in FLOORS]


def thin_file(stage: str) -> str:
    """The file in `pipelines/` that a stage's command runs."""
    return next(word for word in STAGES[stage]["cmd"].split() if word.startswith("pipelines/"))


def entry_points(stage: str, folder: Path) -> list[Path]:
    """Files that a stage runs: its thin file, and the notebooks' code where it executes them."""
    entries = [ROOT / thin_file(stage)]
    if stage == "notebooks":
        for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
            cells = json.loads(notebook.read_text())["cells"]
            code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
            entries.append(folder / f"{notebook.stem}.py")
            entries[-1].write_text("\n".join(code))
    return entries


def declared(stage: str) -> list[Path]:
    return [ROOT / dep for dep in STAGES[stage]["deps"] if dep.startswith("pdnet")]


def files_below(place: Path) -> Iterator[Path]:
    for file in [place] if place.is_file() else sorted(place.rglob("*.py")):
        if not only_says(file):
            yield file


def shortest(files: set[Path]) -> list[str]:
    """The declaration of these files: a folder where it is whole, else what is in it."""
    lines: list[str] = []
    for place in sorted(PACKAGE.iterdir()):
        lines += [str(path.relative_to(ROOT)) for path in _whole_places(place, files)]
    return lines


def _whole_places(place: Path, files: set[Path]) -> Iterator[Path]:
    inside = set(files_below(place)) if place.is_dir() or place.suffix == ".py" else set()
    if inside and inside <= files:
        yield place
    elif inside & files:
        for child in sorted(place.iterdir()):
            yield from _whole_places(child, files)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_code_that_it_reaches_and_no_other(stage, tmp_path):
    reach: set[Path] = set()
    for entry in entry_points(stage, tmp_path):
        reach |= reached(entry)
    told = {file for place in declared(stage) for file in files_below(place)}
    wanted = "\n".join(f"      - {line}" for line in shortest(reach))
    assert told == reach, f"dvc.yaml, stage {stage}, should declare of our code:\n{wanted}"
    assert thin_file(stage) in STAGES[stage]["deps"]


def test_stages_that_compute_with_torch_fix_its_kernels():
    """The width of a processor's vectors may not reach a number that `dvc.lock` vouches for."""
    for stage in STAGES:
        # RAFT is torchvision's, none of our model
        networks = ("pdnet/model", "pdnet/sources/flow.py")
        computes = any(dep.startswith(networks) for dep in STAGES[stage]["deps"])
        assert computes == STAGES[stage]["cmd"].startswith("env ${kernels} "), stage
