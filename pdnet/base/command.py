"""What every command does with an error: one line and status 2, never a traceback."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from pdnet.errors import InputError

Given = ParamSpec("Given")
Result = TypeVar("Result")
BAD_INPUT = 2  # exit status


def one_line_errors(command: Callable[Given, Result]) -> Callable[Given, Result]:
    """Turns what a user can mend into a line of text and exit status 2; anything else is a bug."""

    @functools.wraps(command)
    def wrapped(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except InputError as error:
            sys.stderr.write(f"error: {error}\n")
        except OSError as error:
            reason = error.strerror or error
            sys.stderr.write(f"error: {error.filename or ''}: {reason}; check space and rights\n")
        raise SystemExit(BAD_INPUT)

    return wrapped
