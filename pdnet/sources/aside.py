"""A profile's working data: put aside while another profile is at work, back when it is again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from pdnet.base.files import write_text
from pdnet.base.lock import only_writer

AT_WORK = "at-work"  # in the folder of what is aside: whose data is in place


def take_over(profile: str, trees: Sequence[Path], aside: Path) -> None:
    """Makes room for a profile's data, or brings it back from where it was put aside.

    Folders are renamed, nothing is copied or made; what comes back is what was there, whatever its
    maker says of it by then. Killed in between, the next call goes on.

    Args:
        profile: that is at work from now on.
        trees: folders of its data, in place.
        aside: folder for those of other profiles, on the same disk.

    Raises:
        InputError: somebody writes to one of the trees.
    """
    note = aside / AT_WORK
    before = note.read_text().removesuffix("\n") if note.is_file() else profile
    if before != profile:
        there = [tree for tree in trees if tree.is_dir()]
        for tree in there:
            with only_writer(tree):
                pass  # nobody else is at work in it
        for tree in trees:
            _swap(tree, _place(aside, before) / tree.name, _place(aside, profile) / tree.name)
    if before != profile or not note.is_file():
        write_text(note, profile + "\n")


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
