"""Lists of clips: text files that came from anywhere, names that mean one place each."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from pdnet.errors import InputError

DRIVE = re.compile("[A-Za-z]:")  # of Windows, at the beginning of a name
# a comma would split a name in the result files, a control character a line
UNFIT = re.compile(r"[,\x00-\x1f\x7f-\x9f\u2028\u2029]")


def read_list(root: Path, name: str) -> list[str]:
    """Clip names in `ImageSets/NAME.txt`, or an empty list where there is no such file.

    UTF-8 with or without a byte-order mark, a name a line. `./c`, `c/` and Windows' `c\\d` are the
    clips `c`, `c` and `c/d`.

    Raises:
        InputError: no text in UTF-8; a name that is empty, leads out of the tree, holds a comma or
            a control character, or comes twice. File and line are named.
    """
    path = root / "ImageSets" / f"{name}.txt"
    if path.is_dir():
        raise InputError(f"{path}: a folder; expected a text file that names a clip a line")
    if not path.is_file():
        return []
    lines: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        clip = _clip_name(line.strip(), f"{path}, line {number}")
        if clip in lines:
            raise InputError(
                f"{path}, line {number}: clip '{clip}' is listed twice, first in line "
                f"{lines[clip]}; remove one"
            )
        lines[clip] = number
    return list(lines)


def read_lines(path: Path) -> list[str]:
    """Lines of a text file in UTF-8, with or without a byte-order mark.

    Raises:
        InputError: it cannot be read, or is no UTF-8 (the line is named).
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {number}: not UTF-8; save the list as UTF-8") from error
    # not `splitlines`, which would take some control characters for line ends
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _clip_name(line: str, where: str) -> str:
    """A line of a list as the clip's one name; `where` begins the error."""
    path = PurePosixPath(line.replace("\\", "/"))
    if path.is_absolute() or DRIVE.match(line) or ".." in path.parts:
        raise InputError(
            f"{where}: {line!r} leads out of the data set; name the clip below Annotations/480p"
        )
    if not path.parts or UNFIT.search(line):
        raise InputError(
            f"{where}: {line!r} is no clip name; it must not be empty or hold commas or control "
            "characters"
        )
    return str(path)
