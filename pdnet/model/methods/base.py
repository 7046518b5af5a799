"""What the compared methods have in common: what they are given, what they give, how the authors
test them, and the names of the authors' checkpoints.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from pdnet.base.parameters_file import shown as short
from pdnet.errors import InputError
from pdnet.model.weights import check_entry


@dataclass(frozen=True)
class Shown:
    """What a method looks at; images are normalised as its `NativeProtocol` says.

    Attributes:
        frame: (B, 3, H, W), the target.
        references: (B, R, 3, H, W), or None for a method that takes none.
        flow: (B, 3, H, W), colours of the optical flow from the target on, or None likewise.
    """

    frame: Tensor
    references: Tensor | None = None
    flow: Tensor | None = None


@dataclass(frozen=True)
class NativeProtocol:
    """How a method's authors test it.

    Attributes:
        sizes: (height, width) of the input, one per scale; the maps of all are averaged. Of a
            method that slides a window, the window.
        colours: `imagenet`: RGB in 0..1, ImageNet's mean and deviation. `caffe`: BGR in 0..255 less
            a mean.
        references: which frames: `none`, the `first`, `random` ones of the clip, or the frames
            `around` at a distance of four, clamped to the clip.
        count: of references.
        flow: looks at optical flow's colours.
        flips: mirrored passes whose maps are averaged too.
        window_stride: of a sliding window on a frame whose short side is that of `sizes`; 0 where
            the frame is resized to `sizes`.
    """

    sizes: tuple[tuple[int, int], ...]
    colours: Literal["imagenet", "caffe"] = "imagenet"
    references: Literal["none", "first", "random", "around"] = "none"
    count: int = 0
    flow: bool = False
    flips: tuple[Literal["horizontal", "vertical"], ...] = ()
    window_stride: int = 0


class Method(nn.Module, ABC):
    """A compared method's network.

    Attributes:
        protocol: see `NativeProtocol`.
        renames: our entries' names -> the authors': (regular expression, replacement) pairs, all
            of them applied in this order by `re.sub`.
        dead: regular expressions of the authors' entries that no pass of theirs uses.
    """

    protocol: ClassVar[NativeProtocol]
    renames: ClassVar[tuple[tuple[str, str], ...]] = ()
    dead: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def probability(self, shown: Shown) -> Tensor:
        """One pass of the authors' test -> foreground in 0..1, (B, 1, H, W) at the input's size."""

    @abstractmethod
    def video_losses(
        self, shown: Shown, mask: Tensor, reference_masks: Tensor | None
    ) -> dict[str, Tensor]:
        """The losses of the authors' video step by name; `total` is what they minimise.

        Args:
            shown: a training batch.
            mask: (B, 1, H, W) of the target in 0..1.
            reference_masks: (B, R, 1, H, W), or None where there are no references.
        """

    def image_losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor] | None:
        """The losses of the authors' step on single images (B, 3, H, W), or None where they have
        none.
        """
        return None


def entries_of_theirs(network: Method) -> dict[str, str]:
    """Our entry -> the authors' name of it, in the order of our modules."""
    names = {}
    for ours in network.state_dict():
        theirs = ours
        for pattern, replacement in network.renames:
            theirs = re.sub(pattern, replacement, theirs)
        names[ours] = theirs
    return names


def import_state(network: Method, state: Mapping[str, Any]) -> list[str]:
    """Fills a network with the authors' entries.

    Args:
        network: is filled when all entries are sound.
        state: names and tensors.

    Returns:
        the entries that no pass uses and that were dropped.

    Raises:
        InputError: an entry is missing, unknown, or not what `check_entry` admits; it is named.
    """
    wanted, names = network.state_dict(), entries_of_theirs(network)
    ours = {}
    for name, theirs in names.items():
        if theirs not in state:
            raise InputError(f"missing entry '{theirs}'")
        check_entry(theirs, state[theirs], wanted[name])
        ours[name] = state[theirs]
    used = set(names.values())
    others = [name for name in state if name not in used]
    unknown = [name for name in others if not _matches(name, network.dead)]
    if unknown:
        raise InputError(
            f"unknown entry '{short(unknown[0])}' ({len(unknown)} in all); this is no checkpoint "
            f"of {type(network).__name__}"
        )
    network.load_state_dict(ours)
    return others


def export_state(network: Method) -> dict[str, Tensor]:
    """A network's entries under the authors' names, but for those that no pass uses."""
    state = network.state_dict()
    return {theirs: state[ours].clone() for ours, theirs in entries_of_theirs(network).items()}


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)
