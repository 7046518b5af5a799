"""Unpacking an archive: whole or not at all, within bounds, and named by its content."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from pdnet.base.files import TEMPORARY, file_hash
from pdnet.base.lock import only_writer
from pdnet.base.parallel import progress
from pdnet.errors import InputError

CHUNK = 1 << 20  # bytes
# what an archive may unpack to: photographs hardly shrink, masks to a tenth; small ones may more
MOST_TIMES = 20  # of its own size
MOST_BYTES = 1 << 30  # besides
MOST_FILES = 1_000_000
MOST_PADDING = 64  # CHUNKs of zeros after a tar's end; tape drives want some kilobytes
# what zipfile, tarfile and their decompressors raise on damage, encryption and unknown methods;
# RuntimeError stands also for NotImplementedError and RecursionError
UNSOUND = (
    *(zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, struct.error),
    *(EOFError, RuntimeError, ValueError, LookupError, OverflowError),
)
# headers that tarfile reads into memory whole: long names and attributes
EXTENSIONS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)


def unpacked(archive: Path, folder: Path) -> Path:
    """Gives the folder with an archive's content, `folder/<16 digits of its SHA-256>`, made if it
    is not there.

    It is made under a hidden name and renamed when it is whole: what is there is all there.

    Args:
        archive: zip, or tar (plain, .gz, .bz2, .xz), of regular files and folders.
        folder: of what was unpacked.

    Raises:
        InputError: no archive, a damaged or an encrypted one, an entry that leads out, a link or a
            device, a name twice, too much content, a full disk, or another process writes into
            `folder`. Nothing is left of it.
    """
    target = folder / file_hash(archive)[:16]
    with only_writer(folder):
        for left in folder.glob(f"{TEMPORARY}*"):
            shutil.rmtree(left)  # of a killed process
        if target.is_dir():
            return target
        temporary = folder / f"{TEMPORARY}{target.name}"
        try:
            _unpack(archive, temporary)
            # a crash after the rename must not leave the new name with empty files
            os.sync()
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def _unpack(archive: Path, folder: Path) -> None:
    """Unpacks into a new folder; after an error the caller removes it."""
    folder.mkdir()
    room = _Room(archive, shutil.disk_usage(folder).free)
    try:
        with archive.open("rb") as stream:
            entries = _zipped if stream.read(2) == b"PK" else _tarred
        for entry in progress(entries(archive), f"unpack {archive.name}", unit="file"):
            room.take(entry.size)
            path = folder / _inside(archive, entry.name)
            if entry.content is None:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            # "x": a second entry of this name would replace the first without a word
            with entry.content() as source, path.open("xb") as stream:
                shutil.copyfileobj(source, stream, CHUNK)
    except (*UNSOUND, OSError) as error:
        # bz2 and gzip say with an OSError without a number that their input is damaged
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(
                f"{archive}: cannot be unpacked ({error.strerror}: {error.filename}); check the "
                "space and the rights"
            ) from error
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{archive}: not a sound archive ({reason}); delete it and run again"
        ) from error


class _Room:
    """How much an archive may still unpack: a bomb ends before the disk is full."""

    def __init__(self, archive: Path, free: int) -> None:
        self.archive = archive
        self.files = MOST_FILES
        self.bytes = min(free, MOST_TIMES * archive.stat().st_size + MOST_BYTES)

    def take(self, size: int) -> None:
        """Counts an entry of `size` bytes, as the archive declares it: its reader stops there."""
        self.files -= 1
        self.bytes -= size
        if self.files < 0 or self.bytes < 0:
            raise InputError(
                f"{self.archive}: unpacks to more than {MOST_FILES:,} files, {MOST_TIMES} times "
                "its size or the disk's free space; free space, or is it the right archive?"
            )


@dataclass(frozen=True)
class _Entry:
    """A file of an archive with its size and how to open it, or a folder, without content."""

    name: str
    size: int = 0
    content: Callable[[], IO[bytes]] | None = None


def _zipped(archive: Path) -> Iterator[_Entry]:
    with zipfile.ZipFile(archive) as stream:
        for info in stream.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)  # the upper half is Unix's mode, or 0
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(archive, info.filename)
            if info.is_dir():
                yield _Entry(info.filename)
            else:
                yield _Entry(info.filename, info.file_size, partial(stream.open, info))


def _tarred(archive: Path) -> Iterator[_Entry]:
    with tarfile.open(archive, tarinfo=_Member) as stream:
        for member in stream:
            if not member.isreg() and not member.isdir():
                raise _refused(archive, member.name)
            if member.size < 0:
                raise tarfile.ReadError(f"'{member.name}' has {member.size} bytes")
            if member.isdir():
                yield _Entry(member.name)
            else:
                # not `extract`: its filters came with Python 3.11.4
                yield _Entry(member.name, member.size, partial(stream.extractfile, member))
        # the checksum of a compressed tar stands behind the tar's end, where tarfile stops
        for _ in range(MOST_PADDING):
            if not stream.fileobj.read(CHUNK):
                return
        raise tarfile.ReadError("it goes on after its end")


class _Member(tarfile.TarInfo):
    """A tar's entry whose header is refused where tarfile would end without a word or fill the
    memory.
    """

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> _Member:
        """Reads a header's block."""
        try:
            member = super().frombuf(buf, encoding, errors)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:
            # tarfile takes a damaged header for the archive's end
            raise tarfile.ReadError(str(error)) from error
        if member.size < 0 or (member.type in EXTENSIONS and member.size > CHUNK):
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member


def _refused(archive: Path, name: str) -> InputError:
    return InputError(
        f"{archive}: entry {name[:200]!r} is a link or a device; nothing was unpacked, is "
        "it the right archive?"
    )


def _inside(archive: Path, name: str) -> PurePosixPath:
    """An entry's path below the folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    escapes = path.is_absolute() or ".." in path.parts
    drive = bool(path.parts) and ":" in path.parts[0]
    if escapes or drive:
        raise InputError(
            f"{archive}: entry {name[:200]!r} leads out of the folder; nothing was unpacked, is "
            "it the right archive?"
        )
    return path
