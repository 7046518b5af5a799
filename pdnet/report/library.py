"""Clips and what networks make of them, computed when asked for and kept within a limit."""

from __future__ import annotations

from pathlib import Path

from pdnet.config import EvaluateConfig
from pdnet.data.layout import Clip, read_tree
from pdnet.errors import InputError
from pdnet.inference.shipped import CUTTING, cutting_of
from pdnet.model import PDNet
from pdnet.model.checkpoint import load_network, read_header
from pdnet.report.clip_outputs import (
    ClipOutputs,
    ClipPictures,
    Kept,
    Report,
    read_clip,
    run_network,
)

LIMIT = 1_000_000_000  # bytes that are kept: some thirty clips of the sample, two networks each


class Library:
    """Clips of a data set, and what networks make of them.

    Args:
        data: an MVPS tree.
        threshold, people: how probabilities become masks, for a checkpoint that does not say it
            itself.
        limit: bytes that are kept.

    Raises:
        InputError: no such tree.
    """

    def __init__(self, data: Path, *, threshold: float, people: str, limit: int = LIMIT) -> None:
        self.data, self.kept = data, Kept(limit)
        self.cutting = EvaluateConfig(threshold=threshold, people=people)
        self.sets = {name: clips for name, clips in read_tree(data).sets.items() if clips}

    def clip(self, name: str) -> Clip:
        """A clip by its name.

        Raises:
            InputError: no such clip; those that there are are listed.
        """
        clips: dict[str, Clip] = {}
        for of_set in self.sets.values():
            clips |= {clip.name: clip for clip in of_set}
        if name not in clips:
            raise InputError(f"{self.data}: no clip '{name}'; known: {', '.join(clips)}")
        return clips[name]

    def set_of(self, name: str) -> str:
        """The split that a clip is in."""
        return next(key for key, clips in self.sets.items() if self.clip(name) in clips)

    def pictures(self, name: str) -> ClipPictures:
        """A clip at the size that is shown."""
        clip = self.clip(name)
        return self.kept.get(("clip", name), lambda: read_clip(clip), lambda made: made.nbytes)

    def outputs(
        self, name: str, checkpoint: Path, report: Report = lambda done, count: None
    ) -> ClipOutputs:
        """What a checkpoint's network makes of a clip.

        Raises:
            InputError: see `load_network` and `run_network`; or the clip has no optical flow, and
                the network looks at it.
        """
        about = read_header(checkpoint)
        cutting = cutting_of(about, checkpoint) if set(CUTTING) & set(_noted(about)) else None
        changed = checkpoint.stat()
        key = (str(checkpoint), changed.st_mtime_ns, changed.st_size)
        network = self.kept.get(("network", *key), lambda: load_network(checkpoint), _bytes)
        pictures = self.pictures(name)
        return self.kept.get(
            ("outputs", name, *key),
            lambda: run_network(network, pictures, cutting or self.cutting, report),
            lambda made: made.nbytes,
        )


def _noted(about: dict) -> dict:
    """What a header says of the cutting; `cutting_of` refuses what is none."""
    noted = about.get("segment", {})
    return noted if isinstance(noted, dict) else dict.fromkeys(CUTTING)


def _bytes(network: PDNet) -> int:
    return sum(value.nbytes for value in network.state_dict().values())
