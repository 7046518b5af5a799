"""What a user can mend is one line and status 2; a bug keeps its traceback."""

from __future__ import annotations

import pytest

from pdnet.base.command import BAD_INPUT, one_line_errors
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
