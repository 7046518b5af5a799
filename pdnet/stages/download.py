"""data/source -> data/raw: the clips and single images that `data` names, in the MVPS layout."""

from __future__ import annotations

from pdnet.base.files import value_hash
from pdnet.config import FLOW, RAW, SOURCE, WORKING, Config
from pdnet.sources.aside import take_over
from pdnet.sources.clips import download

ASIDE = WORKING.parent / "kept"  # the data of profiles that are not at work


def run(config: Config) -> None:
    """Brings the data and checks it; another profile's data is put aside."""
    asked = config.model_dump(mode="json", include={"data", "preprocess", "seed"})
    take_over(config.profile, value_hash(asked), (RAW, WORKING, FLOW), ASIDE)
    download(config, SOURCE, RAW)
