"""A nearer look: frames are segmented around where the portrait was one frame before.

A network's input has one size for all frames, so whoever fills half of a frame is seen in half of
the detail, and half of the work goes into the background. Here the whole frame is looked at first,
and then now and again; in between a window around the portrait is, and around that of the first
frame as its reference. What it is worth: docs/people.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from pdnet.config import EvaluateConfig
from pdnet.data.images import read_frame
from pdnet.data.layout import Clip
from pdnet.errors import InputError
from pdnet.inference.people import Cutter
from pdnet.inference.segment import ClipSegmenter, Segmentation, clip_segmenter
from pdnet.model import PDNet

Read = Callable[[int], np.ndarray]
# (H, W, 3) uint8 RGB -> (H, W) bool, frames of a film in order
Masks = Callable[[np.ndarray], np.ndarray]
# a film's first frame -> its masks: what remembers one film must not know it in the next
Begin = Callable[[np.ndarray], Masks]

LOOKS = ("whole", "near")  # as `evaluate.look` has them
MARGIN = 0.2  # around the portrait, a share of its longer side: a limb may reach into it
LEAST = 0.4  # of a window's side, a share of the frame's short side
MOST = 0.9  # of the frame's area: a larger window is no nearer look
AROUND = 12  # frames from one look at the whole frame to the next
COARSE = 4  # every so many pixels of a mask say where its window lies
SURE = 0.5  # the probability from which a pixel is of the portrait


class Window(NamedTuple):
    """A part of a frame, in pixels; row `bottom` and column `right` are outside."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, array: np.ndarray) -> np.ndarray:
        """(H, W, ...) -> what lies in the window."""
        return array[self.top : self.bottom, self.left : self.right]

    def scaled(self, before: tuple[int, int], after: tuple[int, int]) -> Window:
        """The same part of a picture that has (H, W) `after` in place of `before`."""
        down, right = (new / old for new, old in zip(after, before, strict=True))
        factors = (down, down, right, right)
        return Window(*(round(end * factor) for end, factor in zip(self, factors, strict=True)))


def window_around(mask: np.ndarray, *, square: bool = True) -> Window | None:
    """The square, or the rectangle, around a (H, W) bool mask and its `MARGIN`, as far as the frame
    goes; None around nothing, and where the window would be nearly the frame.
    """
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    ends = np.array([[rows[0], rows[-1] + 1], [columns[0], columns[-1] + 1]])
    size = np.array(mask.shape)
    own = ends[:, 1] - ends[:, 0]
    inside = (own.max() if square else own) + 2 * MARGIN * own.max()
    sides = np.minimum(np.maximum(inside, LEAST * size.min()), size)
    if sides.prod() > MOST * size.prod():
        return None
    begins = np.clip(ends.mean(1) - sides / 2, 0, size - sides)
    (top, left), (bottom, right) = begins.astype(int), (begins + sides).astype(int)
    return Window(int(top), int(bottom), int(left), int(right))


class NearSegmenter(ClipSegmenter):
    """Segments the frames of one clip from near, in order and each once.

    Args:
        network, read, count: see `ClipSegmenter`; the first frame is the reference.
        people: around whom the window lies: all, the largest, or the followed (see `Cutter`).

    Raises:
        InputError: the network compares places in target and reference, or looks at optical flow:
            two windows have no places in common.
    """

    in_order = True

    def __init__(self, network: PDNet, read: Read, count: int, *, people: str) -> None:
        model = network.config
        if (model.position, model.difference) != ("none", "none") or network.looks_at == "flow":
            raise InputError(
                "look 'near': not for a network that compares places or looks at optical flow; "
                "take 'whole'"
            )
        super().__init__(network, read, count)
        self._follow = Cutter(people, threshold=SURE)
        self._near: ClipSegmenter | None = None  # whose frames are windows
        self._window: Window | None = None
        self._size: tuple[int, int] | None = None  # of the frame that the window lies in
        self._left = 0  # frames until the whole one is looked at again

    def segment(self, index: int, frame: np.ndarray | None = None) -> Segmentation:
        """The next frame -> its `Segmentation`; parts lie on a grid of the whole frame."""
        frame = self.read(index) if frame is None else frame
        found = None
        if self._window is None or not self._left or self._size != frame.shape[:2]:
            found = self._looked_around(index, frame)
        if self._window is not None:
            near = self._from_near(frame)
            # nobody: they are gone, or were missed from near
            found = self._looked_around(index, frame) if near is None else near
        self._left -= 1
        return found

    def _looked_around(self, index: int, frame: np.ndarray) -> Segmentation:
        """What the whole frame says; the window lies around whom it shows."""
        found = super().segment(index, frame)
        self._left = AROUND
        self._move(found.probability)
        return found

    def _from_near(self, frame: np.ndarray) -> Segmentation | None:
        """What the window says; None if there is nobody in it. The window moves along."""
        if self._near is None:
            self._near = self._around_the_first()
        window, size = self._window, frame.shape[:2]
        near = self._near.segment(0, window.of(frame))
        probability = np.zeros(size, np.float32)
        window.of(probability)[:] = near.probability
        if not (near.probability > SURE).any():
            return None
        self._move(probability)
        parts = None if near.part_masks is None else _placed(near.part_masks, window, size)
        return Segmentation(probability, parts)

    def _move(self, probability: np.ndarray) -> None:
        """Lays the window around whom a frame's (H, W) probability shows."""
        self._size = probability.shape
        coarse = probability[::COARSE, ::COARSE]
        window = window_around(self._follow.mask(coarse))
        self._window = None if window is None else window.scaled(coarse.shape, self._size)

    def _around_the_first(self) -> ClipSegmenter:
        first = self.read(0)
        of_first = super().segment(0, first).probability > SURE
        window = window_around(Cutter(self._follow.people, threshold=SURE).mask(of_first))
        seen = first if window is None else window.of(first)
        return ClipSegmenter(self.network, lambda _: seen, 1)


def _placed(parts: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """(p, h, w) masks of a window's parts -> the same on a grid as fine that spans the frame of
    `size`.
    """
    inside = (window.bottom - window.top, window.right - window.left)
    grown = zip(parts.shape[1:], size, inside, strict=True)
    shape = tuple(max(1, round(cells * whole / part)) for cells, whole, part in grown)
    placed = np.zeros((len(parts), *shape), parts.dtype)
    place = window.scaled(size, shape)
    for part, whole in zip(parts, placed, strict=True):
        target = place.of(whole)
        target[:] = cv2.resize(part, target.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return placed


def film_masks(network: PDNet, *, threshold: float, people: str, look: str) -> Begin:
    """How the frames of a film become masks, with the first one as reference.

    Args:
        network: in evaluation mode.
        threshold, people: see `Cutter`.
        look: at each `whole` frame, or from `near`.

    Raises:
        InputError: no such `people` or `look`; what is returned: not with this network.
    """
    if look not in LOOKS:
        raise InputError(f"look '{look}': expected {', '.join(LOOKS)}")
    new_cutter = partial(Cutter, people, threshold=threshold)
    new_cutter()  # so that it refuses now and not at a first frame

    def begin(first: np.ndarray) -> Masks:
        cut = new_cutter()
        # the first frame is the only reference, so the film's length need not be known
        film = (network, lambda _: first, 1)
        segmenter = NearSegmenter(*film, people=people) if look == "near" else ClipSegmenter(*film)
        return lambda frame: cut.mask(segmenter.segment(0, frame).probability)

    return begin


def clip_segmenter_of(
    network: PDNet, clip: Clip, options: EvaluateConfig, *, seed: int = 0
) -> ClipSegmenter:
    """A segmenter of a clip's annotated frames, as the parameters want it.

    Args:
        network, clip: see `clip_segmenter`.
        options: `look`, `people`, and which references.
        seed: of random ones.
    """
    if options.look == "near":
        read = partial(_annotated, clip)
        return NearSegmenter(network, read, len(clip.frames), people=options.people)
    how = {"policy": options.reference, "k": options.reference_k, "seed": seed}
    return clip_segmenter(network, clip, **how)


def _annotated(clip: Clip, index: int) -> np.ndarray:
    return read_frame(clip.frame(clip.frames[index]))
