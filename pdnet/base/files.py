"""Writing files so that a crash, a full disk or a kill leaves the old one or the new one, never
half of one.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from safetensors import SafetensorError

from pdnet.errors import InputError

# Begins the name of a file that is being written. No reader looks at hidden files, DVC is told not
# to (.dvcignore), and whoever next writes into the folder removes what a kill left (base/lock.py).
TEMPORARY = ".writing-"


def temporary_name(path: Path) -> Path:
    """A hidden name beside `path` for what is being written; nobody has it yet."""
    return path.with_name(f"{TEMPORARY}{secrets.token_hex(6)}{path.suffix}")


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Calls `write` on a temporary file beside `path`, syncs it to disk and renames it into place.

    The file gets the rights that the user's umask leaves. Where `path` is a link, the link is
    replaced and what it leads to stays as it is.

    Raises:
        InputError: the disk is full or the folder cannot be written; `path` is as it was.
    """
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # made here and not by `write`, so that nobody's file is overwritten
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        write(temporary)
        with temporary.open("rb") as stream:
            # without it a crash after the rename may leave the new name with no content
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except (
        OSError,
        RuntimeError,
        SafetensorError,
    ) as error:  # the last two: how torch and safetensors say it
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(
            f"{path}: cannot be written ({reason}); free space or choose another folder"
        ) from error
    finally:
        _forget(temporary)


def _forget(temporary: Path) -> None:
    """Removes a temporary file if it is still there; an error here would hide the first one."""
    try:
        temporary.unlink(missing_ok=True)
    except OSError:
        return  # the next writer of the folder removes it


def write_text(path: Path, text: str) -> None:
    """Atomic `Path.write_text` in UTF-8; names of files that are no UTF-8 keep their bytes."""
    content = text.encode("utf-8", "surrogateescape")
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_json(path: Path, value: Any) -> None:
    """Atomic JSON with sorted keys, so equal values give equal files."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows as CSV; the columns are those of all rows, in order of appearance."""
    columns: dict[str, None] = {}
    for row in rows:
        columns.update(dict.fromkeys(row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, hex; read in blocks, so that an archive's size does not matter."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def value_hash(value: Any) -> str:
    """SHA-256 of what JSON can hold, hex; the order of names in a group does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def need(path: Path, maker: str = "dvc repro") -> Path:
    """The path, if there is such a file.

    Args:
        path: of it.
        maker: the command that makes it.

    Raises:
        InputError: there is none.
    """
    if not path.is_file():
        raise InputError(f"{path}: missing; `{maker}` makes it")
    return path


# unfiltered masks: a third of OpenCV's default time to read again, of about the same size
PNG_OPTIONS = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 3),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE),
)


def write_image(path: Path, image: np.ndarray, *, jpeg_quality: int = 95) -> None:
    """Writes an image; (H, W) grey or (H, W, 3) RGB, 8 bit. PNG or JPEG by the name's suffix."""
    if image.ndim == 3:
        # OpenCV writes blue first
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if path.suffix == ".jpg" else PNG_OPTIONS
    done, data = cv2.imencode(path.suffix, image, options)
    if not done:
        raise InputError(f"{path}: this kind of image cannot be written")
    write_atomically(path, lambda temporary: temporary.write_bytes(data.tobytes()))


def copy(source: Path, target: Path) -> None:
    """Atomic copy of a file's content."""
    write_atomically(target, lambda temporary: shutil.copyfile(source, temporary))


FICLONE = 0x40049409  # Linux's request for a copy that shares its blocks until one side is changed


def _clone(source: Path, target: Path) -> None:
    """A copy that takes no space (btrfs, XFS, bcachefs).

    Raises:
        OSError: this disk or this system has none.
    """
    import fcntl

    with source.open("rb") as content, target.open("xb") as stream:
        try:
            fcntl.ioctl(stream.fileno(), FICLONE, content.fileno())
        except OSError:
            target.unlink()
            raise


def link(source: Path, target: Path) -> None:
    """Makes `target` show what `source` holds without a second copy where the disk allows it.

    A clone, else a symbolic link, else a copy; never a hard link: whoever edits `target` in place
    would edit the owner's file without a sign that it is the same one.

    Raises:
        InputError: there is no such file (any longer), it is `target` itself, or none of the three
            is possible.
    """
    # `Path.resolve` raises on a loop of links
    source = Path(os.path.realpath(source))
    if not source.is_file():
        raise InputError(f"{source}: no such file; was it removed meanwhile? Run again")
    if target.exists() and target.samefile(source) and not target.is_symlink():
        raise InputError(f"{target}: is its own source; nothing was touched")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    for way in (_clone, os.symlink, shutil.copyfile):
        try:
            way(source, target)
            return
        except OSError as error:
            last = error
    raise InputError(
        f"{target}: cannot be linked to {source} ({last.strerror}); check space and rights"
    )
