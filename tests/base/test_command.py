"""What a user can mend is one line and status 2; a bug keeps its traceback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pdnet.base.command import BAD_INPUT, one_line_errors
from pdnet.base.parallel import progress
from pdnet.errors import InputError


@pytest.mark.parametrize(
    "error, says",
    [
        (InputError("masks: 3 missing"), "error: masks: 3 missing\n"),
        (
            PermissionError(13, "Permission denied", "out.csv"),
            "error: out.csv: Permission denied; check space and rights\n",
        ),
    ],
)
def test_what_a_user_can_mend_is_a_line_and_status_2(capsys, error, says):
    @one_line_errors
    def command():
        raise error

    with pytest.raises(SystemExit) as end:
        command()
    assert end.value.code == BAD_INPUT == 2 and capsys.readouterr().err == says


def test_a_bug_is_not_hidden():
    @one_line_errors
    def command():
        raise KeyError("bug")

    with pytest.raises(KeyError):
        command()


def test_a_command_that_ends_well_gives_its_result_and_keeps_its_name():
    @one_line_errors
    def double(value: int) -> int:
        """Twice the value."""
        return 2 * value

    assert double(4) == 8 and double.__name__ == "double" and double.__doc__ == "Twice the value."


def test_a_bar_ends_before_the_error(capsys):
    @one_line_errors
    def command():
        for _ in progress(range(5), "work"):
            raise InputError("no luck")

    with pytest.raises(SystemExit):
        command()
    *_, bar, error, rest = capsys.readouterr().err.replace("\r", "\n").split("\n")
    assert "work" in bar and error == "error: no luck" and rest == ""


def test_a_name_that_is_no_text_can_be_printed(tmp_path):
    script = (
        "from pdnet.base.command import one_line_errors\n"
        "one_line_errors(lambda: print('masks in \\udcff'))()"
    )
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=strict, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "masks in \\udcff\n"), done.stderr


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [(KeyboardInterrupt(), 130, "stopped"), (MemoryError(), 2, "error: out of memory")],
)
def test_ctrl_c_and_a_full_memory_are_one_line(capsys, error, status, says):
    @one_line_errors
    def command():
        raise error

    with pytest.raises(SystemExit) as end:
        command()
    text = capsys.readouterr().err
    assert end.value.code == status and text.startswith(says) and text.count("\n") == 1
