"""F2Net (Liu et al., AAAI 2021): a clip's first frame and the current one attend to the current
one; a second branch looks for the centre of who is seen.
"""

from __future__ import annotations

from math import log
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pdnet.model.blocks import conv_bn_relu
from pdnet.model.methods.base import Method, NativeProtocol, Shown
from pdnet.model.methods.deeplab import (
    CHANNELS,
    STAGE_CHANNELS,
    DeepLabEncoder,
    alone_loss,
    attend,
    enlarged,
    frame_loss,
)

SOURCES = 3  # gathered for the reference, gathered for the frame, the frame itself
SQUEEZED = 16
STAGES = (STAGE_CHANNELS, 1024, 512, 256)  # channels, the last stage first
CENTRE_CHANNELS = 64
RARE = 0.1  # share of centres that an untrained heat map expects, as CornerNet has it
OVERLAP = 0.7  # least intersection over union of a box whose corners lie a radius off


class Anchored(NamedTuple):
    """What F2Net sees in a frame.

    Attributes:
        mask: probability with the reference in view, (B, 1, H, W) in 0..1.
        alone: the same of the encoder's own head.
        heat: logits of the centre, (B, 1, h, w) at stride 4.
    """

    mask: Tensor
    alone: Tensor
    heat: Tensor


class SourceFusion(nn.Module):
    """A mean of sources with weights of its own for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.shares = nn.Sequential(
            nn.Conv2d(CHANNELS, SQUEEZED, 1, bias=False),
            nn.BatchNorm2d(SQUEEZED),
            nn.ReLU(),
            nn.Conv2d(SQUEEZED, SOURCES * CHANNELS, 1, bias=False),
        )

    def forward(self, sources: Tensor) -> Tensor:
        """(B, 3, 256, h, w) -> (B, 256, h, w)."""
        logits = self.shares(sources.sum(1).mean((2, 3), keepdim=True))
        weights = logits.unflatten(1, (SOURCES, CHANNELS)).softmax(1)  # (B, 3, 256, 1, 1)
        return (sources * weights).sum(1)


class CentreFeatures(nn.Module):
    """The four stages, merged from the last one down to stride 4."""

    def __init__(self) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(conv_bn_relu(one, CHANNELS, 1, relu=False) for one in STAGES)
        self.aboves = nn.ModuleList(
            conv_bn_relu(CHANNELS, CHANNELS, 1, relu=False) for _ in STAGES[1:]
        )
        self.narrow = conv_bn_relu(CHANNELS, CENTRE_CHANNELS, 1)

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Maps of the backbone, the first stage first -> (B, 64, h, w) at stride 4."""
        last, *rest = stages[::-1]
        x = self.laterals[0](last).relu()
        for lateral, above, stage in zip(self.laterals[1:], self.aboves, rest, strict=True):
            x = (lateral(stage) + above(enlarged(x, stage.shape[-2:]))).relu()
        return self.narrow(x)


class CentreHead(nn.Module):
    """Where the centre is: what the frame says, and where it was before, as far as that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Sequential(
            nn.Conv2d(CENTRE_CHANNELS, CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, 1, 1),
        )
        nn.init.constant_(self.seen[2].bias, log(RARE / (1 - RARE)))
        self.trust = nn.Conv2d(CENTRE_CHANNELS + 1, 1, 1)
        self.offset = nn.Conv2d(CENTRE_CHANNELS + 1, 1, 1)

    def forward(self, features: Tensor, before: Tensor) -> Tensor:
        """(B, 64, h, w) and the previous centre's Gaussian (B, 1, h, w) in 0..1 -> logits."""
        both = torch.cat([features, before], 1)
        remembered = self.trust(both).sigmoid() * before + self.offset(both).sigmoid()
        return remembered + self.seen(features)


class F2Net(Method):
    """The network of the authors' release; 473x473 in their tests, any size of 32 or more here,
    where their centre branch has sizes of its own written into it.

    As released, the mask does not depend on the centre: their test makes two passes a frame, the
    second with the centre that the first has found, and both give the same mask. So one pass is
    made here, without the centre branch, which is trained all the same: it shares the encoder.
    Their test also shows the network the previous frame's annotation; ours shows it none.
    """

    protocol: ClassVar[NativeProtocol] = NativeProtocol(
        sizes=((473, 473),), colours="caffe", references="first", count=1
    )
    renames: ClassVar[tuple[tuple[str, str], ...]] = (
        *DeepLabEncoder.renames,
        *[(rf"^centre\.laterals\.{i}\.0\.", f"upsample.up{i + 1}.u_skip.") for i in range(4)],
        *[(rf"^centre\.laterals\.{i}\.1\.", f"upsample.up{i + 1}.bn1.") for i in range(4)],
        *[(rf"^centre\.aboves\.{i}\.0\.", f"upsample.up{i + 2}.up_conv.") for i in range(3)],
        *[(rf"^centre\.aboves\.{i}\.1\.", f"upsample.up{i + 2}.bn2.") for i in range(3)],
        (r"^centre\.narrow\.0\.", "upsample.up4.cross_conv."),
        (r"^centre\.narrow\.1\.", "upsample.up4.bn5."),
        (r"^heat\.seen\.", "fc."),
        (r"^heat\.trust\.", "motion_conv_w."),
        (r"^heat\.offset\.", "motion_conv_b."),
        (r"^fusion\.shares\.0\.", "channel_attention_conv1."),
        (r"^fusion\.shares\.1\.", "channel_attention_bn."),
        (r"^fusion\.shares\.3\.", "channel_attention_conv2."),
        (r"^readout\.", "cls."),
    )
    dead: ClassVar[tuple[str, ...]] = (r"^spatial_attention_conv\.",)

    def __init__(self) -> None:
        super().__init__()
        self.encoder = DeepLabEncoder()
        self.fusion = SourceFusion()
        self.readout = nn.Sequential(
            nn.Conv2d(CHANNELS, CHANNELS, 1),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, 1, 1),
        )
        self.centre = CentreFeatures()
        self.heat = CentreHead()

    def forward(self, frame: Tensor, reference: Tensor, before: Tensor | None = None) -> Anchored:
        """What is seen in a frame.

        Args:
            frame, reference: (B, 3, H, W).
            before: Gaussian of the centre in the previous frame, (B, 1, h, w) in 0..1, of the size
                that `heat_size` says; none where it is not known.
        """
        size = frame.shape[-2:]
        anchor, _ = self.encoder(reference)
        stages = self.encoder.backbone(frame)
        features, alone = self.encoder.read(stages[-1])
        return Anchored(
            mask=enlarged(self._attended(features, anchor), size).sigmoid(),
            alone=enlarged(alone, size).sigmoid(),
            heat=self._heat(stages, before),
        )

    def _attended(self, features: Tensor, anchor: Tensor) -> Tensor:
        """Features of frame and reference, (B, 256, h, w) -> logits (B, 1, h, w)."""
        scaled = features * CHANNELS**-0.5
        # the first lies on the reference's grid and is added to the others as if on the frame's
        sources = [attend(anchor, scaled, features), attend(features, scaled, features), features]
        return self.readout(self.fusion(torch.stack(sources, 1)))

    def _heat(self, stages: list[Tensor], before: Tensor | None) -> Tensor:
        features = self.centre(stages)
        if before is None:
            before = torch.zeros_like(features[:, :1])
        return self.heat(features, before)

    def probability(self, shown: Shown) -> Tensor:
        """With the first reference; see `Method.probability`."""
        features, _ = self.encoder(shown.frame)
        anchor, _ = self.encoder(shown.references[:, 0])
        return enlarged(self._attended(features, anchor), shown.frame.shape[-2:]).sigmoid()

    def video_losses(
        self, shown: Shown, mask: Tensor, reference_masks: Tensor | None
    ) -> dict[str, Tensor]:
        """Mask and centre; see `Method.video_losses`. The centre before is that of the last
        reference, where the authors have the previous frame's.
        """
        size = heat_size(mask.shape[-2:])
        before = centre_map(reference_masks[:, -1], size)
        seen = self(shown.frame, shown.references[:, 0], before)
        losses = {
            "frame": frame_loss(seen.mask, mask),
            "centre": centre_loss(seen.heat, centre_map(mask, size)),
        }
        return {**losses, "total": losses["frame"] + losses["centre"]}

    def image_losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """The encoder's own head and the centre, with none before; see `Method.image_losses`."""
        stages = self.encoder.backbone(image)
        heat = self._heat(stages, None)
        losses = {
            "alone": alone_loss(self.encoder.read(stages[-1])[1], mask),
            "centre": centre_loss(heat, centre_map(mask, heat.shape[-2:])),
        }
        return {**losses, "total": losses["alone"] + losses["centre"]}


def heat_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of an image -> of its heat map; pooling with ceil mode rounds up."""
    height, width = ((side + 1) // 2 // 2 + 1 for side in size)
    return height, width


def centre_loss(heat: Tensor, wanted: Tensor) -> Tensor:
    """CornerNet's focal loss, summed over all pixels and divided by the number of centres.

    Args:
        heat: logits (B, 1, h, w).
        wanted: (B, 1, h, w) in 0..1, exactly 1 at a centre; where there is none, the sum itself.
    """
    probability = heat.float().sigmoid().clamp(1e-4, 1 - 1e-4)
    centre = wanted == 1
    hit = probability.log() * (1 - probability) ** 2
    false = (1 - probability).log() * probability**2 * (1 - wanted.float()) ** 4
    return -torch.where(centre, hit, false).sum() / centre.sum().clamp_min(1)


def centre_map(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A Gaussian around the middle of each mask's bounding box.

    Args:
        mask: (B, 1, H, W); 0.5 or more is a person. An empty one has its peak in the corner.
        size: (height, width) of the map.

    Returns:
        (B, 1, height, width) in 0..1.
    """
    small = F.interpolate(mask, size=size, mode="nearest")[:, 0] >= 0.5
    top, bottom = _ends(small.any(2))
    left, right = _ends(small.any(1))
    return drawn_peaks(
        row=(top + bottom) // 2,
        column=(left + right) // 2,
        radius=peak_radius(bottom - top, right - left).floor(),
        size=size,
    )


def peak_radius(height: Tensor, width: Tensor) -> Tensor:
    """How far, in pixels, a box of this size may have its corners off at an overlap of `OVERLAP`.

    CornerNet's rule as its release has it, which halves a quadratic's root where it should divide
    by twice its first factor; of its three cases the smallest counts, which is always this one.
    """
    around = OVERLAP * (height + width)
    return (around**2 + 4 * OVERLAP * (1 - OVERLAP) * height * width).sqrt() - around


def drawn_peaks(*, row: Tensor, column: Tensor, radius: Tensor, size: tuple[int, int]) -> Tensor:
    """Gaussians, one a map, 0 beyond the square of their radius.

    Args:
        row, column, radius: (B,), whole numbers of pixels; a diameter is six deviations.
        size: (height, width) of the maps.

    Returns:
        (B, 1, height, width) in 0..1.
    """
    height, width = size
    rows = torch.arange(height, device=row.device) - row[:, None]  # (B, h)
    columns = torch.arange(width, device=row.device) - column[:, None]
    deviation = ((2 * radius + 1) / 6)[:, None]
    along = [
        (-((offset / deviation) ** 2) / 2).exp() * (offset.abs() <= radius[:, None])
        for offset in (rows, columns)
    ]
    return (along[0][:, :, None] * along[1][:, None])[:, None]


def _ends(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """First and last place of each row that is true, 0 and 0 where none is; (B, n) -> (B,)."""
    places = torch.arange(occupied.shape[1], device=occupied.device)
    return occupied.int().argmax(1), (occupied * places).amax(1)
