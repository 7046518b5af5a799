"""FSNet (Ji et al., ICCV 2021): frame, flow and their mixture each have a ResNet-50; frame and flow
weight each other's channels, then mixture and flow correct each other across levels, both ways.
"""

from __future__ import annotations

from functools import reduce
from itertools import combinations
from operator import mul
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pdnet.model.backbone import ResNetBackbone
from pdnet.model.blocks import conv_bn_relu, resize
from pdnet.model.methods.base import Method, NativeProtocol, Shown

STEM_WIDTH = 64  # channels at stride 2
WIDTHS = (256, 512, 1024, 2048)  # channels of the stages, strides 4, 8, 16, 32
LEVELS = range(len(WIDTHS))
FINER_COARSER = tuple(combinations(LEVELS, 2))  # of whom one is raised to the other's size
NARROW = 32  # channels of every level behind the encoder
PURIFICATIONS = 4
POOLED_GRIDS = (1, 2, 3, 6)  # cells a side
POOLED = 8  # channels of each
SPREAD = 0.01  # deviation of fresh weights outside the ResNets, the authors'
FLAT = 1e-8  # least spread of a map that is stretched; our choice


class CrossedChannelAttention(nn.Module):
    """Frame and flow of one level, each times the weights that the other's mean gives, summed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.by_frame = _channel_attention(channels)
        self.by_flow = _channel_attention(channels)

    def forward(self, frame: Tensor, flow: Tensor) -> Tensor:
        """Two of (B, C, h, w) -> the same once."""
        return frame * self.by_flow(flow) + flow * self.by_frame(frame)


class ThreeStreamEncoder(nn.Module):
    """Frame and flow by themselves, and a third stream that takes in both after each stage."""

    def __init__(self) -> None:
        super().__init__()
        self.frame_stem, self.frame_stages = _stages()
        self.flow_stem, self.flow_stages = _stages()
        _, self.mixture_stages = _stages()  # it starts from both stems
        widths = (STEM_WIDTH, *WIDTHS)
        self.crossings = nn.ModuleList(CrossedChannelAttention(width) for width in widths)

    def forward(self, frame: Tensor, flow: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(B, 3, H, W) of a frame and its flow -> the mixture's and the flow's maps (B, C_i, h_i,
        w_i), finest first.
        """
        frame, flow = self.frame_stem(frame), self.flow_stem(flow)
        mixture = self.crossings[0](frame, flow)
        frame, flow, mixture = (F.max_pool2d(x, 3, 2, 1) for x in (frame, flow, mixture))
        mixtures, flows = [], []
        for i in LEVELS:
            frame, flow = self.frame_stages[i](frame), self.flow_stages[i](flow)
            mixture = self.mixture_stages[i](mixture) + self.crossings[i + 1](frame, flow)
            mixtures.append(mixture)
            flows.append(flow)
        return mixtures, flows


class CrossLevelCorrection(nn.Module):
    """Adds to a level of one stream what the other stream has here and at all coarser levels.

    Args:
        coarser: how many levels are coarser.
        product: whether the maps are multiplied; concatenated else.
    """

    def __init__(self, coarser: int, *, product: bool) -> None:
        super().__init__()
        self.product = product
        self.raises = nn.ModuleList(_conv_bn(NARROW, NARROW, 1) for _ in range(coarser))
        sources = 1 if product else 2 + coarser
        self.fuse = nn.Sequential(
            _conv_bn(sources * NARROW, NARROW, 3), _conv_bn(NARROW, NARROW, 3)
        )

    def forward(self, own: Tensor, others: list[Tensor]) -> Tensor:
        """One level, corrected.

        Args:
            own: (B, 32, h, w).
            others: the other stream's from this level to the coarsest, (B, 32, h_i, w_i).

        Returns:
            (B, 32, h, w).
        """
        same, *coarser = others
        raised = [
            _raised(x, own.shape[-2:], conv) for x, conv in zip(coarser, self.raises, strict=True)
        ]
        maps = [own, same, *raised]
        return own + (self._multiplied(maps) if self.product else self.fuse(torch.cat(maps, 1)))

    def _multiplied(self, maps: list[Tensor]) -> Tensor:
        # five maps, multiplied, may leave the range of half precision
        with torch.autocast(maps[0].device.type, enabled=False):
            exact = self.fuse[0][0].weight.dtype
            return self.fuse(reduce(mul, [x.to(exact) for x in maps]))


class BidirectionalPurification(nn.Module):
    """The mixture takes in the flow by concatenation, the flow the mixture by products."""

    def __init__(self) -> None:
        super().__init__()
        self.mixture, self.flow = (
            nn.ModuleList(
                CrossLevelCorrection(len(WIDTHS) - 1 - i, product=product) for i in LEVELS
            )
            for product in (False, True)
        )

    def forward(
        self, mixtures: list[Tensor], flows: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Levels (B, 32, h_i, w_i) of both streams, finest first -> the same; all of the new maps
        are made from the old ones.
        """
        new_mixtures = [self.mixture[i](mixtures[i], flows[i:]) for i in LEVELS]
        new_flows = [self.flow[i](flows[i], mixtures[i:]) for i in LEVELS]
        return new_mixtures, new_flows


class GridPooling(nn.Module):
    """A map beside its means over four grids (pyramid pooling: Zhao et al., CVPR 2017).

    The batch norm of the coarsest grid sees one value per item: training wants two items at least.
    """

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_conv_bn(NARROW, POOLED, 1) for _ in POOLED_GRIDS)
        self.merge = _conv_bn(NARROW + len(POOLED_GRIDS) * POOLED, NARROW, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 32, h, w) -> the same."""
        means = [
            resize(branch(F.adaptive_avg_pool2d(x, cells)), x.shape[-2:])
            for branch, cells in zip(self.branches, POOLED_GRIDS, strict=True)
        ]
        return self.merge(torch.cat([x, *means], 1))


class PoolingDecoder(nn.Module):
    """From the coarsest level to the finest, pooled at each."""

    def __init__(self) -> None:
        super().__init__()
        self.pools = nn.ModuleList(GridPooling() for _ in LEVELS)
        self.raises = nn.ModuleList(_conv_bn(NARROW, NARROW, 3) for _ in LEVELS[1:])
        self.merges = nn.ModuleList(
            nn.Sequential(_conv_bn(2 * NARROW, 2 * NARROW, 3), _conv_bn(2 * NARROW, NARROW, 1))
            for _ in LEVELS[1:]
        )
        self.readout = nn.Sequential(_conv_bn(NARROW, NARROW, 3), nn.Conv2d(NARROW, 1, 1))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Levels (B, 32, h_i, w_i), finest first -> logits (B, 1, h_0, w_0)."""
        x = self.pools[-1](maps[-1])
        for i in reversed(LEVELS[:-1]):
            raised = self.raises[i](resize(x, maps[i].shape[-2:]))
            x = self.pools[i](self.merges[i](torch.cat([maps[i], raised], 1)))
        return self.readout(x)


class FSOutput(NamedTuple):
    """Logits of people, (B, 1, h, w) at stride 4.

    Attributes:
        mixture: of frame and flow; the mask at the test.
        flow: of the flow, corrected by the mixture; for training alone.
    """

    mixture: Tensor
    flow: Tensor


class FSNet(Method):
    """The network of the authors' release, whose sides are multiples of 32; any size here.

    Behind the encoder nothing has a ReLU, as released. The authors train three times: with the
    frame in the flow's place, with the flow in the frame's, then with both, the weights of the
    flow's ResNet taken from the second training and all else from the first. In each, a batch makes
    a step of its own at 256, at 352 and at 448.
    """

    # theirs resizes the logits to the native size before the sigmoid, and leaves out a clip's last
    # frame, which has no flow
    protocol: ClassVar[NativeProtocol] = NativeProtocol(sizes=((352, 352),), flow=True)
    renames: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"^encoder\.(frame|flow)_stem\.0\.", r"resnet.conv1_\1."),
        (r"^encoder\.(frame|flow)_stem\.1\.", r"resnet.bn1_\1."),
        # our stages, levels and modules in a row count from 0, theirs from 1
        *[(rf"^encoder\.(\w+)_stages\.{i}\.", rf"resnet.layer{i + 1}_\1.") for i in LEVELS],
        (r"^(resnet\.layer\d)_mixture\.", r"\1."),
        (r"^(resnet\.\w+)_frame\.", r"\1_rgb."),
        (r"^encoder\.crossings\.(\d)\.by_frame\.", r"atten_rgb_\1."),
        (r"^encoder\.crossings\.(\d)\.by_flow\.", r"atten_flow_\1."),
        *[(rf"^reduce_mixture\.{i}\.", f"reduce_a{i + 1}.reduce.") for i in LEVELS],
        *[(rf"^reduce_flow\.{i}\.", f"reduce_m{i + 1}.reduce.") for i in LEVELS],
        *[(rf"^purifications\.{i}\.", f"bpm{i + 1}.") for i in range(PURIFICATIONS)],
        *[
            (rf"\.mixture\.{i}\.raises\.{k - i - 1}\.", f".conv{n}.conv.")
            for n, (i, k) in enumerate(FINER_COARSER, 1)
        ],
        *[
            (rf"\.flow\.{i}\.raises\.{k - i - 1}\.", f".conv{n}.conv.")
            for n, (i, k) in enumerate(FINER_COARSER, 1 + len(FINER_COARSER))
        ],
        *[(rf"\.mixture\.{i}\.fuse\.", f".conv_f{i + 1}.") for i in LEVELS],
        *[(rf"\.flow\.{i}\.fuse\.", f".conv_f{i + 1 + len(WIDTHS)}.") for i in LEVELS],
        (r"^mixture_decoder\.", "output_s."),
        (r"^flow_decoder\.", "output_e."),
        *[(rf"\.pools\.{i}\.", f".ppm{i + 1}.") for i in LEVELS],
        *[(rf"\.branches\.{i}\.", f".conv{i + 1}.") for i in range(len(POOLED_GRIDS))],
        (r"\.merge\.", ".out."),
        # these two count from the coarsest in theirs
        *[(rf"\.raises\.{i}\.", f".conv_upsample{LEVELS[-1] - i}.") for i in LEVELS[:-1]],
        *[(rf"\.merges\.{i}\.", f".conv_cat{LEVELS[-1] - i}.") for i in LEVELS[:-1]],
        # all convolutions with a batch norm, and then the last one, which has none
        (r"^((?:reduce|bpm|output).+)\.([01])\.(?=\w+$)", r"\1.conv_bn.\2."),
        (r"\.readout\.conv_bn\.1\.", ".output.1."),
        (r"\.readout\.", ".output."),
    )
    dead: ClassVar[tuple[str, ...]] = (r"^resnet\.(conv|bn)1\.", r"^RGBF_conv3\.")

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ThreeStreamEncoder()
        self.reduce_mixture = nn.ModuleList(_reduction(width) for width in WIDTHS)
        self.reduce_flow = nn.ModuleList(_reduction(width) for width in WIDTHS)
        self.purifications = nn.ModuleList(
            BidirectionalPurification() for _ in range(PURIFICATIONS)
        )
        self.mixture_decoder, self.flow_decoder = PoolingDecoder(), PoolingDecoder()
        behind = list(self.children())[1:]
        for layer in nn.ModuleList([self.encoder.crossings, *behind]).modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=SPREAD)

    def forward(self, frame: Tensor, flow: Tensor) -> FSOutput:
        """(B, 3, H, W) of a frame and its flow."""
        mixtures, flows = self.encoder(frame, flow)
        mixtures = [narrow(x) for narrow, x in zip(self.reduce_mixture, mixtures, strict=True)]
        flows = [narrow(x) for narrow, x in zip(self.reduce_flow, flows, strict=True)]
        for purify in self.purifications:
            mixtures, flows = purify(mixtures, flows)
        return FSOutput(self.mixture_decoder(mixtures), self.flow_decoder(flows))

    def probability(self, shown: Shown) -> Tensor:
        """Stretched to 0..1 in each frame, so that there is foreground even where nobody is; see
        `Method.probability`.
        """
        logits = self(shown.frame, shown.flow).mixture
        return stretched(resize(logits, shown.frame.shape[-2:]).sigmoid())

    def video_losses(
        self, shown: Shown, mask: Tensor, reference_masks: Tensor | None
    ) -> dict[str, Tensor]:
        """`mixture` and `flow`, of both decoders; there are no references."""
        output = self(shown.frame, shown.flow)
        losses = {name: enlarged_bce(one, mask) for name, one in output._asdict().items()}
        return {**losses, "total": losses["mixture"] + losses["flow"]}

    def image_losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """The same with the image in the flow's place; a training of its own, before the one on
        video.
        """
        return self.video_losses(Shown(image, flow=image), mask, None)


def stretched(probability: Tensor) -> Tensor:
    """Each item's least value to 0 and its largest to 1; (B, 1, H, W) -> the same."""
    least, largest = torch.aminmax(probability.flatten(1), dim=1, keepdim=True)
    spread = (largest - least).clamp_min(FLAT)
    return ((probability.flatten(1) - least) / spread).view_as(probability)


def enlarged_bce(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy at the mask's size and in its precision, mean over pixels.

    Args:
        logits: (B, 1, h, w).
        mask: (B, 1, H, W) in 0..1; grey counts as it is.
    """
    enlarged = resize(logits.to(mask.dtype), mask.shape[-2:])
    return F.binary_cross_entropy_with_logits(enlarged, mask)


def _raised(x: Tensor, size: tuple[int, int], conv: nn.Module) -> Tensor:
    """A coarser map at a finer one's size; without the convolution where both are alike."""
    return x if x.shape[-2:] == size else conv(resize(x, size))


def _channel_attention(channels: int) -> nn.Sequential:
    """(B, C, h, w) -> weights (B, C, 1, 1) in 0..1."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1), nn.Sigmoid())


def _stages() -> tuple[nn.Sequential, nn.ModuleList]:
    """A ResNet-50 as its stem, without the pooling, and its four stages."""
    full = ResNetBackbone("resnet50", len(WIDTHS))
    stem = nn.Sequential(full.conv1, full.bn1, full.relu)
    return stem, nn.ModuleList(getattr(full, layer) for layer in full.layers)


def _reduction(channels: int) -> nn.Sequential:
    return nn.Sequential(
        _conv_bn(channels, NARROW, 1), _conv_bn(NARROW, NARROW, 3), _conv_bn(NARROW, NARROW, 3)
    )


def _conv_bn(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return conv_bn_relu(inputs, outputs, kernel, relu=False)
