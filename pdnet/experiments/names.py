"""What variants and clips of the imbalance series are called, and which variants are compared."""

from __future__ import annotations

COMPARED = ("full", "one-part", "no-ipda")  # by the imbalance experiment
CONTROL = "unrelated"  # a reference frame of another scene: what the right one is worth
NAMES = {
    "full": "full, p = 5",
    "no-ipda": "without IPDA and fusion",
    "geometric": "geometric loss only",
    "geometric-area": "geometric and area loss",
    "one-part": "p = 1",
    "three-parts": "p = 3",
    "full-unrelated": "full, reference of another scene",
}

# rows of Tables 1 and 2 by `model.interaction`: "style", since the interaction alone is theirs
TITLES = {
    "ipda": "PDNet",
    "none": "no interaction",
    "concat": "concatenation",
    "agnn": "AGNN-style",
    "amcnet": "AMC-Net-style",
    "cosnet": "COSNet-style",
    "f2net": "F2Net-style",
    "fsnet": "FSNet-style",
    "hfan": "HFAN-style",
    "imcnet": "IMCNet-style",
    "matnet": "MATNet-style",
}
PREDICTIONS = "predictions"  # folder of a method's masks, of its first seed


def level_of(clip_name: str) -> float:
    """`imbalance/dancer-150` -> 1.5."""
    return int(clip_name.rpartition("-")[2]) / 100


def scene_of(clip_name: str) -> str:
    """`imbalance/dancer-150` -> `imbalance/dancer`."""
    return clip_name.rpartition("-")[0]
