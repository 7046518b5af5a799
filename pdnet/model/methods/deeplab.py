"""What COSNet and its followers share: the encoder, a DeepLabv3 on ResNet-101 at stride 8, its
single-image head, what gathers features where they agree, and the losses on probabilities.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pdnet.model.backbone import ResNetBackbone

STAGES = 4
STAGE_CHANNELS, BRANCH_CHANNELS, CHANNELS = 2048, 512, 256
DILATIONS = (6, 12, 18)  # of the pyramid's 3x3 convolutions
L1_WEIGHT = 0.8
IMAGE_WEIGHT = 0.1  # of the single-image head's loss


class DeepLabEncoder(nn.Module):
    """Image -> features at stride 8 and the logits of who is seen in this image alone.

    The ResNet is Caffe's: its stem pools with ceil mode, its blocks stride in their first 1x1, and
    its last two stages keep their size and dilate in every block, the first one too. The batch norm
    of the pyramid's mean sees one value per item: training wants two items at least.

    Args:
        refine: what the pyramid's features pass through before anyone reads them, if anything:
            (B, 256, h, w) -> the same.
    """

    # our entries -> the authors'
    renames = (
        (r"^encoder\.backbone\.", "encoder."),
        (r"^encoder\.pyramid\.pooled\.0", "encoder.layer5.conv"),
        (r"^encoder\.pyramid\.pooled\.1", "encoder.layer5.bn_x"),
        (r"^encoder\.pyramid\.branches\.(\d)\.0", r"encoder.layer5.conv2d_\1"),
        (r"^encoder\.pyramid\.branches\.(\d)\.1", r"encoder.layer5.bn_\1"),
        (r"^encoder\.pyramid\.merge\.0", "encoder.layer5.bottleneck"),
        (r"^encoder\.pyramid\.merge\.1", "encoder.layer5.bn"),
        (r"^encoder\.pyramid\.merge\.2", "encoder.layer5.prelu"),
        (r"^encoder\.classifier", "encoder.main_classifier"),
    )

    def __init__(self, refine: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = _dilated(ResNetBackbone("resnet101", STAGES))
        self.pyramid = Pyramid()
        self.refine = nn.Identity() if refine is None else refine
        self.classifier = nn.Conv2d(CHANNELS, 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> features (B, 256, h, w) and single-image logits (B, 1, h, w); h, w about
        an eighth of H, W.
        """
        return self.read(self.backbone(image)[-1])

    def read(self, last_stage: Tensor) -> tuple[Tensor, Tensor]:
        """The backbone's last map (B, 2048, h, w) -> what `forward` gives."""
        features = self.refine(self.pyramid(last_stage))
        return features, self.classifier(features)


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: one mean, one 1x1, three dilated 3x3, merged by a 3x3."""

    def __init__(self) -> None:
        super().__init__()
        self.pooled = _branch(1, 1)
        sides = [(1, 1), *((3, dilation) for dilation in DILATIONS)]
        self.branches = nn.ModuleList(_branch(kernel, dilation) for kernel, dilation in sides)
        self.merge = nn.Sequential(
            nn.Conv2d((1 + len(sides)) * BRANCH_CHANNELS, CHANNELS, 3, padding=1),
            nn.BatchNorm2d(CHANNELS),
            nn.PReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2048, h, w) -> (B, 256, h, w)."""
        pooled = self.pooled(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        return self.merge(torch.cat([pooled, *(branch(x) for branch in self.branches)], 1))


def _branch(kernel: int, dilation: int) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(STAGE_CHANNELS, BRANCH_CHANNELS, kernel, padding=padding, dilation=dilation),
        nn.BatchNorm2d(BRANCH_CHANNELS),
        nn.ReLU(inplace=True),
    )


def _dilated(backbone: ResNetBackbone) -> ResNetBackbone:
    """torchvision's ResNet of stride 32 -> Caffe's of stride 8, with the same entries."""
    backbone.maxpool.ceil_mode = True
    first = backbone.layer2[0]
    first.conv1.stride, first.conv2.stride = (2, 2), (1, 1)
    for stage, dilation in ((backbone.layer3, 2), (backbone.layer4, 4)):
        stage[0].downsample[0].stride = (1, 1)
        for block in stage:
            block.conv2.stride = (1, 1)
            block.conv2.dilation = block.conv2.padding = (dilation, dilation)
    return backbone


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Values gathered at each query: their mean, weighted by the softmax of the query's products
    with the keys.

    Args:
        queries: (B, D, h, w).
        keys, values: (B, D, h', w') and (B, C, h', w').

    Returns:
        (B, C, h, w).
    """
    weights = (queries.flatten(2).transpose(1, 2) @ keys.flatten(2)).softmax(2)  # (B, n, n')
    return (values.flatten(2) @ weights.transpose(1, 2)).unflatten(2, queries.shape[-2:])


def pair_readout() -> nn.Sequential:
    """Two maps of 256 channels, concatenated -> logits (B, 1, h, w)."""
    return nn.Sequential(
        nn.Conv2d(2 * CHANNELS, CHANNELS, 3, padding=1, bias=False),
        nn.BatchNorm2d(CHANNELS),
        nn.ReLU(),
        nn.Conv2d(CHANNELS, 1, 1),
    )


def enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear without aligned corners, as these networks enlarge their logits."""
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def frame_loss(probability: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy times all pixels over those of people, plus 0.8 of the mean absolute error.

    Args:
        probability, mask: (B, 1, H, W) in 0..1; one pixel of the whole batch counts as a person's
            where none does, so that the factor stays finite (the authors' does not).
    """
    people = mask.sum().clamp_min(1)
    # torch refuses cross-entropy of probabilities in half precision
    with torch.autocast(probability.device.type, enabled=False):
        entropy = F.binary_cross_entropy(probability.float(), mask.float())
    return mask.numel() / people * entropy + L1_WEIGHT * F.l1_loss(probability, mask)


def alone_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """The loss of the single-image head on single images.

    Args:
        logits: (B, 1, h, w) of the encoder.
        mask: (B, 1, H, W) in 0..1.
    """
    return IMAGE_WEIGHT * frame_loss(enlarged(logits, mask.shape[-2:]).sigmoid(), mask)
