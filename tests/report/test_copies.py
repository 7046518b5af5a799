"""Copies of notebooks to play with."""

from __future__ import annotations

import json
import socket
import subprocess

from pdnet.report.copies import fresh_copies
from pdnet.report.serve import free_port, lab_command
from tests.helpers import ROOT


def write(path, text: str, **metadata) -> None:
    cell = {"cell_type": "code", "source": [text], "outputs": [], "metadata": {}}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"cells": [cell], "metadata": metadata}))


def test_an_unchanged_copy_follows_its_notebook_and_a_changed_one_is_kept(tmp_path):
    notebooks, folder = tmp_path / "notebooks", tmp_path / "explore"
    for name in ("mine", "theirs"):
        write(notebooks / f"{name}.ipynb", "1")
    assert fresh_copies(notebooks, folder) == []
    changed = json.loads((folder / "mine.ipynb").read_text())
    changed["cells"][0]["source"] = ["my own"]
    (folder / "mine.ipynb").write_text(json.dumps(changed))
    for name in ("mine", "theirs"):
        write(notebooks / f"{name}.ipynb", "2")
    (said,) = fresh_copies(notebooks, folder)
    assert "mine.ipynb: changed by you, kept" in said
    assert json.loads((folder / "mine.ipynb").read_text())["cells"][0]["source"] == ["my own"]
    assert json.loads((folder / "theirs.ipynb").read_text())["cells"][0]["source"] == ["2"]


def test_a_file_that_is_no_copy_is_kept(tmp_path):
    write(tmp_path / "notebooks/a.ipynb", "1")
    (tmp_path / "explore").mkdir()
    (tmp_path / "explore/a.ipynb").write_text("mine")
    assert len(fresh_copies(tmp_path / "notebooks", tmp_path / "explore")) == 1
    assert (tmp_path / "explore/a.ipynb").read_text() == "mine"


def test_git_does_not_look_at_copies():
    asked = ["git", "check-ignore", "-q", "explore/report.ipynb"]
    assert subprocess.run(asked, cwd=ROOT, check=False).returncode == 0


def test_a_port_that_is_taken_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) > port


def test_only_root_is_allowed_root():
    assert "--allow-root" in lab_command(8888, root=True)
    assert "--allow-root" not in lab_command(8888, root=False)
