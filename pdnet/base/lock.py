"""One writer at a time for a folder of results."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pdnet.base.files import TEMPORARY
from pdnet.errors import InputError

LOCK = ".pdnet-lock"  # hidden, and in .dvcignore: it is no part of what a folder holds


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Makes this process the one writer of a folder, which is made if need be.

    What a killed writer left half written is removed first. The lock goes with the process, however
    it ends.

    Raises:
        InputError: another process writes there (it is named), or the folder cannot be written.
    """
    handle = _take(folder)
    try:
        remove_leftovers(folder)
        yield
    finally:
        try:
            # while the lock is held; the name is another's if the folder was removed meanwhile
            if _still_named(handle, folder / LOCK):
                (folder / LOCK).unlink()
        finally:
            os.close(handle)


def _take(folder: Path) -> int:
    """A handle that holds the lock."""
    path = folder / LOCK
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # a link could lead to somebody's file
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be written ({error.strerror}); choose another folder"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(handle, 400).decode(errors="replace") or "another process"
            os.close(handle)
            raise InputError(
                f"{folder}: in use by {holder}; wait for it, or choose another folder"
            ) from error
        if _still_named(handle, path):
            _name_holder(handle, path)
            return handle
        # its last holder removed the name between our opening and our locking
        os.close(handle)


def _name_holder(handle: int, path: Path) -> None:
    """Writes who holds the lock."""
    found = os.fstat(handle)
    try:
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise OSError(errno.EEXIST, "it is somebody's file")
        os.ftruncate(handle, 0)
        os.write(handle, _holder().encode(errors="replace"))
    except OSError as error:
        os.close(handle)
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); free space, or remove it"
        ) from error


def _still_named(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


def _holder() -> str:
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
    began = datetime.now().strftime("%Y-%m-%d %H:%M")
    return f"process {os.getpid()} on {socket.gethostname()} since {began} (`{command}`)"


def remove_leftovers(folder: Path) -> int:
    """Removes the temporary files that a killed process left below a folder that we hold.

    A folder inside with a lock of its own belongs to its own writer; links to folders are not
    followed.

    Returns:
        how many there were.
    """
    count = 0
    for place, folders, names in os.walk(folder):
        if LOCK in names and Path(place) != folder:
            folders.clear()
            continue
        for name in names:
            if name.startswith(TEMPORARY):
                (Path(place) / name).unlink(missing_ok=True)
                count += 1
    return count
