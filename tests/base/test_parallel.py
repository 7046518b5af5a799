"""Workers: results in order, and none that outlives its command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pdnet.base.parallel import BEHIND, behind, each

SCRIPT = """
import os, sys, time
from pathlib import Path
from pdnet.base.parallel import each

def work(number):
    (Path(sys.argv[1]) / f"{os.getpid()}-{number}").touch()
    time.sleep(0.2)

if __name__ == "__main__":
    each(work, range(1000), "work", workers=2)
"""


def test_results_are_told_as_they_come_and_returned_in_order():
    told: list[int] = []
    assert each(abs, range(-5, 0), "work", workers=2, done=told.append) == [5, 4, 3, 2, 1]
    assert sorted(told) == [1, 2, 3, 4, 5]


def test_no_worker_writes_on_after_its_command_was_killed(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "out")]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def made() -> set[Path]:
        return set((tmp_path / "out").iterdir())

    deadline = time.monotonic() + 60
    while len(made()) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)  # it alone, not its group
    running.wait()
    time.sleep(0.5)
    before = made()
    assert before
    time.sleep(1)
    assert made() == before


def test_calls_behind_are_done_in_order_before_the_block_ends():
    done: list[int] = []
    with behind() as call:
        for number in range(3 * BEHIND):
            call(done.append, number)
    assert done == list(range(3 * BEHIND))


def failing(number: int) -> None:
    if number == 1:
        raise ValueError("one")


def test_an_error_behind_comes_out_of_one_of_the_next_calls_or_of_the_end():
    given = 0
    with pytest.raises(ValueError, match="one"), behind() as call:
        for number in range(100):
            call(failing, number)
            given += 1
    assert given <= BEHIND + 2
    with pytest.raises(ValueError, match="one"), behind() as call:
        call(failing, 1)


def test_the_blocks_own_error_goes_before_and_what_was_given_is_done():
    done: list[int] = []
    with pytest.raises(KeyError), behind() as call:
        call(done.append, 2)
        call(failing, 1)
        raise KeyError
    assert done == [2]
