"""MATNet (Zhou et al., AAAI and TIP 2020): frame and flow each have a ResNet-101; at three levels
the frame's features are gathered where the flow's agree with them, and go on so; the decoder finds
boundaries on its way to the mask.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pdnet.model.backbone import ResNetBackbone
from pdnet.model.methods.base import Method, NativeProtocol, Shown
from pdnet.model.methods.blocks import PreActivationBlock
from pdnet.model.methods.deeplab import enlarged

# per level, strides 4, 8, 16, 32
WIDTHS = (256, 512, 1024, 2048)  # channels of each stream; the decoder sees both side by side
LEVELS = range(len(WIDTHS))
CASCADES = 5
NARROWING = 16  # of the channels, in what is matched and in what is squeezed
PLANES = 256  # channels of the decoder
BRANCH = 64  # channels of a boundary head and of a branch of a refinement
DILATED = 3  # copies of the dilated branch in a refinement
KERNEL = 7  # of the decoder's entrance, in pixels at stride 32
SPREAD = 0.001  # deviation of a fresh decoder's weights, the authors'
BOUNDARY_WEIGHT = 0.2
BOUNDARY_REACH = 1  # pixels to either side of an outline that its line takes; our choice


class AsymmetricCascades(nn.Module):
    """Soft attention within frame and flow, then the frame's features gathered at the flow's
    positions; five times with the same weights.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.frame_score, self.flow_score = (nn.Conv2d(channels, 1, 1) for _ in range(2))
        narrow = channels // NARROWING
        self.frame_key, self.flow_query = (nn.Conv2d(channels, narrow, 1) for _ in range(2))

    def forward(self, frame: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Both (B, C, h, w) -> what the last cascade adds to each: gathered from the frame, of
        length one, and the attended flow.
        """
        for _ in range(CASCADES):
            attended_frame = _soft_attended(frame, self.frame_score(frame))
            attended_flow = _soft_attended(flow, self.flow_score(flow))
            gathered = self.gathered(attended_frame, attended_flow)
            frame, flow = (gathered + frame).relu(), (attended_flow + flow).relu()
        return gathered, attended_flow

    def gathered(self, frame: Tensor, flow: Tensor) -> Tensor:
        """The frame's features at each position of the flow, summed as both agree, length one."""
        # products of two soft attentions are near 1/n^2, below what half precision holds
        with torch.autocast(frame.device.type, enabled=False):
            exact = self.flow_query.weight.dtype
            frame, flow = frame.to(exact), flow.to(exact)
            queries = self.flow_query(flow).flatten(2).transpose(1, 2)  # (B, n, d)
            agreement = (queries @ self.frame_key(frame).flatten(2)).tanh()  # (B, n, n)
            found = frame.flatten(2) @ agreement.transpose(1, 2)  # (B, C, n)
            return F.normalize(found, dim=1).view_as(frame)


class ScaleSensitiveBridge(nn.Module):
    """Adds to a map its weighted self: by channel, by position, and as a whole."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // NARROWING
        self.squeeze = nn.Sequential(nn.Linear(channels, narrow), nn.ReLU())
        self.by_channel = nn.Sequential(nn.Linear(narrow, channels), nn.Sigmoid())
        self.whole = nn.Sequential(nn.Linear(narrow, 1), nn.Sigmoid())
        # no sigmoid: a position's weight may be negative
        self.by_position = nn.Sequential(
            nn.Conv2d(1, 1, KERNEL, padding=KERNEL // 2, bias=False), nn.BatchNorm2d(1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same."""
        squeezed = self.squeeze(x.mean((2, 3)))
        weighted = self.by_channel(squeezed)[..., None, None] * x
        places = self.by_position(weighted.amax(1, keepdim=True))  # (B, 1, h, w)
        return x + self.whole(squeezed)[..., None, None] * places * weighted


class InterleavedEncoder(nn.Module):
    """Two streams that meet after each stage but the first."""

    def __init__(self) -> None:
        super().__init__()
        self.frame_stem, self.frame_stages = _stages()
        self.flow_stem, self.flow_stages = _stages()
        self.cascades = nn.ModuleList(AsymmetricCascades(width) for width in WIDTHS[1:])
        self.bridges = nn.ModuleList(ScaleSensitiveBridge(2 * width) for width in WIDTHS)

    def forward(self, frame: Tensor, flow: Tensor) -> list[Tensor]:
        """(B, 3, H, W) of a frame and its flow -> maps (B, 2 C_i, h_i, w_i), finest first."""
        frame, flow = self.frame_stem(frame), self.flow_stem(flow)
        maps = []
        for i in LEVELS:
            frame, flow = self.frame_stages[i](frame), self.flow_stages[i](flow)
            if i:
                gathered, attended = self.cascades[i - 1](frame, flow)
                frame, flow = (gathered + frame).relu(), (attended + flow).relu()
            maps.append(self.bridges[i](torch.cat([frame, flow], 1)))
        return maps


class LargeKernel(nn.Module):
    """Two pairs of 7x1 and 1x7 convolutions, summed (Peng et al., CVPR 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        tall, wide = (KERNEL, 1), (1, KERNEL)
        self.tall_first = nn.Sequential(_conv(channels, PLANES, tall), _conv(PLANES, PLANES, wide))
        self.wide_first = nn.Sequential(_conv(channels, PLANES, wide), _conv(PLANES, PLANES, tall))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 256, h, w)."""
        return self.tall_first(x) + self.wide_first(x)


class Refinement(nn.Module):
    """A level's map by a 1x1 and a dilated 3x3 convolution, added to the coarser level's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(channels, BRANCH, 1)
        self.far = nn.Conv2d(channels, BRANCH, 3, padding=3, dilation=3)
        self.norm = nn.BatchNorm2d(BRANCH + DILATED * BRANCH)
        self.own = PreActivationBlock(PLANES)
        self.merged = PreActivationBlock(PLANES)

    def forward(self, x: Tensor, coarser: Tensor) -> Tensor:
        """(B, C, h, w) and (B, 256, h', w') -> (B, 256, h, w)."""
        # three dilations were meant; the release takes one convolution's map three times
        branches = torch.cat([self.near(x), *DILATED * [self.far(x)]], 1)
        own = self.own(self.norm(branches))
        return self.merged(own + enlarged(coarser, x.shape[-2:]))


class BoundaryAwareDecoder(nn.Module):
    """Finds a boundary at each level, tells the level of it, and refines from coarse to fine."""

    def __init__(self) -> None:
        super().__init__()
        self.boundaries = nn.ModuleList(_boundary_head(2 * width) for width in WIDTHS)
        *finer, coarsest = (2 * width + 1 for width in WIDTHS)
        self.enter = LargeKernel(coarsest)
        self.entered = PreActivationBlock(PLANES)
        self.refinements = nn.ModuleList(Refinement(width) for width in finer)
        self.mask = _conv(PLANES, 1, 3)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Strides 32 -> 4.

        Args:
            maps: (B, 2 C_i, h_i, w_i), finest first.

        Returns:
            logits of the mask (B, 1, h_0, w_0), and of the boundaries (B, 1, h_i, w_i), finest
            first.
        """
        boundaries = [head(x) for head, x in zip(self.boundaries, maps, strict=True)]
        *finer, coarsest = (
            torch.cat([x, boundary], 1) for x, boundary in zip(maps, boundaries, strict=True)
        )
        planes = self.entered(self.enter(coarsest))
        for refine, x in zip(reversed(self.refinements), reversed(finer), strict=True):
            planes = refine(x, planes)
        return self.mask(planes.relu()), boundaries


class MATOutput(NamedTuple):
    """Probabilities, (B, 1, H, W) in 0..1.

    Attributes:
        mask: of people.
        boundary: of their outlines.
        boundaries: the same by level, strides 4, 8, 16, 32.
    """

    mask: Tensor
    boundary: Tensor
    boundaries: list[Tensor]


class MATNet(Method):
    """The network of the authors' release; any size, where theirs gives 473x473 whatever it sees.

    Theirs also gathers the flow's features at the frame's positions, which nothing reads, and takes
    each dilated convolution three times; neither is done here, and the maps are the same.
    """

    # theirs resizes an 8-bit map to the native size and leaves out a clip's last frame, which has
    # no flow
    protocol: ClassVar[NativeProtocol] = NativeProtocol(
        sizes=((473, 473),), flow=True, flips=("horizontal",)
    )
    renames: ClassVar[tuple[tuple[str, str], ...]] = (
        # the authors' streams are 1 and 2
        (r"^encoder\.frame_(stem|stages)\.(.+)$", r"encoder.\1_1.\2"),
        (r"^encoder\.flow_(stem|stages)\.(.+)$", r"encoder.\1_2.\2"),
        (r"^encoder\.stem_(\d)\.0\.", r"encoder.conv1_\1."),
        (r"^encoder\.stem_(\d)\.1\.", r"encoder.bn1_\1."),
        # our levels count from 0, theirs from 2
        *[(rf"^encoder\.stages_(\d)\.{i}\.", rf"encoder.res{i + 2}_\1.") for i in LEVELS],
        *[(rf"^encoder\.cascades\.{i}\.", f"encoder.coa_res{i + 3}.") for i in LEVELS[:-1]],
        *[(rf"^encoder\.bridges\.{i}\.", f"encoder.gated_res{i + 2}.") for i in LEVELS],
        *[(rf"^decoder\.boundaries\.{i}\.", f"decoder.bdry{i + 2}.") for i in LEVELS],
        *[(rf"^decoder\.refinements\.{i}\.", f"decoder.RF{i + 2}.") for i in LEVELS[:-1]],
        (r"\.frame_score\.", ".proj1."),
        (r"\.flow_score\.", ".proj2."),
        (r"\.frame_key\.", ".proja."),
        (r"\.flow_query\.", ".projb."),
        (r"\.squeeze\.0\.", ".excitation_1.0."),
        (r"\.by_channel\.0\.", ".excitation_2.0."),
        (r"\.whole\.0\.", ".global_attention.0."),
        (r"\.by_position\.0\.", ".spatial.conv."),
        (r"\.by_position\.1\.", ".spatial.bn."),
        (r"(\.bdry\d)\.0\.", r"\1.bn1."),
        (r"(\.bdry\d)\.1\.", r"\1.conv1."),
        (r"(\.bdry\d)\.3\.", r"\1.bn2."),
        (r"(\.bdry\d)\.4\.", r"\1.conv2."),
        (r"(\.bdry\d)\.6\.", r"\1.conv3."),
        (r"\.near\.", ".pdc.block0."),
        (r"\.far\.", ".pdc.block1.conv."),
        (r"\.norm\.", ".pdc.bn."),
        (r"\.own\.conv1\.", ".convFS2."),
        (r"\.own\.conv2\.", ".convFS3."),
        (r"\.merged\.conv(\d)\.", r".convMM\1."),
        (r"\.enter\.tall_first\.0\.", ".GC.conv_l1."),
        (r"\.enter\.tall_first\.1\.", ".GC.conv_l2."),
        (r"\.enter\.wide_first\.0\.", ".GC.conv_r1."),
        (r"\.enter\.wide_first\.1\.", ".GC.conv_r2."),
        (r"\.entered\.conv(\d)\.", r".convG\1."),
        (r"\.mask\.", ".pred2."),
        (r"^merge\.", "decoder.concat."),
    )
    dead: ClassVar[tuple[str, ...]] = (
        r"^encoder\.coa_res\d\.(bottolneck[12]|bn[ab])\.",
        r"^decoder\.pred[345]\.",
        r"^decoder\.RF\d\.(convFS1|pdc\.block[23])\.",
    )

    def __init__(self) -> None:
        super().__init__()
        self.encoder = InterleavedEncoder()
        self.decoder = BoundaryAwareDecoder()
        self.merge = _conv(len(WIDTHS), 1, 3)
        for layer in (*self.decoder.modules(), self.merge):
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=SPREAD)
                nn.init.zeros_(layer.bias)

    def forward(
        self, frame: Tensor, flow: Tensor, size: tuple[int, int] | None = None
    ) -> MATOutput:
        """What is seen in a frame.

        Args:
            frame, flow: (B, 3, H, W).
            size: (height, width) of what is given, or None for that of the frame. The boundary
                depends on it: the levels' are merged there.
        """
        size = size or tuple(frame.shape[-2:])
        logits, boundaries = self.decoder(self.encoder(frame, flow))
        boundaries = [enlarged(one, size) for one in boundaries]
        return MATOutput(
            mask=enlarged(logits, size).sigmoid(),
            boundary=self.merge(torch.cat(boundaries, 1)).sigmoid(),
            boundaries=[one.sigmoid() for one in boundaries],
        )

    def probability(self, shown: Shown) -> Tensor:
        """Without the boundaries; see `Method.probability`."""
        logits, _ = self.decoder(self.encoder(shown.frame, shown.flow))
        return enlarged(logits, shown.frame.shape[-2:]).sigmoid()

    def video_losses(
        self,
        shown: Shown,
        mask: Tensor,
        reference_masks: Tensor | None,
        negatives: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """`mask`, and `boundaries`, the sum of the merged one's and the levels'; see
        `Method.video_losses`. There are no references.

        Args:
            shown, mask, reference_masks: see there.
            negatives: of `hard_negative_bce`. The authors have an edge detector's response away
                from people.
        """
        output = self(shown.frame, shown.flow)
        outline = boundary_of(mask)
        final = hard_negative_bce(output.mask, mask, negatives)
        found = (output.boundary, *output.boundaries)
        boundaries = sum(hard_negative_bce(one, outline, negatives) for one in found)
        total = final + BOUNDARY_WEIGHT * boundaries
        return {"mask": final, "boundaries": boundaries, "total": total}


def hard_negative_bce(
    probability: Tensor, truth: Tensor, negatives: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy, mean over pixels; in the truth's precision.

    Args:
        probability, truth: (B, 1, H, W) in 0..1.
        negatives: the same, how much more a pixel costs; None for none. The authors have some
            where there is texture, but nobody.
    """
    weight = None if negatives is None else 1 + negatives
    # torch refuses the cross-entropy of probabilities in mixed precision
    with torch.autocast(truth.device.type, enabled=False):
        return F.binary_cross_entropy(probability.to(truth.dtype), truth, weight)


def boundary_of(mask: Tensor) -> Tensor:
    """Where people and background lie within `BOUNDARY_REACH`: (B, 1, H, W) in 0..1 -> 0 or 1.

    The border of the image is no boundary.
    """
    inside = (mask >= 0.5).to(mask.dtype)
    side = 2 * BOUNDARY_REACH + 1
    # pooling pads with what never is the largest
    dilated = F.max_pool2d(inside, side, 1, BOUNDARY_REACH)
    eroded = 1 - F.max_pool2d(1 - inside, side, 1, BOUNDARY_REACH)
    return dilated - eroded


def _soft_attended(x: Tensor, score: Tensor) -> Tensor:
    """A map times the share that each position has of the whole frame, so about 1/n of it."""
    return x * score.flatten(2).softmax(2).view_as(score)


def _stages() -> tuple[nn.Sequential, nn.ModuleList]:
    """A ResNet-101 as its stem and its four stages."""
    full = ResNetBackbone("resnet101", len(WIDTHS))
    stem = nn.Sequential(full.conv1, full.bn1, full.relu, full.maxpool)
    return stem, nn.ModuleList(getattr(full, layer) for layer in full.layers)


def _boundary_head(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        _conv(channels, BRANCH, 3),
        nn.ReLU(),
        nn.BatchNorm2d(BRANCH),
        _conv(BRANCH, BRANCH, 3),
        nn.ReLU(),
        nn.Conv2d(BRANCH, 1, 1),
    )


def _conv(inputs: int, outputs: int, kernel: int | tuple[int, int]) -> nn.Conv2d:
    """With bias, same size."""
    return nn.Conv2d(inputs, outputs, kernel, padding="same")
