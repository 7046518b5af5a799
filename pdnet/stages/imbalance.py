"""data/imbalance: the series in which only the limbs' speed rises; the same for every source of
clips.
"""

from __future__ import annotations

from pdnet.config import SERIES, Config
from pdnet.sample.render import render_clips
from pdnet.sample.series import series


def run(config: Config) -> None:
    """Renders the annotated frames of the series."""
    scripts = series(config.imbalance.levels, config.imbalance.frames)
    render_clips(scripts, SERIES, config.machine.workers, between=False)
