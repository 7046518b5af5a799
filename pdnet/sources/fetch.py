"""Fetching an archive: resumable, with a progress bar, checked, and named by its address."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests
from urllib3.exceptions import HTTPError

from pdnet.base.files import file_hash, write_text
from pdnet.base.lock import only_writer
from pdnet.base.parallel import progress
from pdnet.errors import InputError

CHUNK = 1 << 20  # bytes
WAIT = 60  # seconds for the next bytes of a server
LONGEST_NAME = 100  # characters of an address that name its file


def fetch(url: str, folder: Path, checksum: str | None, *, pin: str = "data.sha256") -> Path:
    """Downloads `url` into `folder` unless it is there already; a broken download goes on where it
    stopped.

    Args:
        url: http(s) address.
        folder: of archives. An archive is named by its whole address, so that another address is
            another file.
        checksum: that is expected, `sha256:` or `md5:` and hex, or an SHA-256's hex alone.
            Without one the error tells what was fetched.
        pin: the parameter that holds it, for that error.

    Returns:
        the archive.

    Raises:
        InputError: no http(s) address, no connection, a server's refusal, a wrong or an unknown
            checksum, or another process fetches into `folder`.
    """
    target = folder / _name(url)
    with only_writer(folder):
        if not target.is_file():
            _download(url, target)
        if checksum is None:
            raise InputError(
                f"{target}: fetched, its SHA-256 is {file_hash(target)}; compare it with a source "
                f"you trust, set {pin} to it and run again (nothing is fetched twice)"
            )
        kind, _, expected = checksum.lower().rpartition(":")
        found = _digest(target, kind or "sha256")
        if found != expected:
            target.unlink()
            raise InputError(
                f"{url}: wrong checksum {found}, expected {checksum}; the file was removed, run "
                "again to refetch"
            )
    return target


def _digest(file: Path, kind: str) -> str:
    # MD5 is what some publishers give: it tells a damaged file, if not a forged one
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()


def _name(url: str) -> str:
    """A file's name for an address: its hash, and what a reader may know it by."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError(
            f"{url[:200]!r} is no address ({error}); set data.url or data.mirror to an https:// one"
        ) from error
    web = parts.scheme in ("http", "https") and parts.hostname
    if not web or not url.isprintable():
        raise InputError(
            f"{url[:200]!r} is no http(s) address; set data.url or data.mirror to an https:// one"
        )
    last = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(parts.path).rsplit("/", 1)[-1]).lstrip(".")
    key = hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"{key}-{last[-LONGEST_NAME:] or 'archive'}"


def _download(url: str, target: Path) -> None:
    part = target.with_name(f"{target.name}.part")
    version = target.with_name(f"{target.name}.part-version")
    try:
        _complete(url, part, version)
    # all of requests' errors are an OSError; the others come through it from where a server's
    # redirect is no address
    except (OSError, HTTPError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{url}: download stopped ({reason}); run again, it goes on from {part}"
        ) from error
    part.rename(target)
    version.unlink(missing_ok=True)


def _complete(url: str, part: Path, version: Path) -> None:
    """Fetches what is still missing of `part`.

    Args:
        url: to fetch.
        part: what earlier calls got.
        version: a file that holds the server's mark of what `part` is a part of.
    """
    have = part.stat().st_size if part.exists() else 0
    # what a server compresses on the way has other ranges and another length
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        known = version.read_text() if version.is_file() else ""
        if known:
            # a file that changed meanwhile comes whole, not as a rest that does not fit
            headers["If-Range"] = known
    with requests.get(url, headers=headers, stream=True, timeout=WAIT) as answer:
        # the server has no more bytes than we: the last run stopped between download and rename
        if have and answer.status_code == 416:
            return
        answer.raise_for_status()
        # a server that ignores the range sends the whole file again
        resumed = have > 0 and answer.status_code == 206
        start = have if resumed else 0
        size = _length(answer)
        total = None if size is None else start + size
        if not resumed:
            part.unlink(missing_ok=True)
            write_text(version, _version(answer))
        with (
            part.open("ab") as stream,
            progress(None, part.stem, total=total, unit="B", initial=start, unit_scale=True) as bar,
        ):
            for block in answer.iter_content(CHUNK):
                stream.write(block)
                bar.update(len(block))
    if total is not None and part.stat().st_size < total:
        raise requests.ConnectionError(f"{part.stat().st_size} of {total} bytes came")


def _length(answer: requests.Response) -> int | None:
    """Bytes that an answer says it has, if it says so."""
    said = answer.headers.get("Content-Length")
    if said is None:
        return None
    if not re.fullmatch("[0-9]{1,18}", said):
        raise requests.exceptions.InvalidHeader(f"Content-Length '{said[:40]}' is no number")
    return int(said)


def _version(answer: requests.Response) -> str:
    """What the server calls this state of the file; empty where it has no name for it."""
    tag = answer.headers.get("ETag", "")
    # a weak tag (W/) vouches for the meaning and not for the bytes: servers refuse ranges with one
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")
