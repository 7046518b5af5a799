"""IMCNet (Xi et al., TCSVT 2022): three frames share one affinity, each is decoded by itself, and
the neighbours' features are moved onto the centre's by deformable convolutions before they are
fused.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import DeformConv2d

from pdnet.model.backbone import ResNetBackbone
from pdnet.model.blocks import resize
from pdnet.model.methods.base import Method, NativeProtocol, Shown
from pdnet.model.methods.blocks import PreActivationBlock

FRAMES = 3  # previous, centre, next
CENTRE = 1
PLANES = 64
STEPS = 4  # of the alignment
OFFSET_GROUPS = 8
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5  # pixels
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2  # SSIM's constants for values in 0..1


class JointAffinity(nn.Module):
    """One map of position to position from all frames' keys, applied to each frame by itself: no
    features cross frames here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(FRAMES * PLANES, FRAMES * PLANES, 1)
        self.right = nn.Conv2d(FRAMES * PLANES, FRAMES * PLANES, 1)

    def forward(self, keys: Tensor, features: Tensor) -> Tensor:
        """Keys (B, 3, 64, h, w), features (B, 3, C, h, w) -> attended (B, 3, C, h, w)."""
        joint = keys.flatten(1, 2)  # (B, 192, h, w)
        left, right = self.left(joint).flatten(2), self.right(joint).flatten(2)  # (B, 192, n)
        shares = (left.transpose(1, 2) @ right).softmax(1)  # (B, n, n); each column sums to 1
        attended = features.flatten(3) @ shares[:, None]  # (B, 3, C, n)
        return attended.unflatten(3, features.shape[-2:])


class DecoderLevel(nn.Module):
    """A lateral map, kept where the coarser level saw something, added to that level."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = _conv3(channels, PLANES)
        self.lateral = PreActivationBlock(PLANES)
        self.merge = PreActivationBlock(PLANES)
        self.side = nn.Sequential(PreActivationBlock(PLANES), nn.Conv2d(PLANES, 1, 1))

    def forward(self, lateral: Tensor, coarser: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """One level finer.

        Args:
            lateral: (B, C, h, w) of the encoder.
            coarser: (B, 64, h', w') of the level before.
            seen: (B, 1, h', w') in 0..1, that level's side map.

        Returns:
            (B, 64, h, w), and this level's side map (B, 1, h, w) in 0..1.
        """
        size = lateral.shape[-2:]
        own = self.lateral(self.reduce(lateral * resize(seen, size)))
        planes = self.merge(resize(coarser, size) + own)
        return planes, self.side(planes).sigmoid()


class GatedDecoder(nn.Module):
    """Decodes one frame; the three frames share its weights."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        *finer, coarsest = channels
        self.reduce = _conv3(coarsest, PLANES)
        self.top = PreActivationBlock(PLANES)
        self.levels = nn.ModuleList(DecoderLevel(width) for width in finer)

    def forward(self, maps: list[Tensor], weighted: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Strides 32 -> 4.

        Args:
            maps: the encoder's (B, C_i, h_i, w_i), finest first; the last is not looked at.
            weighted: (B, 2048, h_3, w_3), the last map times its attention.

        Returns:
            (B, 64, h_0, w_0), and the side maps in 0..1, coarsest first.
        """
        planes, sides = self.top(self.reduce(weighted)), [self.coarse(weighted)]
        for level, lateral in zip(reversed(self.levels), reversed(maps[:-1]), strict=True):
            planes, side = level(lateral, planes, sides[-1])
            sides.append(side)
        return planes, sides

    def coarse(self, weighted: Tensor) -> Tensor:
        """Mean activation (B, 1, h, w), stretched to 0..1.

        In training between the batch's extremes, as the authors do; at use between each item's, so
        that a frame's mask does not depend on what it is computed with.
        """
        axes = (0, 1, 2, 3) if self.training else (1, 2, 3)
        mean = weighted.mean(1, keepdim=True).relu()
        mean = mean - mean.amin(axes, keepdim=True)
        return (mean / (mean.amax(axes, keepdim=True) + 1e-6)).clamp(0, 1)


class AlignmentStep(nn.Module):
    """Moves a neighbour's features towards the centre's."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce = _conv3(2 * PLANES, PLANES)
        self.offsets = _conv3(PLANES, OFFSET_GROUPS * 9 * 2)
        self.move = DeformConv2d(PLANES, PLANES, 3, padding=1)

    def forward(self, centre: Tensor, neighbour: Tensor) -> Tensor:
        """Two of (B, 64, h, w) -> the neighbour's, moved."""
        offsets = self.offsets(self.reduce(torch.cat([centre, neighbour], 1)))
        # torchvision has no half precision for it on a CPU
        with torch.autocast(neighbour.device.type, enabled=False):
            exact = self.move.weight.dtype
            return self.move(neighbour.to(exact), offsets.to(exact))


class PyramidAttention(nn.Module):
    """What to trust of the fused frames, pixel by pixel and channel by channel, from two coarser
    scales.
    """

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(FRAMES * PLANES, PLANES, 1)
        self.pooled = nn.Conv2d(2 * PLANES, PLANES, 1)
        self.coarse_enter = nn.Conv2d(PLANES, PLANES, 1)
        self.coarse_pooled = _conv3(2 * PLANES, PLANES)
        self.coarse_leave = _conv3(PLANES, PLANES)
        self.middle = _conv3(PLANES, PLANES)
        self.leave = nn.Conv2d(PLANES, PLANES, 1)
        self.last = _conv3(PLANES, PLANES)
        self.shift = nn.Sequential(
            nn.Conv2d(PLANES, PLANES, 1), nn.ReLU(), nn.Conv2d(PLANES, PLANES, 1)
        )

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 192, h, w) -> factor in 0..2 and summand, both (B, 64, h, w)."""
        half = self.pooled(_two_pools(self.enter(frames).relu())).relu()
        quarter = self.coarse_pooled(_two_pools(self.coarse_enter(half).relu())).relu()
        quarter = self.coarse_leave(quarter).relu()
        half = self.middle(half).relu() + _up(quarter, half)
        whole = self.last(_up(self.leave(half).relu(), frames))
        return 2 * whole.sigmoid(), self.shift(whole)


class AlignedFusion(nn.Module):
    """Three aligned frames, each weighted by its likeness to the centre, as one map."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_centre = _conv3(PLANES, PLANES)
        self.embed = _conv3(PLANES, PLANES)
        self.mix = nn.Conv2d(FRAMES * PLANES, PLANES, 1)
        self.attention = PyramidAttention()

    def forward(self, frames: list[Tensor]) -> Tensor:
        """Three of (B, 64, h, w), in order -> (B, 64, h, w)."""
        centre = self.embed_centre(frames[CENTRE])
        likeness = [(self.embed(x) * centre).sum(1, keepdim=True).sigmoid() for x in frames]
        weighted = torch.cat([x * a for x, a in zip(frames, likeness, strict=True)], 1)
        factor, summand = self.attention(weighted)
        return self.mix(weighted).relu() * factor + summand


class IMCOutput(NamedTuple):
    """What a pass gives.

    Attributes:
        logits: (B, 1, H/4, W/4) of the centre.
        sides: per decoded frame the side maps (B, 4, 1, H, W) in 0..1, coarsest first.
    """

    logits: Tensor
    sides: list[Tensor]


class IMCNet(Method):
    """IMCNet with a ResNet-101; frames of any size (the authors' of multiples of 16)."""

    # theirs resizes an 8-bit map by nearest to the native size; their `--multi` (352, 480, 736,
    # three flips, the sigmoid before the resize) is not the default
    protocol: ClassVar[NativeProtocol] = NativeProtocol(
        sizes=((480, 480),), references="around", count=2
    )
    renames: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"^encoder\.", "feature_extractor.backbone."),
        (r"^key\.", "K_r3.Key."),
        (r"^affinity\.(left|right)\.", r"co_att_x3.\1_transform."),
        (r"^decoder\.reduce\.", "decoder.head."),
        (r"^decoder\.top\.", "decoder.l3."),
        (r"^decoder\.levels\.(\d)\.reduce\.", r"decoder.l\1_head."),
        (r"^decoder\.levels\.(\d)\.lateral\.", r"decoder.l\1."),
        (r"^decoder\.levels\.(\d)\.merge\.", r"decoder.e\1."),
        (r"^decoder\.levels\.(\d)\.side\.", r"decoder.pd\1."),
        (r"^alignment\.3\.reduce\.", "align.cr."),
        (r"^alignment\.3\.offsets\.", "align.off2d."),
        (r"^alignment\.3\.move\.", "align.dconv."),
        (r"^alignment\.(\d)\.reduce\.", r"align.cr\1."),
        (r"^alignment\.(\d)\.offsets\.", r"align.off2d_\1."),
        (r"^alignment\.(\d)\.move\.", r"align.dconv_\1."),
        (r"^fusion\.embed_centre\.", "fusion.temporal_attn1."),
        (r"^fusion\.embed\.", "fusion.temporal_attn2."),
        (r"^fusion\.mix\.", "fusion.feat_fusion."),
        (r"\.attention\.enter\.", ".spatial_attn1."),
        (r"\.attention\.pooled\.", ".spatial_attn2."),
        (r"\.attention\.middle\.", ".spatial_attn3."),
        (r"\.attention\.leave\.", ".spatial_attn4."),
        (r"\.attention\.last\.", ".spatial_attn5."),
        (r"\.attention\.coarse_enter\.", ".spatial_attn_l1."),
        (r"\.attention\.coarse_pooled\.", ".spatial_attn_l2."),
        (r"\.attention\.coarse_leave\.", ".spatial_attn_l3."),
        (r"\.attention\.shift\.0\.", ".spatial_attn_add1."),
        (r"\.attention\.shift\.2\.", ".spatial_attn_add2."),
        (r"^head\.0\.", "segmentation.reslayer."),
        (r"^head\.1\.", "segmentation.predlayer."),
    )

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ResNetBackbone("resnet101", 4)
        self.key = _conv3(self.encoder.channels[-1], PLANES)
        self.affinity = JointAffinity()
        self.decoder = GatedDecoder(self.encoder.channels)
        self.alignment = nn.ModuleList(AlignmentStep() for _ in range(STEPS))
        self.fusion = AlignedFusion()
        self.head = nn.Sequential(PreActivationBlock(PLANES), nn.Conv2d(PLANES, 1, 1))

    def forward(self, frames: Tensor) -> IMCOutput:
        """(B, 3, 3, H, W): previous, centre and next frame."""
        # each (B, 3, C_i, h_i, w_i)
        maps = [x.unflatten(0, frames.shape[:2]) for x in self.encoder(frames.flatten(0, 1))]
        keys = self.key(maps[-1].flatten(0, 1)).unflatten(0, frames.shape[:2])
        attended = self.affinity(keys, maps[-1])
        weighted = maps[-1] * attended * attended.mean((3, 4), keepdim=True)
        planes, sides = [], []
        for i in range(FRAMES):
            decoded, found = self.decoder([x[:, i] for x in maps], weighted[:, i])
            planes.append(decoded)
            sides.append(_stacked(found, frames.shape[-2:]))
        aligned = [planes[CENTRE] if i == CENTRE else self.align(planes, i) for i in range(FRAMES)]
        return IMCOutput(self.head(self.fusion(aligned)), sides)

    def align(self, planes: list[Tensor], which: int) -> Tensor:
        """A neighbour's (B, 64, h, w), moved onto the centre's step by step."""
        moved = planes[which]
        for step in self.alignment:
            moved = step(planes[CENTRE], moved)
        return moved

    def single(self, image: Tensor) -> IMCOutput:
        """(B, 3, H, W) alone: attention one everywhere, nothing to align or fuse."""
        maps = self.encoder(image)
        planes, sides = self.decoder(maps, maps[-1])
        return IMCOutput(self.head(planes), [_stacked(sides, image.shape[-2:])])

    def probability(self, shown: Shown) -> Tensor:
        """Sigmoid of the enlarged logits, where training enlarges the sigmoid; see
        `Method.probability`.
        """
        logits = self(_in_order(shown.frame, shown.references)).logits
        return resize(logits, shown.frame.shape[-2:]).sigmoid()

    def video_losses(
        self, shown: Shown, mask: Tensor, reference_masks: Tensor | None
    ) -> dict[str, Tensor]:
        """`mask` of the centre, `sides` of the four maps of all three frames, their mean."""
        output = self(_in_order(shown.frame, shown.references))
        masks = _in_order(mask, reference_masks)
        return _losses(output, mask, [masks[:, i] for i in range(FRAMES)])

    def image_losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """The same of an image alone; the authors' three copies of it have equal side maps."""
        return _losses(self.single(image), mask, [mask])


def fraction_weighted_bce(probability: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy, positives weighted by their fraction of the batch and negatives by
    theirs, mean over pixels. It favours what is frequent; so it is released.

    Args:
        probability, mask: (B, 1, H, W) in 0..1.
    """
    positive = (mask >= 0.5).to(probability.dtype).mean()
    weight = torch.where(mask >= 0.5, positive, 1 - positive)
    return F.binary_cross_entropy(probability, mask, weight)


def soft_iou(probability: Tensor, mask: Tensor) -> Tensor:
    """1 - intersection over union of soft masks (B, 1, H, W), mean over items."""
    both = (probability * mask).sum((1, 2, 3))
    either = (probability + mask).sum((1, 2, 3)) - both
    # an empty mask and a map of zeros cost 1 and not NaN
    return (1 - both / either.clamp_min(1e-6)).mean()


def ssim_loss(probability: Tensor, mask: Tensor) -> Tensor:
    """1 - structural similarity (Wang et al., 2004) of (B, 1, H, W), zeros around, mean over
    positions.
    """
    offsets = torch.arange(SSIM_WINDOW, device=mask.device, dtype=probability.dtype)
    bell = torch.exp(-((offsets - SSIM_WINDOW // 2) ** 2) / (2 * SSIM_SIGMA**2))
    bell = bell / bell.sum()
    window = (bell[:, None] * bell)[None, None]  # (1, 1, 11, 11)

    def smoothed(x: Tensor) -> Tensor:
        return F.conv2d(x, window, padding=SSIM_WINDOW // 2)

    mean_p, mean_m = smoothed(probability), smoothed(mask)
    variance_p = smoothed(probability**2) - mean_p**2
    variance_m = smoothed(mask**2) - mean_m**2
    covariance = smoothed(probability * mask) - mean_p * mean_m
    likeness = (2 * mean_p * mean_m + SSIM_C1) * (2 * covariance + SSIM_C2)
    scale = (mean_p**2 + mean_m**2 + SSIM_C1) * (variance_p + variance_m + SSIM_C2)
    return 1 - (likeness / scale).mean()


def map_loss(probability: Tensor, mask: Tensor) -> Tensor:
    """The three losses of one map (B, 1, H, W) in 0..1, summed; in the mask's precision."""
    # torch refuses the cross-entropy of probabilities in mixed precision
    with torch.autocast(mask.device.type, enabled=False):
        probability = probability.to(mask.dtype)
        terms = (fraction_weighted_bce, soft_iou, ssim_loss)
        return sum(term(probability, mask) for term in terms)


def _losses(output: IMCOutput, mask: Tensor, masks: list[Tensor]) -> dict[str, Tensor]:
    """Of the centre's map and of the side maps; `masks` of the decoded frames."""
    final = map_loss(resize(output.logits.sigmoid(), mask.shape[-2:]), mask)
    sides = [_side_loss(maps, own) for maps, own in zip(output.sides, masks, strict=True)]
    side = torch.stack(sides).mean()
    return {"mask": final, "sides": side, "total": final + side}


def _side_loss(maps: Tensor, mask: Tensor) -> Tensor:
    """Mean over a frame's four maps (B, 4, 1, H, W)."""
    return torch.stack([map_loss(one, mask) for one in maps.unbind(1)]).mean()


def _in_order(centre: Tensor, neighbours: Tensor) -> Tensor:
    """(B, C, H, W) between the two of (B, 2, C, H, W) -> (B, 3, C, H, W)."""
    return torch.stack([neighbours[:, 0], centre, neighbours[:, 1]], 1)


def _stacked(sides: list[Tensor], size: tuple[int, int]) -> Tensor:
    return torch.stack([resize(side, size) for side in sides], 1)


def _two_pools(x: Tensor) -> Tensor:
    """Largest and mean value of 3x3 at half the size, (B, 2C, ., .); the mean counts the zeros
    around.
    """
    largest, mean = F.max_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1)
    return torch.cat([largest, mean], 1)


def _up(x: Tensor, like: Tensor) -> Tensor:
    return resize(x, like.shape[-2:])


def _conv3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
