"""The lock file, and what the command line says of itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distributions

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from pdnet.config import OUTPUTS
from pdnet.report.serve import app_command, lab_command, ui_command
from pdnet.stages.download import ASIDE
from tests.helpers import ROOT, TINY, write_params

LOCK = (ROOT / "requirements.lock").read_text()
# `name==version ; marker`, then a hash a line
PINNED = re.compile(r"(\S+)==(\S+)( ; (.+?))?(( \\\n    --hash=sha256:[0-9a-f]{64})+)\n")
PINS = {canonicalize_name(match[1]): match for match in PINNED.finditer(LOCK)}
INSTALLED = {canonicalize_name(d.name): d for d in distributions()}


def test_every_package_is_pinned_with_hashes_and_nothing_else_is_in_the_lock():
    comments = "".join(line + "\n" for line in LOCK.splitlines() if line.startswith("#"))
    assert comments + "".join(match[0] for match in PINS.values()) == LOCK
    assert len(PINS) > 250
    # what torch adds on Linux must not be asked for elsewhere
    for name, match in PINS.items():
        linux_only = name.startswith(("nvidia-", "cuda-", "triton"))
        assert (match[4] == 'platform_system == "Linux"') == linux_only, name


def needed(system: str, machine: str, python: str) -> set[str]:
    """All packages that a machine needs, by what the installed ones say."""
    environment = {"platform_system": system, "sys_platform": system.lower(), "os_name": "posix"}
    environment |= {"platform_machine": machine, "python_version": python}
    environment |= {"python_full_version": f"{python}.0", "implementation_name": "cpython"}
    found: set[tuple[str, str]] = set()
    waiting = [("pdnet", "test")]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        requires = INSTALLED[name].requires if name in INSTALLED else None
        for requirement in map(Requirement, requires or []):
            marker = requirement.marker
            if marker is None or marker.evaluate({**environment, "extra": extra}):
                wanted = canonicalize_name(requirement.name)
                waiting += [(wanted, each) for each in ("", *requirement.extras)]
    return {name for name, _ in found} - {"pdnet"}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize(
    ("system", "machine"), [("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")]
)
def test_the_lock_has_all_that_a_machine_needs(system, machine, python):
    # with hashes pip installs nothing that is not in the lock
    assert not needed(system, machine, python) - PINS.keys()


def test_every_pinned_package_takes_the_oldest_python_that_is_promised():
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest = promised.removeprefix(">=") + ".0"
    needs = {
        name: INSTALLED[name].metadata.get("Requires-Python", "")
        for name in PINS.keys() & INSTALLED.keys()
    }
    assert len(needs) > 100
    assert not {
        name: need for name, need in needs.items() if not SpecifierSet(need).contains(oldest)
    }


def test_the_set_up_installs_what_has_a_hash_and_the_project_itself():
    recipe = (ROOT / "Makefile").read_text().split("$(STAMP): ")[1].split("\n\n")[0]
    [half] = re.findall(r"^HALF := (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    recipe = recipe.replace("$(HALF)", half)
    installs = [line for line in recipe.splitlines() if "$(PIP) install" in line]
    assert len(installs) == 4
    for line in installs:
        own = "--no-deps --no-build-isolation --editable ." in line
        assert "--require-hashes" in line or own, line


@pytest.mark.parametrize("target", ["ui", "lab", "app", "repro"])
def test_a_server_listens_here_alone_and_nobody_is_told(target):
    command = ["make", "-n", "-p", "-o", ".venv/.ready", target]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    assert "MLFLOW_DISABLE_TELEMETRY = true" in said and "DO_NOT_TRACK = true" in said
    run = [line for line in said.splitlines() if line.startswith(".venv/bin/")]
    assert run
    store = "sqlite:///mlflow.db"
    commands = {"ui": ui_command(5000, store), "lab": lab_command(8888, root=True)}
    commands["app"] = app_command(8866)
    if target in commands:
        assert any("127.0.0.1" in word for word in commands[target])


def test_clean_removes_what_the_pipeline_writes():
    """But not what was set aside: it may be somebody's work."""
    rule = (ROOT / "Makefile").read_text().split("\nclean:")[1].split("rm -rf")[1].split()
    assert {str(out) for out in OUTPUTS} | {"data/archives", str(ASIDE)} <= set(rule)
    assert not [place for place in rule if "changed" in place or place == "data"]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", ["study", "left-out", "people"])
def test_recorded_trainings_have_the_kernels_of_the_stages(target):
    [first, *_] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["vars"]
    asked = ["make", "-n", target, f"DATA={ROOT}"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    assert f"{first['kernels']} " in done.stdout


def test_help_teaches(cli):
    for command in ("evaluate", "segment", "train"):
        status, text = cli(command, "--help")
        assert status == 0 and "Usage" in text
    done = subprocess.run(
        [sys.executable, "-m", "pdnet.cli", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "segment" in done.stdout


def test_an_unfinished_pipeline_says_what_is_missing(cli, tmp_path, monkeypatch):
    write_params(tmp_path / "params.yaml", **TINY)
    monkeypatch.chdir(tmp_path)
    for stage, says in (
        ("preprocess", "data/raw"),
        ("train", "data/480p"),
        ("predict", "models/pdnet.safetensors"),
    ):
        status, text = cli(stage)
        assert status == 2 and says in text, text
