"""HFAN (Pei et al., ECCV 2022), its medium size: one MiT-B2 for the frame and for its flow's
colours; at four levels both are aligned to objects found in the frame and mixed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pdnet.model.blocks import conv_bn_relu
from pdnet.model.methods.base import Method, NativeProtocol, Shown

WIDTHS = (64, 128, 320, 512)  # channels at strides 4, 8, 16, 32
MIDDLE = 16  # inner channels of attention and weighting, the same at every level
EMBEDDING = 768  # channels of each level in the head
IGNORED = 255  # label of pixels that cost nothing


class ObjectVectors(nn.Module):
    """A frame's features, averaged over each of two regions that nobody teaches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.regions = nn.Sequential(nn.Conv2d(channels, 2, 1), nn.ReLU())

    def forward(self, frame: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, 2, 1)."""
        shares = self.regions(frame).flatten(2).softmax(2)  # (B, 2, n)
        return (frame.flatten(2) @ shares.transpose(1, 2)).unsqueeze(3)


class ObjectAlignment(nn.Module):
    """Pixels gather from the frame's two object vectors, as each pixel resembles them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = _two_projections(channels)
        self.key = _two_projections(channels)
        self.value = conv_bn_relu(channels, MIDDLE, 1)
        self.out = conv_bn_relu(MIDDLE, channels, 1)
        self.merge = conv_bn_relu(2 * channels, channels, 1)

    def forward(self, features: Tensor, objects: Tensor) -> Tensor:
        """(B, C, h, w) of frame or flow, objects (B, C, 2, 1) -> (B, C, h, w)."""
        queries = self.query(features).flatten(2).transpose(1, 2)  # (B, n, 16)
        keys = self.key(objects).flatten(2)  # (B, 16, 2)
        values = self.value(objects).flatten(2).transpose(1, 2)  # (B, 2, 16)
        shares = (MIDDLE**-0.5 * queries @ keys).softmax(2)
        gathered = (shares @ values).transpose(1, 2).unflatten(2, features.shape[-2:])
        return self.merge(torch.cat([self.out(gathered), features], 1))


class AlignedMixture(nn.Module):
    """One level: frame and flow, each aligned to the frame's objects, mixed by learned weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.objects = ObjectVectors(channels)
        self.align = ObjectAlignment(channels)
        self.local = _weighting(channels)
        self.overall = _weighting(channels)

    def forward(self, frame: Tensor, flow: Tensor) -> Tensor:
        """(B, C, h, w) of the frame and of the flow -> (B, C, h, w)."""
        objects = self.objects(frame)
        frame, flow = self.align(frame, objects), self.align(flow, objects)
        both = frame + flow
        weight = (self.local(both) + self.overall(both.mean((2, 3), keepdim=True))).sigmoid()
        return 2 * frame * weight + 2 * flow * (1 - weight)


class AllLevelsHead(nn.Module):
    """Each level by a linear map, all of them at stride 4, one convolution over them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.ModuleList(nn.Linear(width, EMBEDDING) for width in WIDTHS)
        self.fuse = conv_bn_relu(len(WIDTHS) * EMBEDDING, EMBEDDING, 1)
        self.dropout = nn.Dropout2d(0.1)  # whole channels, as in mmsegmentation's heads
        self.classify = nn.Conv2d(EMBEDDING, 2, 1)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Maps (B, C_i, h_i, w_i), finest first -> logits (B, 2, h_1, w_1)."""
        size = levels[0].shape[-2:]
        embedded = []
        for embed, level in zip(self.embed, levels, strict=True):
            tokens = embed(level.flatten(2).transpose(1, 2))  # (B, n, 768)
            grid = tokens.transpose(1, 2).unflatten(2, level.shape[-2:])
            embedded.append(_enlarged(grid, size))
        # coarsest first, the authors' order
        return self.classify(self.dropout(self.fuse(torch.cat(embedded[::-1], 1))))


class HFAN(Method):
    """HFAN-M. Frames and flow of any size; windows at the test.

    The batch norms of a level's mean see one value per item: training wants two items at least.
    """

    # Theirs makes both sides a multiple of 32 after the resize (854x480: 928x512) and averages
    # logits, which it then resizes to the native size before softmax.
    protocol: ClassVar[NativeProtocol] = NativeProtocol(
        sizes=((512, 512),), flow=True, window_stride=271
    )
    renames: ClassVar[tuple[tuple[str, str], ...]] = (
        # our stages and levels count from 0, theirs from 1
        (r"^encoder\.patch_embed\.", "backbone.backbone.patch_embed1."),
        *[
            (rf"^encoder\.stages\.{i}\.downsample\.", f"backbone.backbone.patch_embed{i + 1}.")
            for i in range(1, 4)
        ],
        *[
            (rf"^encoder\.stages\.{i}\.blocks\.", f"backbone.backbone.block{i + 1}.")
            for i in range(4)
        ],
        *[(rf"^encoder\.stages\.{i}\.norm\.", f"backbone.backbone.norm{i + 1}.") for i in range(4)],
        (r"\.mlp\.dwconv\.", ".mlp.dwconv.dwconv."),
        *[(rf"^levels\.{i}\.", f"decode_head.hfan{i + 1}.") for i in range(4)],
        *[(rf"^head\.embed\.{i}\.", f"decode_head.linear_c{i + 1}.proj.") for i in range(4)],
        (r"^head\.classify\.", "decode_head.linear_pred."),
        (r"^head\.fuse\.", "decode_head.linear_fuse."),
        (r"\.objects\.regions\.0\.", ".object_pred.conv."),
        (r"\.align\.(query|key)\.(\d)\.", r".poc.\1_project.\2."),
        (r"\.align\.(value|out)\.", r".poc.\1_project."),
        (r"\.align\.merge\.", ".poc.bottleneck."),
        (r"((?:_project|_project\.\d|bottleneck|linear_fuse)\.)0\.(?=\w+$)", r"\1conv."),
        (r"((?:_project|_project\.\d|bottleneck|linear_fuse)\.)1\.(?=\w+$)", r"\1bn."),
        (r"\.local\.0\.", ".ca_layers.0.conv."),
        (r"\.local\.2\.", ".ca_layers.1."),
        (r"\.local\.4\.", ".ca_layers.3.conv."),
        (r"\.local\.6\.", ".ca_layers.4."),
        (r"\.overall\.0\.", ".pa_layers.1.conv."),
        (r"\.overall\.2\.", ".pa_layers.2."),
        (r"\.overall\.4\.", ".pa_layers.4.conv."),
        (r"\.overall\.6\.", ".pa_layers.5."),
    )
    dead: ClassVar[tuple[str, ...]] = (r"^decode_head\.conv_seg\.",)

    def __init__(self) -> None:
        super().__init__()
        # timm's PVT v2 of these sizes is MiT-B2: layer norms of 1e-6 in blocks and stage ends, of
        # 1e-5 in patch embeddings and reductions
        self.encoder = timm.create_model(
            "pvt_v2_b2",
            embed_dims=WIDTHS,
            depths=(3, 4, 6, 3),
            num_heads=(1, 2, 5, 8),
            mlp_ratios=(4, 4, 4, 4),
            drop_path_rate=0.1,
            num_classes=0,
        )
        self.levels = nn.ModuleList(AlignedMixture(width) for width in WIDTHS)
        self.head = AllLevelsHead()

    def forward(self, frame: Tensor, flow: Tensor) -> Tensor:
        """(B, 3, H, W) of a frame and its flow -> logits (B, 2, H/4, W/4), background first."""
        maps = self.encoder.forward_intermediates(torch.cat([frame, flow]), intermediates_only=True)
        halves = [both.chunk(2) for both in maps]
        return self.head([mix(*half) for mix, half in zip(self.levels, halves, strict=True)])

    def probability(self, shown: Shown) -> Tensor:
        """Softmax of logits that are averaged where windows overlap; see `Method.probability`."""

        def segment(pixels: Tensor) -> Tensor:
            return _enlarged(self(*pixels.chunk(2, 1)), pixels.shape[-2:])

        logits = slid(
            segment,
            torch.cat([shown.frame, shown.flow], 1),
            window=self.protocol.sizes[0],
            stride=self.protocol.window_stride,
        )
        return logits.softmax(1)[:, 1:]

    def video_losses(
        self, shown: Shown, mask: Tensor, reference_masks: Tensor | None
    ) -> dict[str, Tensor]:
        """Cross-entropy of two classes; there are no references."""
        labels = (mask[:, 0] >= 0.5).long()
        return {"total": pixel_cross_entropy(self(shown.frame, shown.flow), labels)}


def pixel_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy at the labels' size, mean over all pixels: ignored ones count as 0.

    Args:
        logits: (B, classes, h, w).
        labels: (B, H, W) integers, `IGNORED` for none.
    """
    logits = _enlarged(logits.float(), labels.shape[-2:])
    summed = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    return summed / labels.numel()


def slid(
    segment: Callable[[Tensor], Tensor], image: Tensor, *, window: tuple[int, int], stride: int
) -> Tensor:
    """Mean of what overlapping windows of an image give.

    Args:
        segment: (B, C, h, w) -> (B, K, h, w).
        image: (B, C, H, W); a side shorter than the window's is taken whole.
        window: (height, width) in pixels.
        stride: from one window to the next, in pixels; 0: the whole image at once.

    Returns:
        (B, K, H, W).
    """
    if not stride:
        return segment(image)
    height, width = image.shape[-2:]
    total, count = 0, image.new_zeros(height, width)
    for top in window_starts(height, window[0], stride):
        for left in window_starts(width, window[1], stride):
            rows = slice(top, min(top + window[0], height))
            columns = slice(left, min(left + window[1], width))
            found = segment(image[..., rows, columns])
            around = (left, width - columns.stop, top, height - rows.stop)
            total = total + F.pad(found, around)
            count[rows, columns] += 1
    return total / count


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """First pixels of the windows along a side; the last window ends at the border."""
    steps = -(-max(length - window, 0) // stride)
    return [min(i * stride, max(length - window, 0)) for i in range(steps + 1)]


def _two_projections(channels: int) -> nn.Sequential:
    return nn.Sequential(conv_bn_relu(channels, MIDDLE, 1), conv_bn_relu(MIDDLE, MIDDLE, 1))


def _weighting(channels: int) -> nn.Sequential:
    """The convolutions have ReLUs of their own in front of the batch norms, as released."""
    return nn.Sequential(
        nn.Conv2d(channels, MIDDLE, 1),
        nn.ReLU(),
        nn.BatchNorm2d(MIDDLE),
        nn.ReLU(),
        nn.Conv2d(MIDDLE, channels, 1),
        nn.ReLU(),
        nn.BatchNorm2d(channels),
    )


def _enlarged(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
