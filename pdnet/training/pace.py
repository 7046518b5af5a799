"""Does a training run as fast as it did? On busy cores it may not, by a factor of twenty."""

from __future__ import annotations

from collections import deque
from statistics import median_low

WINDOW = 10  # steps whose median is looked at: one slow step is nothing
COLLAPSE = 4.0  # times slower than the fastest window so far


class Pace:
    """Watches the seconds of steps of one kind and says once when they collapse."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=WINDOW)
        self._best = float("inf")
        self._said = False

    def warning(self, seconds: float) -> str | None:
        """Takes a step's seconds -> a line for the user, or None."""
        self._last.append(seconds)
        if len(self._last) < WINDOW:
            return None
        now = median_low(self._last)
        self._best = min(self._best, now)
        if self._said or now < COLLAPSE * self._best:
            return None
        self._said = True
        return (
            f"warning: a step takes {now:.1f} s, {now / self._best:.0f} times as long as before. "
            "Something else uses these cores: stop it, or set machine.threads to 1 and the "
            "environment variable OMP_WAIT_POLICY to PASSIVE"
        )
