"""What every command does with an error: one line and status 2, never a traceback."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from pdnet.base.parallel import end_bars
from pdnet.errors import InputError

Given = ParamSpec("Given")
Result = TypeVar("Result")
BAD_INPUT = 2  # exit status
INTERRUPTED = 130  # exit status of a command that Ctrl-C ended, as shells have it


def one_line_errors(command: Callable[Given, Result]) -> Callable[Given, Result]:
    """Turns what a user can mend into a line of text and exit status 2; anything else is a bug.

    What libraries raise on bad input is an `InputError` before it comes here, since only the place
    that called them can say what to do; left are the disk, the memory and Ctrl-C.
    """

    @functools.wraps(command)
    def wrapped(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        # a name that is no UTF-8 can be printed then
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        try:
            return command(*args, **kwargs)
        except InputError as error:
            text, status = f"error: {error}", BAD_INPUT
        except OSError as error:
            text, status = f"error: {_of_the_disk(error)}", BAD_INPUT
        except MemoryError:
            text, status = "error: out of memory; use smaller sizes or fewer workers", BAD_INPUT
        except KeyboardInterrupt:
            text, status = "stopped; the same command goes on where it can", INTERRUPTED
        # a bar that is drawn after the error would hide it
        end_bars()
        sys.stderr.write(text + "\n")
        raise SystemExit(status)

    return wrapped


def _of_the_disk(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; check space and rights"
