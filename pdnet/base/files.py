"""Writing files so that a crash, a full disk or a kill leaves the old one or the new one, never
half of one.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from safetensors import SafetensorError

from pdnet.errors import InputError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Calls `write` on a temporary file beside `path`, syncs it to disk and renames it into place.

    Raises:
        InputError: the disk is full or the folder cannot be written; `path` is as it was.
    """
    handle = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=path.suffix)
        os.close(number)
        handle = Path(name)
        write(handle)
        with handle.open("rb") as stream:
            # without it a crash after the rename may leave the new name with no content
            os.fsync(stream.fileno())
        # mkstemp makes files that only their owner reads
        os.chmod(handle, 0o644)
        os.replace(handle, path)
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
        if handle is not None and handle.exists():
            handle.unlink()


def write_text(path: Path, text: str) -> None:
    """Atomic `Path.write_text`."""
    write_atomically(path, lambda temporary: temporary.write_text(text))


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


def need(path: Path) -> Path:
    """The path, if there is such a file.

    Raises:
        InputError: there is none.
    """
    if not path.is_file():
        raise InputError(f"{path}: missing; `dvc repro` makes it")
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


def link(source: Path, target: Path) -> None:
    """Makes `target` the same file as `source`: hard link, else symbolic link, else copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source = source.resolve()
    target.unlink(missing_ok=True)
    for way in (os.link, os.symlink, shutil.copyfile):
        try:
            way(source, target)
            return
        except OSError as error:
            last = error
    raise InputError(
        f"{target}: cannot be linked to {source} ({last.strerror}); check space and rights"
    )
