"""The compared methods of Tables 1 and 2, each whole: its own encoder, interaction, decoder, losses
and way of being tested.

Written from descriptions of the published networks, none of whose code is here; the numbers of the
authors' own networks agree (`tests/golden_baselines`). A method's entries have our names;
`base.entries_of_theirs` gives the names in the authors' checkpoints.
"""

from __future__ import annotations

from importlib import import_module

from pdnet.errors import InputError
from pdnet.model.methods.base import Method

# name in tables -> module and class; imported when wanted: each is large
METHODS = {
    "AGNN": ("agnn", "AGNN"),
    "AMC-Net": ("amcnet", "AMCNet"),
    "COSNet": ("cosnet", "COSNet"),
    "F2Net": ("f2net", "F2Net"),
    "FSNet": ("fsnet", "FSNet"),
    "HFAN-M": ("hfan", "HFAN"),
    "IMCNet": ("imcnet", "IMCNet"),
    "MATNet": ("matnet", "MATNet"),
}


def method_class(name: str) -> type[Method]:
    """The network of a compared method.

    Raises:
        InputError: no such method.
    """
    if name not in METHODS:
        raise InputError(f"method '{name}': expected {', '.join(METHODS)}")
    module, member = METHODS[name]
    return getattr(import_module(f"pdnet.model.methods.{module}"), member)
