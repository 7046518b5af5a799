"""One path for a clip: references encoded once, then one pass per frame."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from pdnet.data.fit import frame_tensor, image_tensor, input_shape, resized
from pdnet.data.flow import flow_colours, read_flow
from pdnet.data.images import read_frame
from pdnet.data.layout import Clip
from pdnet.errors import InputError
from pdnet.model import PDNet
from pdnet.model.blocks import resize
from pdnet.model.interactions.base import References
from pdnet.model.ipda import Memory
from pdnet.model.pdnet import Output

LATER_REFERENCES = ("first+previous_k", "every_n")
KEPT_MEMORIES = 16  # of reference frames, so that state stays bounded on any clip
JUST_SEGMENTED = 1  # room for the frame that may be a reference next, beside a full set of them


@dataclass(frozen=True)
class Segmentation:
    """What a frame became.

    Attributes:
        probability: (H, W) float32, of portrait, at the frame's own size.
        part_masks: (p, h, w) float32 on the part grid, saliency times part prediction; None
            without IPDA.
        part_steps: (p, h, w, 2) float32, how far each part has moved against the scene since the
            first reference, in shares of the frame's width and height; None where the network does
            not know places (`model.position`, `difference: matched`).
    """

    probability: np.ndarray
    part_masks: np.ndarray | None
    part_steps: np.ndarray | None = None


def reference_indices(
    policy: str, index: int, count: int, *, k: int, seed: int = 0
) -> tuple[int, ...]:
    """Which frames of a clip serve frame `index` as references; never the frame itself, but for the
    first.

    Args:
        policy: `first`; `first+previous_k` (and the k-th frame before, Table 5 has k = 5); `random`
            (k frames of the clip, as far as possible the same for all its frames); `every_n` (the
            first and every k-th frame before this one, of those the latest that memory holds).
        index: of the target.
        count: frames of the clip.
        k: see `policy`.
        seed: of `random`.
    """
    if policy == "first":
        return (0,)
    if policy == "first+previous_k":
        return (0,) if index - k <= 0 else (0, index - k)
    if policy == "random":
        order = np.random.default_rng((seed, count)).permutation(count)
        others = order[order != index][:k]
        return tuple(sorted(int(i) for i in others)) or (0,)
    later = range(k, index, k)
    return (0, *later[-(KEPT_MEMORIES - 1) :])


class ClipSegmenter:
    """Segments the frames of one clip.

    Attributes:
        in_order: what it says of a frame depends on the frames that it was asked before.

    Args:
        network: in evaluation mode.
        read: index -> frame (H, W, 3) uint8 RGB.
        count: frames of the clip.
        policy, k, seed: see `reference_indices`.
        flow: index -> optical flow (h, w, 2) of a frame, in any resolution; for a network that
            looks at it.
        scale: of the input, see `input_shape`.
    """

    in_order = False

    def __init__(
        self,
        network: PDNet,
        read: Callable[[int], np.ndarray],
        count: int,
        *,
        policy: str = "first",
        k: int = 5,
        seed: int = 0,
        flow: Callable[[int], np.ndarray] | None = None,
        scale: float = 1.0,
    ) -> None:
        if network.looks_at == "flow" and flow is None:
            raise InputError(
                f"the network with the interaction '{network.config.interaction}' looks at optical "
                "flow, which is only there for the clips of a data set (stage `flow`)"
            )
        self.flow, self.scale = flow, scale
        self.network, self.read, self.count = network, read, count
        self.policy, self.k, self.seed = policy, k, seed
        self.device = next(network.parameters()).device
        # least recently used first
        self._memories: OrderedDict[int, Memory | References | None] = OrderedDict()

    def _shape(self, frame: np.ndarray) -> tuple[int, int]:
        return input_shape(self.network.config, frame.shape[:2], scale=self.scale)

    def _input(self, frame: np.ndarray) -> Tensor:
        size = self._shape(frame)
        image = frame_tensor(frame, size)[None].to(self.device)
        return self.network.encoder.normalise(image)

    def _remember(self, index: int) -> Memory | References | None:
        """Memory of a reference frame: kept, or encoded."""
        if index not in self._memories:
            self._keep(index, self.network.encode_reference(self._input(self.read(index))))
        # references in use are the latest used, so what is dropped is none of them
        self._memories.move_to_end(index)
        return self._memories[index]

    def _keep(self, index: int, memory: Memory | References | None) -> None:
        self._memories[index] = memory
        while len(self._memories) > KEPT_MEMORIES + JUST_SEGMENTED:
            self._memories.popitem(last=False)

    def memory(self, index: int) -> Memory | References | None:
        """The memory that frame `index` looks into; None where no reference is looked at."""
        if self.network.looks_at != "reference":
            return None
        chosen = reference_indices(self.policy, index, self.count, k=self.k, seed=self.seed)
        memories = [self._remember(i) for i in chosen]
        return reduce(lambda ours, others: ours.joined(others), memories)

    def _colours(self, index: int, frame: np.ndarray) -> Tensor | None:
        """The flow's colours as the network takes them; None where they are not looked at."""
        if self.network.looks_at != "flow":
            return None
        size = self._shape(frame)
        flow = self.flow(index)
        grown = np.array([size[1] / flow.shape[1], size[0] / flow.shape[0]], np.float32)
        image = image_tensor(flow_colours(resized(flow, size) * grown))[None].to(self.device)
        return self.network.encoder.normalise(image)

    @torch.inference_mode()
    def segment(self, index: int, frame: np.ndarray | None = None) -> Segmentation:
        """Frame `index` (read, unless given) -> its `Segmentation`.

        Raises:
            InputError: the network gives something that is no number; a mask of it would be empty.
        """
        frame = self.read(index) if frame is None else frame
        colours = self._colours(index, frame)
        shown = self._input(frame)
        output = self.network.segment(shown, self.memory(index), colours)
        may_serve = self.policy in LATER_REFERENCES and output.parts is not None
        if may_serve and index not in self._memories:
            # what was segmented may be a reference later, for the price of its keys and values
            memory = self.network.remember_parts(shown, output.parts, output.appearance)
            self._keep(index, memory)
        # logits are enlarged and cut after the sigmoid, not masks: a mask's staircase would cost F
        probability = resize(output.logits.float(), frame.shape[:2]).sigmoid()[0, 0].cpu().numpy()
        if not np.isfinite(probability.sum()):
            raise InputError(
                f"frame {index}: the network's output is not finite; its weights are damaged, or "
                "too large"
            )
        parts = None if output.parts is None else output.parts.masks[0].float().cpu().numpy()
        return Segmentation(probability, parts, _part_steps(output))

    def __iter__(self) -> Iterator[Segmentation]:
        """Every frame of the clip in order."""
        for index in range(self.count):
            yield self.segment(index)


def _part_steps(output: Output) -> np.ndarray | None:
    """See `Segmentation.part_steps`."""
    found = output.correlation
    if found is None or found.displacement is None:
        return None
    h, w = output.parts.masks.shape[-2:]
    if found.learned is not None:
        shares = found.learned.shares((h, w))[0].permute(1, 2, 0)
        return shares.expand(len(output.parts.masks[0]), -1, -1, -1).cpu().numpy()
    # a displacement leads back to where the part was
    moved = -found.moved((h, w))[0, 0]  # (p, n, 2) in cells
    shares = moved / torch.tensor([w, h], device=moved.device)
    return shares.unflatten(1, (h, w)).cpu().numpy()


def clip_segmenter(
    network: PDNet, clip: Clip, *, policy: str = "first", k: int = 5, seed: int = 0
) -> ClipSegmenter:
    """A segmenter of a clip's annotated frames; see `ClipSegmenter`."""

    def read(index: int) -> np.ndarray:
        return read_frame(clip.frame(clip.frames[index]))

    def flow(index: int) -> np.ndarray:
        return read_flow(clip.flow(clip.frames[index]))

    how = {"policy": policy, "k": k, "seed": seed, "flow": flow}
    return ClipSegmenter(network, read, len(clip.frames), **how)


@dataclass(frozen=True)
class Seen:
    """An annotated frame on a walk over a clip.

    Attributes:
        index, stem: its place in the clip, its name.
        frame: (H, W, 3) uint8 RGB.
        found: what the network makes of it.
    """

    index: int
    stem: str
    frame: np.ndarray
    found: Segmentation


def walk(
    segmenter: ClipSegmenter, clip: Clip, stems: Sequence[str] | None = None
) -> Iterator[Seen]:
    """Segments annotated frames of a clip, one after another: the one way in which clips are gone
    through.

    Args:
        segmenter: where the references come from: this clip, or an unrelated one.
        clip: whose frames are read.
        stems: the frames; None takes all.
    """
    for stem in clip.frames if stems is None else stems:
        index, frame = clip.frames.index(stem), read_frame(clip.frame(stem))
        yield Seen(index, stem, frame, segmenter.segment(index, frame))
