"""data/imbalance: the series in which only the limbs' speed rises; the same for every source of
clips.
"""

from __future__ import annotations

from pdnet.base.manifest import bring
from pdnet.config import SERIES, Config
from pdnet.sample.render import clip_units
from pdnet.sample.series import series


def run(config: Config) -> None:
    """Renders the annotated frames of the series."""
    scripts = series(config.imbalance.levels, config.imbalance.frames)
    units = clip_units(scripts, between=False)
    bring(SERIES, units, "render the series", workers=config.machine.workers)
