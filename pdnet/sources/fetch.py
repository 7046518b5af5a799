"""Fetching an archive: resumable, with a progress bar, checked, and unpacked without leaving its
folder.
"""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import requests

from pdnet.base.files import file_hash
from pdnet.base.parallel import progress
from pdnet.errors import InputError

CHUNK = 1 << 20


def fetch(url: str, target: Path, sha256: str | None) -> Path:
    """Downloads `url` to `target` unless it is there already; a broken download goes on where it
    stopped.

    Args:
        url: http(s) address.
        target: the archive's path.
        sha256: expected checksum, hex. Without one nothing is unpacked: the error tells what
            was fetched.

    Raises:
        InputError: no connection, a server's refusal, a wrong or an unknown checksum.
    """
    if not target.exists():
        _download(url, target)
    found = file_hash(target)
    if sha256 is None:
        raise InputError(
            f"{target}: fetched, its SHA-256 is {found}; compare it with a source you trust, "
            "set data.sha256 to it and run again (nothing is fetched twice)"
        )
    if found != sha256.lower():
        target.unlink()
        raise InputError(
            f"{url}: wrong checksum {found}, expected {sha256}; the file was removed, run again "
            "to refetch"
        )
    return target


def _download(url: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    try:
        headers = {"Range": f"bytes={have}-"} if have else {}
        with requests.get(url, headers=headers, stream=True, timeout=60) as answer:
            # the server has no more bytes than we: the last run stopped between download and rename
            if answer.status_code == 416:  # the part is whole already
                part.rename(target)
                return
            answer.raise_for_status()
            # a server that ignores the range sends the whole file again
            resumed = have > 0 and answer.status_code == 206
            start = have if resumed else 0
            size = answer.headers.get("Content-Length")
            total = start + int(size) if size else None
            with (
                part.open("ab" if resumed else "wb") as stream,
                progress(
                    None, target.name, total=total, unit="B", initial=start, unit_scale=True
                ) as bar,
            ):
                for block in answer.iter_content(CHUNK):
                    stream.write(block)
                    bar.update(len(block))
        if total is not None and part.stat().st_size < total:
            raise requests.ConnectionError(f"{part.stat().st_size} of {total} bytes came")
    except (requests.RequestException, OSError) as error:
        raise InputError(
            f"{url}: download stopped ({str(error)[:160]}); run again, it goes on from {part}"
        ) from error
    part.rename(target)


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a zip or tar; an entry that would land outside `folder` refuses the whole archive,
    before writing.

    Raises:
        InputError: a path that leads out, a link in a tar, or no archive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as stream:
                _refuse_escapes(archive, stream.namelist())
                for entry in progress(stream.infolist(), f"unpack {archive.name}", unit="file"):
                    stream.extract(entry, folder)
            return
        with tarfile.open(archive) as stream:
            _refuse_escapes(archive, stream.getnames())
            for entry in progress(stream, f"unpack {archive.name}", unit="file"):
                stream.extract(entry, folder, filter="data")
    except (zipfile.BadZipFile, tarfile.TarError) as error:
        raise InputError(
            f"{archive}: not a sound archive ({error}); delete it and run again"
        ) from error


def _refuse_escapes(archive: Path, names: list[str]) -> None:
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        escapes = path.is_absolute() or ".." in path.parts
        drive = bool(path.parts) and ":" in path.parts[0]
        if escapes or drive:
            raise InputError(
                f"{archive}: entry '{name}' leads out of the folder; nothing was unpacked"
            )
