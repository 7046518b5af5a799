"""The lock file, and what the command line says of itself."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import distributions

from packaging.specifiers import SpecifierSet

from tests.helpers import ROOT, TINY, write_params


def test_every_pinned_package_takes_the_oldest_python_that_is_promised():
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest = promised.removeprefix(">=") + ".0"
    pins = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()}
    needs = {
        d.name: d.metadata.get("Requires-Python", "") for d in distributions() if d.name in pins
    }
    assert len(needs) > 100
    assert not {
        name: need for name, need in needs.items() if not SpecifierSet(need).contains(oldest)
    }


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
