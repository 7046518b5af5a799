"""Trees that can be vouched for: every file has a recipe, and a manifest says what was made.

A stage that makes data lists `Unit`s: which files, a digest of all that decides their content, and
how they are made. `bring` compares this with the manifest and the disk by content, makes what is
missing, changed or stale, and removes what it made and nobody wants any longer. The tree is then
what a cold rebuild gives, whatever was there before.

The manifest is hidden and holds sizes and times beside the hashes: where both are as it left them,
a file is not read again. DVC does not see it (.dvcignore): what it vouches for is content.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdnet.base.files import file_hash, link, value_hash, write_text
from pdnet.base.hashes import Hashes
from pdnet.base.ledger import (
    LEFT_OUT,
    NAME,
    PLANNED,
    Entry,
    Manifest,
    entry_line,
    file_signature,
    files_of,
    read_manifest,
    write_manifest,
)
from pdnet.base.lock import only_writer
from pdnet.base.parallel import cores, each
from pdnet.errors import InputError

LARGEST_JOB = 64  # units that a worker takes at a time


@dataclass(frozen=True)
class Unit:
    """Files that are made together.

    Attributes:
        files: their paths below the tree's root, with slashes.
        recipe: see `recipe`.
        make: writes them, atomically, given the root and `given`; runs in a worker process.
        given: what it needs.
        optional: it may find that there is nothing to keep.
    """

    files: tuple[str, ...]
    recipe: str
    make: Callable[..., None]
    given: tuple[Any, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Brought:
    """How many files `bring` made, kept as they were, and removed."""

    made: int
    kept: int
    removed: int


def recipe(*decides: Any) -> str:
    """Digest of what decides a file's content: parameters, hashes of sources, hash of code."""
    return value_hash(decides)


def text_unit(path: str, text: str) -> Unit:
    """A file that holds this text."""
    return Unit((path,), recipe("text", text), _write_text, (path, text))


def _write_text(root: Path, path: str, text: str) -> None:
    write_text(root / path, text)


def link_unit(path: str, source: Path, hashes: Hashes) -> Unit:
    """A file that shows what `source` holds, without a copy where the disk allows it."""
    return Unit((path,), recipe("link", hashes.of(source)), _link, (path, source))


def _link(root: Path, path: str, source: Path) -> None:
    link(source, root / path)


def bring(
    root: Path,
    units: Sequence[Unit],
    what: str,
    *,
    hashes: Hashes | None = None,
    workers: int = 0,
) -> Brought:
    """Makes a tree hold exactly the files of `units`, each with the content its recipe stands for.

    A file that somebody changed is made again, and what was there is set aside (`ROOT.changed`).
    It can be killed at any time and goes on from there.

    Args:
        root: of the tree.
        units: all that it is to hold.
        what: is done, for the progress bar.
        hashes: of the sources, kept for the next time.
        workers: processes; 0 for all cores.

    Raises:
        InputError: the tree holds files that nobody's recipe made (nothing is touched then), two
            units make one file, another process is at work there, or a file cannot be made.
    """
    wanted = _by_file(units)
    with only_writer(root):
        before = read_manifest(root)
        _refuse_strangers(root, before.files)
        sound = _sound(root, before.files, wanted)
        todo = [unit for unit in units if not sound.keys() >= set(unit.files)]
        stale = [path for path in before.files if path not in wanted]
        planned = {path: Entry("", PLANNED, None) for path in stale}
        for unit in todo:
            planned.update(dict.fromkeys(unit.files, Entry(unit.recipe, PLANNED, None)))
        sources = hashes.used if hashes else {}
        entries = sound | planned
        if planned:
            _set_aside(root, {path: before.files[path] for path in planned if path in before.files})
            # from here on a kill leaves nothing that the manifest does not name
            write_manifest(root, Manifest(entries, sources))
            # what is made anew too: its maker may find nothing to keep, or put a file for a folder
            _remove(root, planned)
        if todo:
            entries |= _make_all(root, todo, what, workers)
            if hashes and (changed := hashes.changed()):
                write_manifest(root, Manifest(entries | planned, {}))
                raise InputError(f"{changed[0]}: changed while it was read; run again")
        after = Manifest({path: entries[path] for path in wanted}, sources)
        if after != before:
            write_manifest(root, after)
    made = sum(len(unit.files) for unit in todo)
    return Brought(made, len(wanted) - made, len(stale))


def make_room(root: Path, files: Iterable[str]) -> None:
    """Empties a tree that is written at one go and names what comes into it.

    For trees that need no recipes: they are made anew each time.

    Raises:
        InputError: it holds files that no such call named; nothing is touched then.
    """
    before = read_manifest(root).files
    _refuse_strangers(root, before)
    planned, files = Entry("", PLANNED, None), list(files)
    write_manifest(root, Manifest(dict.fromkeys([*before, *files], planned)))
    _remove(root, before)
    write_manifest(root, Manifest(dict.fromkeys(files, planned)))


def vouch(root: Path) -> None:
    """Refuses a tree that is not what its manifest says; one without a manifest is its owner's.

    Raises:
        InputError: it is not finished, or a file is missing, changed or nobody's.
    """
    if not (root / NAME).is_file():
        return
    files = read_manifest(root).files
    _refuse_strangers(root, files)
    if any(entry.sha256 is PLANNED for entry in files.values()):
        raise InputError(f"{root}: not finished; `dvc repro` finishes it")
    sound = _still(root, files)
    broken = [path for path in files if path not in sound]
    if broken:
        raise InputError(
            f"{root / broken[0]}: missing, or not what was made ({len(broken)} file(s) in all); "
            "`dvc repro` makes it again"
        )


def _by_file(units: Sequence[Unit]) -> dict[str, Unit]:
    wanted: dict[str, Unit] = {}
    for unit in units:
        for path in unit.files:
            if path in wanted:
                raise InputError(f"{path}: two sources make this file; rename or remove one")
            wanted[path] = unit
    return wanted


def _ours(path: str, known: Mapping[str, Entry]) -> bool:
    """True for what the manifest names; `c/` is a link to a folder."""
    if not path.endswith("/"):
        return path in known
    # a link of ours whose owner put a folder in the file's place; nothing is ours behind it
    return path[:-1] in known and not any(other.startswith(path) for other in known)


def _refuse_strangers(root: Path, known: Mapping[str, Entry]) -> None:
    strangers = sorted(path for path in files_of(root) if not _ours(path, known))
    if strangers:
        raise InputError(
            f"{root / strangers[0]}: nothing here made it ({len(strangers)} such file(s)), and "
            f"nothing was touched; move what is yours out of {root}, or remove {root} if an older "
            "version or `dvc checkout` made it"
        )


def _sound(root: Path, known: Mapping[str, Entry], wanted: Mapping[str, Unit]) -> dict[str, Entry]:
    """Entries of the files that are wanted and are what their recipe gave."""
    alike = {
        path: known[path]
        for path, unit in wanted.items()
        if path in known and known[path].recipe == unit.recipe
    }
    return _still(root, alike)


def _still(root: Path, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """The entries, with their present signatures, of those files that are what they were."""
    now = {path: file_signature(os.path.join(root, path)) for path in entries}
    changed = [
        path
        for path, entry in entries.items()
        if entry.sha256 and now[path] and now[path] != entry.signature
    ]
    with ThreadPoolExecutor(cores()) as pool:
        read = dict(zip(changed, pool.map(lambda path: _hash(root / path), changed), strict=True))
    found: dict[str, Entry] = {}
    for path, entry in entries.items():
        if entry.sha256 == LEFT_OUT and now[path] is None:
            found[path] = entry
        elif entry.sha256 and now[path] and read.get(path, entry.sha256) == entry.sha256:
            found[path] = Entry(entry.recipe, entry.sha256, now[path])
    return found


def _hash(file: Path) -> str | None:
    """The hash of a file, or None where it cannot be read (any longer)."""
    try:
        return file_hash(file)
    except OSError:
        return None


def _set_aside(root: Path, entries: Mapping[str, Entry]) -> None:
    """Moves files that somebody changed out of the tree: perhaps it was work."""
    made = {path: entry for path, entry in entries.items() if entry.sha256 is not PLANNED}
    unchanged = _still(root, made)
    moved = []
    for path in made:
        file = root / path
        # behind a link lies its owner's file, which stays where it is
        if path in unchanged or file.is_symlink() or not file.is_file():
            continue
        named = f"{file.stem}-{file_hash(file)[:8]}{file.suffix}"
        target = (aside_of(root) / path).with_name(named)
        target.parent.mkdir(parents=True, exist_ok=True)
        # not `rename`: the tree may be a link to another disk
        shutil.move(file, target)
        moved.append(path)
    if moved:
        sys.stderr.write(
            f"{root / moved[0]}: changed since it was made ({len(moved)} file(s) in all); it is "
            f"made again, and what was there is in {aside_of(root)}\n"
        )


def aside_of(root: Path) -> Path:
    """Where files that somebody changed are put, beside the tree."""
    return root.with_name(root.name + ".changed")


def _remove(root: Path, paths: Iterable[str]) -> None:
    """Removes files that this manifest names, and the folders that are empty then."""
    for path in paths:
        file = root / path
        if file.is_dir() and not file.is_symlink():
            file.rmdir()  # empty: what it held would be a stranger
        else:
            with suppress(FileNotFoundError, NotADirectoryError):
                file.unlink()
        for folder in file.parents:
            if folder == root:
                break
            try:
                folder.rmdir()
            except OSError:
                break  # not empty, or gone


def _make_all(root: Path, units: Sequence[Unit], what: str, workers: int) -> dict[str, Entry]:
    """Makes units; each result is in the manifest as soon as it is there."""
    size = min(max(len(units) // 256, 1), LARGEST_JOB)
    jobs = [(root, units[start : start + size]) for start in range(0, len(units), size)]
    entries: dict[str, Entry] = {}
    with (root / NAME).open("a") as journal:

        def note(made: list[tuple[str, Entry]]) -> None:
            entries.update(made)
            journal.writelines(entry_line(path, entry) for path, entry in made)
            journal.flush()

        each(_make, jobs, what, workers=workers, unit="job", done=note)
    return entries


def _make(job: tuple[Path, Sequence[Unit]]) -> list[tuple[str, Entry]]:
    """Makes units and says what came of them."""
    root, units = job
    made: list[tuple[str, Entry]] = []
    for unit in units:
        unit.make(root, *unit.given)
        for path in unit.files:
            file = root / path
            # before it is read, as above
            if now := file_signature(str(file)):
                made.append((path, Entry(unit.recipe, file_hash(file), now)))
            elif unit.optional:
                made.append((path, Entry(unit.recipe, LEFT_OUT, None)))
            else:
                raise InputError(f"{file}: gone as soon as it was made; run again")
    return made
