"""One writer a folder, named to whoever comes second."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pdnet.base.lock import only_writer
from pdnet.errors import InputError

HOLD = """
import sys, time
from pathlib import Path
from pdnet.base.lock import only_writer
with only_writer(Path(sys.argv[1])):
    (Path(sys.argv[1]) / ".writing-half.pt").write_text("half")
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that writes into `tmp_path / out`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "held\n"
        yield running
        running.kill()


def test_the_second_writer_is_told_who_the_first_is(holder, tmp_path):
    said = f"out: in use by process {holder.pid} on .* since"
    with pytest.raises(InputError, match=said), only_writer(tmp_path / "out"):
        raise AssertionError("two writers")
    assert (tmp_path / "out/.writing-half.pt").exists(), "the first one's file is not touched"


def test_a_killed_writer_leaves_no_lock_and_its_half_files_go(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with only_writer(tmp_path / "out"):
        assert [file.name for file in (tmp_path / "out").iterdir()] == [".pdnet-lock"]
    assert not list((tmp_path / "out").iterdir())


def test_the_lock_can_be_taken_again_and_again_by_many(tmp_path):
    """Taking and giving back race for one name: nobody may hold a lock that is gone."""
    script = (
        "import sys, time; from pathlib import Path; from pdnet.base.lock import only_writer\n"
        "from pdnet.errors import InputError\n"
        "out, mine = Path(sys.argv[1]), 0\n"
        "while mine < 30:\n"
        "    try:\n"
        "        with only_writer(out):\n"
        "            with (out / 'count').open('r+') as f:\n"
        "                n = int(f.read()); f.seek(0); time.sleep(0.0005); f.write(str(n + 1))\n"
        "            mine += 1\n"
        "    except InputError:\n"
        "        time.sleep(0.0001)\n"
    )
    (tmp_path / "count").write_text("0")
    command = [sys.executable, "-c", script, str(tmp_path)]
    running = [subprocess.Popen(command) for _ in range(3)]
    deadline = time.monotonic() + 60
    for process in running:
        assert process.wait(max(1.0, deadline - time.monotonic())) == 0
    assert (tmp_path / "count").read_text() == "90"


def test_a_folder_inside_with_its_own_writer_is_left_alone(holder, tmp_path):
    (tmp_path / ".writing-old").touch()
    with only_writer(tmp_path):
        assert not (tmp_path / ".writing-old").exists()
        assert (tmp_path / "out/.writing-half.pt").exists()


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere/at/all")])
def test_a_place_that_can_be_no_folder_is_one_line(tmp_path, make):
    make(tmp_path / "taken")
    said = "taken: cannot be written"
    with pytest.raises(InputError, match=said), only_writer(tmp_path / "taken"):
        raise AssertionError("a folder after all")


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_link_in_the_locks_place_reaches_nobodys_file(tmp_path, link):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out").mkdir()
    link(tmp_path / "mine", tmp_path / "out/.pdnet-lock")
    with pytest.raises(InputError, match="cannot be written"), only_writer(tmp_path / "out"):
        raise AssertionError("taken")
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_lock_that_was_removed_is_not_the_next_holders(tmp_path):
    out = tmp_path / "out"
    with only_writer(out):
        shutil.rmtree(out)
        with only_writer(out):
            assert (out / ".pdnet-lock").exists()
        out.mkdir(exist_ok=True)
        (out / ".pdnet-lock").write_text("another's")
    assert (out / ".pdnet-lock").read_text() == "another's"
