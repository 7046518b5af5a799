"""The manifest of a tree: what was made, by which recipe, with which hash. Written line by line,
so that a kill loses no more than the line that was being written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pdnet.base.files import TEMPORARY, write_text
from pdnet.base.lock import LOCK
from pdnet.errors import InputError

NAME = ".manifest"
FORMAT = "pdnet-manifest-1"
PLANNED = None  # in place of a hash: about to be made
LEFT_OUT = ""  # in place of a hash: its maker found nothing to keep

Signature = tuple[int, ...]  # size, times of content and of state, inode


@dataclass(frozen=True)
class Entry:
    """What the manifest says of a file: `sha256` may be `PLANNED` or `LEFT_OUT`."""

    recipe: str
    sha256: str | None
    signature: Signature | None


@dataclass
class Manifest:
    """Entries by path below the root; hashes of files elsewhere, by absolute path."""

    files: dict[str, Entry] = field(default_factory=dict)
    sources: dict[str, tuple[str, Signature]] = field(default_factory=dict)


def signature(path: Path | str) -> Signature:
    """What changes when a file does; links are followed.

    The time of the last change of state (`ctime`) is among it, since nobody sets that one back.
    """
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def file_signature(file: str) -> Signature | None:
    """The signature of a file, or None where there is none (a folder is none)."""
    try:
        return signature(file) if os.path.isfile(file) else None
    except (OSError, ValueError):
        return None


def read_manifest(root: Path) -> Manifest:
    """What the manifest of a tree says; an empty one where there is none.

    Raises:
        InputError: it is damaged.
    """
    path = root / NAME
    if not path.is_file():
        return Manifest()
    try:
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        if json.loads(header) != FORMAT:
            raise ValueError("another format")
        return _parsed(lines)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: damaged ({str(error)[:80]}); move what is yours out of {root}, remove it "
            "and run again"
        ) from error


def _parsed(lines: list[str]) -> Manifest:
    manifest = Manifest()
    for number, line in enumerate(lines):
        try:
            said = json.loads(line)
        except ValueError:
            if number == len(lines) - 1:
                break  # a kill while it was appended: that file is made again
            raise
        known = tuple(said["signature"]) if said["signature"] else None
        if "source" in said:
            manifest.sources[said["source"]] = said["sha256"], known
            continue
        _check_path(said["path"])
        manifest.files[said["path"]] = Entry(said["recipe"], said["sha256"], known)
    return manifest


def _check_path(path: str) -> None:
    place = PurePosixPath(path)
    hidden = place.name in (NAME, LOCK)
    if place.is_absolute() or ".." in place.parts or not place.parts or hidden or "\0" in path:
        raise ValueError(f"{path!r} is no file of a tree")
    os.fsencode(path)  # raises a ValueError for what no file can be called


def entry_line(path: str, entry: Entry) -> str:
    """The line of a file, as `write_manifest` and who appends write it."""
    return json.dumps({"path": path, **vars(entry)}) + "\n"


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Writes the whole manifest anew, atomically."""
    lines = [json.dumps(FORMAT) + "\n"]
    lines += [entry_line(path, entry) for path, entry in manifest.files.items()]
    for source, (digest, known) in manifest.sources.items():
        lines.append(json.dumps({"source": source, "sha256": digest, "signature": known}) + "\n")
    write_text(root / NAME, "".join(lines))


def files_of(root: Path) -> Iterator[str]:
    """Files of a tree by path below it, and links to folders, which are not followed; what is being
    written, the lock and the manifest left out.
    """
    # texts, not paths: with 54,000 files that is seconds
    begins = len(os.path.join(root, ""))
    for place, folders, names in os.walk(root):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for name in [*names, *links]:
            if name not in (NAME, LOCK) and not name.startswith(TEMPORARY):
                path = os.path.join(place, name)[begins:].replace(os.sep, "/")
                # a link to a folder is told apart: what lies behind it is somebody else's
                yield path + "/" if name in links else path
