"""What a network makes of a clip, small enough to be kept: computed once, looked at often."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from pdnet.config import EvaluateConfig
from pdnet.data.fit import resized
from pdnet.data.images import read_frame, read_labels, read_mask
from pdnet.data.layout import Clip
from pdnet.data.skeleton import body_parts
from pdnet.inference.people import Cutter
from pdnet.inference.segment import clip_segmenter, walk
from pdnet.metrics.region_contour import frame_scores
from pdnet.metrics.stability import flow_back
from pdnet.model import PDNet
from pdnet.model.ipda import Memory, Parts

LONG_SIDE = 560  # pixels of a picture on the screen: two of them stand side by side
FLOW_STEP = 4  # pixels of the picture from one kept flow vector to the next
Report = Callable[[int, int], None]  # told how many frames of how many are done


@dataclass(frozen=True)
class ClipPictures:
    """A clip at the size that is shown, whatever network looks at it.

    Attributes:
        clip: what it shows.
        frames: (h, w, 3) uint8 RGB each.
        truths: (h, w) bool each.
        bodies: (h, w) int8 true body parts, -1 where nobody is; empty where the clip has none.
        flows: motion since the frame before, (h / 4, w / 4, 2) float16 in pixels of the picture;
            zero for the first frame.
    """

    clip: Clip
    frames: list[np.ndarray]
    truths: list[np.ndarray]
    bodies: list[np.ndarray]
    flows: list[np.ndarray]

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return _bytes_of(self.frames, self.truths, self.bodies, self.flows)


@dataclass(frozen=True)
class ClipOutputs:
    """What a network makes of a clip.

    Attributes:
        probabilities: (h, w) float16 each, at the size of `ClipPictures`.
        masks: (h, w) bool each, cut at the frames' own size.
        j, f: of every annotated frame, 0..1; the first and the last are not scored elsewhere.
        part_masks: (p, h', w') float32 on the part grid each; empty without parts.
        parts: `Parts` of each frame; empty without parts.
        memory: what the network keeps of the reference, the clip's first frame.
        attention: the network's, to ask it where a pixel looks; None without parts.
    """

    probabilities: list[np.ndarray] = field(default_factory=list)
    masks: list[np.ndarray] = field(default_factory=list)
    j: list[float] = field(default_factory=list)
    f: list[float] = field(default_factory=list)
    part_masks: list[np.ndarray] = field(default_factory=list)
    parts: list[Parts] = field(default_factory=list)
    memory: Memory | None = None
    attention: nn.Module | None = None

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        inside = 0
        for parts in self.parts:
            inside += sum(tensor.nbytes for tensor in vars(parts).values())
        return inside + _bytes_of(self.probabilities, self.masks, self.part_masks)


def _bytes_of(*lists: list[np.ndarray]) -> int:
    return sum(sum(array.nbytes for array in arrays) for arrays in lists)


class Kept:
    """Values by key; the least recently used go when all together are larger than a limit.

    Args:
        limit: bytes; the value that was asked for last stays, however large.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any], size: Callable[[Any], int]) -> Any:
        """The value of a key, made where it is not there; `size` says its bytes."""
        if key not in self._values:
            made = make()
            self._values[key] = (made, size(made))
        self._values.move_to_end(key)
        while self.nbytes > self.limit and len(self._values) > 1:
            self._values.popitem(last=False)
        return self._values[key][0]

    @property
    def nbytes(self) -> int:
        """Of all that is kept."""
        return sum(nbytes for _, nbytes in self._values.values())

    def __len__(self) -> int:
        return len(self._values)


def shown_size(frame: np.ndarray) -> tuple[int, int]:
    """(h, w) at which a frame (H, W, 3) is shown: the long side is `LONG_SIDE` at most."""
    share = min(1.0, LONG_SIDE / max(frame.shape[:2]))
    return round(frame.shape[0] * share), round(frame.shape[1] * share)


def shrunk_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A (H, W) bool mask at another size, (h, w) bool: a pixel belongs where most of it does."""
    return resized(mask.astype(np.float32), size) > 0.5


def read_clip(clip: Clip) -> ClipPictures:
    """A clip's frames, truth and motion at the size that is shown.

    Raises:
        InputError: a frame, mask or label cannot be read.
    """
    pictures = ClipPictures(clip, [], [], [], [])
    for stem in clip.frames:
        frame = read_frame(clip.frame(stem))
        size = shown_size(frame)
        small = resized(frame, size)
        before = pictures.frames[-1] if pictures.frames else small
        pictures.flows.append(_motion(before, small))
        pictures.frames.append(small)
        pictures.truths.append(shrunk_mask(read_mask(clip.mask(stem)), size))
        if clip.parts(stem).is_file():
            bodies = body_parts(read_labels(clip.parts(stem))).astype(np.int8)
            pictures.bodies.append(cv2.resize(bodies, size[::-1], interpolation=cv2.INTER_NEAREST))
    if len(pictures.bodies) < len(pictures.frames):
        pictures.bodies.clear()
    return pictures


def _motion(before: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Where the pixels of a frame came from, turned round: how they moved."""
    if before is frame or before.shape != frame.shape:
        return np.zeros((*frame[::FLOW_STEP, ::FLOW_STEP].shape[:2], 2), np.float16)
    return -flow_back(before, frame)[::FLOW_STEP, ::FLOW_STEP].astype(np.float16)


@contextmanager
def _seen(network: PDNet) -> Iterator[list[Parts]]:
    """The `Parts` that a network makes, as they are made: no second pass to look at them."""
    made: list[Parts] = []
    if not network.has_parts:
        yield made
        return
    handle = network.decoupling.register_forward_hook(lambda _, __, parts: made.append(parts))
    try:
        yield made
    finally:
        handle.remove()


def run_network(
    network: PDNet,
    pictures: ClipPictures,
    cutting: EvaluateConfig,
    report: Report = lambda done, count: None,
) -> ClipOutputs:
    """A network on every annotated frame of a clip, its first frame the reference.

    Args:
        network: in evaluation mode.
        pictures: of the clip.
        cutting: threshold and people, as they become masks.
        report: called after each frame.

    Raises:
        InputError: a frame cannot be read, or the network's output is not finite.
    """
    clip, size = pictures.clip, pictures.frames[0].shape[:2]
    segmenter = clip_segmenter(network, clip)
    memory = segmenter.memory(0) if network.has_parts else None
    attention = network.attention if network.has_parts else None
    outputs = ClipOutputs(memory=memory, attention=attention)
    cut = Cutter(cutting.people, threshold=cutting.threshold)
    with _seen(network) as made:
        for seen in walk(segmenter, clip):
            mask, truth = cut.mask(seen.found.probability), read_mask(clip.mask(seen.stem))
            j, f = frame_scores(mask, truth)
            outputs.j.append(j)
            outputs.f.append(f)
            size = pictures.frames[seen.index].shape[:2]
            outputs.masks.append(shrunk_mask(mask, size))
            outputs.probabilities.append(resized(seen.found.probability, size).astype(np.float16))
            if seen.found.part_masks is not None:
                outputs.part_masks.append(seen.found.part_masks)
                outputs.parts.append(made[-1])
            made.clear()
            report(seen.index + 1, len(clip.frames))
    return outputs


@torch.inference_mode()
def gaze(
    outputs: ClipOutputs, index: int, at: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Where a pixel of a frame looks in the reference, part by part.

    Args:
        outputs: of a network with parts.
        index: of the frame.
        at: (x, y) in shares of width and height.

    Returns:
        (p, h', w') attention on the part grid, each part's sums to 1; (p,) how much of the pixel
        belongs to each part.
    """
    parts = outputs.parts[index]
    h, w = parts.masks.shape[-2:]
    column, row = (
        min(max(int(share * side), 0), side - 1) for share, side in zip(at, (w, h), strict=True)
    )
    weights = outputs.attention.weights(parts, outputs.memory)[0, 0]  # (p, n, n)
    at_pixel = weights[:, row * w + column].reshape(len(weights), h, w)
    return at_pixel.float().cpu().numpy(), parts.masks[0, :, row, column].float().cpu().numpy()


def surest_pixel(outputs: ClipOutputs, index: int) -> tuple[float, float]:
    """(x, y) in shares of width and height: where the network is surest of a person."""
    saliency = outputs.parts[index].saliency_logits[0, 0]
    h, w = saliency.shape
    row, column = divmod(int(saliency.argmax()), w)
    return (column + 0.5) / w, (row + 0.5) / h
