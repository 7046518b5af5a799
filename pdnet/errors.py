"""The one exception that a user is meant to read."""


class InputError(Exception):
    """Something the user gave cannot be used.

    Its text is one line (or a short list) that says what is wrong, where, and what to do.
    The command line prints it and ends with status 2; nothing else is caught.
    """

    def _render_traceback_(self) -> list[str]:
        # how IPython asks an exception what to show: in a notebook it is one line too
        return [f"error: {self}"]
