"""What a stage depends on is computed: its recipe names the code that it reaches."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import yaml

from pdnet.base.imports import PACKAGE, imported_names, module_files
from pdnet.config import Interaction
from pdnet.stages.recipes import code_of
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


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


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


def stages_that_reach(file: str) -> set[str]:
    return {stage for stage in STAGES if stage != "recipes" and file in code_of(stage)}


def test_a_stage_depends_on_its_recipe_and_on_no_code_beside_it():
    for name, stage in STAGES.items():
        if name == "recipes":
            assert {"params.yaml", "pipelines", "pdnet", "notebooks"} == set(stage["deps"])
            continue
        item = {"ablate": "/${item.variant}", "compare": "/${item.method}"}.get(name, "")
        assert stage["deps"][0] == f"results/recipes/{name}{item}.yaml"
        assert not any(dep.endswith(".py") for dep in stage["deps"]) and "params" not in stage
        # the command runs the file whose imports were followed
        assert f"python pipelines/{name}.py" in stage["cmd"]


def test_every_method_is_a_stage():
    assert STAGES["compare"]["matrix"]["method"] == list(get_args(Interaction))


def test_a_recipe_names_the_code_that_a_stage_reaches_and_no_other():
    assert stages_that_reach("pdnet/config.py") == set(STAGES) - {"recipes"}
    assert stages_that_reach("pdnet/training/loop.py") == {"train", "ablate", "compare"}
    assert stages_that_reach("pdnet/sample/series.py") == {"imbalance"}
    # a notebook's cells are code too
    assert stages_that_reach("pdnet/report/failures.py") == {"notebooks"}
    assert stages_that_reach("pipelines/tables.py") == {"tables"}
    everything = {file for stage in STAGES if stage != "recipes" for file in code_of(stage)}
    assert not any(file.startswith("pdnet/base/") for file in everything)


def test_stages_that_compute_with_torch_fix_its_kernels():
    """The width of a processor's vectors may not reach a number that `dvc.lock` vouches for."""
    for stage in set(STAGES) - {"recipes"}:
        # RAFT is torchvision's, none of our model
        networks = ("pdnet/model", "pdnet/sources/flow.py")
        computes = any(file.startswith(networks) for file in code_of(stage))
        assert computes == STAGES[stage]["cmd"].startswith("env ${kernels} "), stage
