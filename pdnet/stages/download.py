"""data/source -> data/raw: the clips and single images that `data` names, in the MVPS layout."""

from __future__ import annotations

from pdnet.config import RAW, SOURCE, Config
from pdnet.sources.clips import download


def run(config: Config) -> None:
    """Brings the data and checks it."""
    download(config, SOURCE, RAW)
