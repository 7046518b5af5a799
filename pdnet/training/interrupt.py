"""Signals: the first one asks a training to stop after its step, the second stops it at once."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from pdnet.base.parallel import die_with_parent

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """SIGINT or SIGTERM came; the state is saved and the same command goes on from there."""


class Interruption:
    """Listens for signals inside a `with` block.

    Attributes:
        asked: a signal came.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interruption:
        """Takes the signals over."""
        self._before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        """Gives them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        sys.stderr.write("\nstopping after this step (again to stop at once) ...\n")


def quiet_worker(_: int) -> None:
    """A data loader's worker leaves signals to the main process, dies with it and uses one
    thread.
    """
    # torch's own watch over the parent starts too late for one that was killed meanwhile
    die_with_parent()
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
