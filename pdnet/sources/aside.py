"""A profile's working data: put aside while another profile is at work, back when it is again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from pdnet.base.files import write_text
from pdnet.base.lock import only_writer

AT_WORK = "at-work"  # in the folder of what is aside: whose data is in place, and which


def take_over(profile: str, asked: str, trees: Sequence[Path], aside: Path) -> None:
    """Makes room for a profile's data, or brings it back from where it was put aside.

    Folders are renamed, nothing is copied or made; what comes back is what was there, whatever its
    maker says of it by then. A profile without data of its own that asks for what is in place
    takes it as it is. Killed in between, the next call goes on.

    Args:
        profile: that is at work from now on.
        asked: digest of what data it asks for.
        trees: folders of its data, in place.
        aside: folder for those of other profiles, on the same disk.

    Raises:
        InputError: somebody writes to one of the trees.
    """
    note, said = aside / AT_WORK, f"{profile}\n{asked}\n"
    before = note.read_text() if note.is_file() else said
    owner, _, rest = before.partition("\n")
    kept = [_place(aside, profile) / tree.name for tree in trees]
    alike = rest == f"{asked}\n" and not any(tree.exists() for tree in kept)
    if owner != profile and not alike:
        for tree in trees:
            if tree.is_dir():
                with only_writer(tree):
                    pass  # nobody else is at work in it
        for tree, ours in zip(trees, kept, strict=True):
            _swap(tree, _place(aside, owner) / tree.name, ours)
    if before != said or not note.is_file():
        write_text(note, said)


def _swap(tree: Path, theirs: Path, ours: Path) -> None:
    """Puts a tree to `theirs`, if that was not done before a kill, and `ours` in its place."""
    if tree.is_dir() and not theirs.exists():
        theirs.parent.mkdir(parents=True, exist_ok=True)
        tree.rename(theirs)
    if ours.is_dir() and not tree.exists():
        ours.rename(tree)


def _place(aside: Path, profile: str) -> Path:
    # a profile's name may hold any sign
    return aside / f"of-{quote(profile, safe='')}"
