"""The network: backbone -> encoder -> IPDA -> fusion -> mask. Knows no data and no training."""

from pdnet.model.pdnet import Output, PDNet

__all__ = ["Output", "PDNet"]
