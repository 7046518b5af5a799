"""What makes each compared method's interaction between frames, or between a frame and its flow, as
a small module on PDNet's encoder: encoder, data and scorer are the same, only this differs.

A row with one of these is "COSNet-style (ours)" and never "COSNet"; the methods themselves, whole,
are in `pdnet.model.methods`. A further interaction is one file, a line below, and its name in
`config.Interaction`.
"""

from __future__ import annotations

from pdnet.model.interactions.agnn import AGNNStyle
from pdnet.model.interactions.amcnet import AMCNetStyle
from pdnet.model.interactions.base import Interaction
from pdnet.model.interactions.concat import Concatenation
from pdnet.model.interactions.cosnet import COSNetStyle
from pdnet.model.interactions.f2net import F2NetStyle
from pdnet.model.interactions.fsnet import FSNetStyle
from pdnet.model.interactions.hfan import HFANStyle
from pdnet.model.interactions.imcnet import IMCNetStyle
from pdnet.model.interactions.matnet import MATNetStyle

# by their names in `model.interaction`
INTERACTIONS: dict[str, type[Interaction]] = {
    "agnn": AGNNStyle,
    "amcnet": AMCNetStyle,
    "concat": Concatenation,
    "cosnet": COSNetStyle,
    "f2net": F2NetStyle,
    "fsnet": FSNetStyle,
    "hfan": HFANStyle,
    "imcnet": IMCNetStyle,
    "matnet": MATNetStyle,
}
