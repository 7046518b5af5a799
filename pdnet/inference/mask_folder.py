"""A folder of masks, and which of its files an earlier run wrote."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType

from pdnet.base.files import write_json
from pdnet.errors import InputError

NOTE = ".pdnet-masks.json"  # hidden: which files of a folder of masks are a run's
OVERLAY = "overlay.mp4"
AHEAD = 1000  # frames whose masks are noted at a time, before the first of them is written


class MaskFolder:
    """Keeps the note of which files in a folder of masks are a run's, so that the next run can
    replace these and no other.

    Args:
        folder: of masks; nothing in it is touched before the first `announce`.
        overlay: the run writes one.
        names: of the frames; None if they are numbered.
    """

    def __init__(self, folder: Path, overlay: bool, names: tuple[str, ...] | None) -> None:
        self.folder, self.names = folder, names
        self.overlay = [OVERLAY] if overlay else []
        self.earlier: set[str] = set()
        self.written: list[str] = []

    def __enter__(self) -> MaskFolder:
        self.earlier = self._noted()
        for name in self._there():
            if name not in self.earlier:
                raise InputError(
                    f"{self.folder / name}: no earlier run of `segment` wrote this, masks might "
                    "overwrite it; give another --out"
                )
        return self

    def _there(self) -> list[str]:
        # hidden files are nobody's mask, and no mask overwrites one
        return sorted(name for name in os.listdir(self.folder) if name[0] != ".")

    def _noted(self) -> set[str]:
        """What an earlier run noted; nothing where the note is missing or no note of ours."""
        try:
            return set(json.loads((self.folder / NOTE).read_text("utf-8"))["files"])
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return set()

    def announce(self, name: str) -> None:
        """Notes the frame `name`, whose mask is written next; before the first one removes what the
        earlier run left.
        """
        if not self.written:
            for file in self.earlier.intersection(self._there()):
                (self.folder / file).unlink()
        number = len(self.written)
        if number % AHEAD == 0:
            numbered = (f"{i:05d}" for i in range(number, number + AHEAD))
            ahead = self.names[number : number + AHEAD] if self.names else numbered
            self._note([*self.written, *(f"{stem}.png" for stem in ahead)])
        self.written.append(f"{name}.png")

    def _note(self, files: list[str]) -> None:
        write_json(self.folder / NOTE, {"files": [*files, *self.overlay]})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.written:
            self.overlay = [file for file in self.overlay if (self.folder / file).exists()]
            self._note(self.written)
