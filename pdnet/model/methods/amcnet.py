"""AMC-Net (Yang et al., ICCV 2021): frame and flow each have a ResNet-101; at five levels learned
scalars say how much either counts, and the decoder keeps of the frame what the flow points at.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pdnet.model.backbone import ResNetBackbone
from pdnet.model.blocks import resize
from pdnet.model.methods.base import Method, NativeProtocol, Shown
from pdnet.model.methods.deeplab import attend

# per level, strides 2, 4, 8, 16, 32
WIDTHS = (64, 256, 512, 1024, 2048)  # channels of the encoders
GATE_WIDTHS = ((32,), (64,), (128,), (256, 64), (512, 128))  # inside the gates
DECODED_WIDTHS = (32, 64, 128, 256, 512)  # channels of the decoder
SQUEEZE = 16  # of the channels in the channel attention


class CBAM(nn.Module):
    """Channel attention, then spatial attention (Woo et al., ECCV 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel = nn.Sequential(
            nn.Conv2d(channels, channels // SQUEEZE, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // SQUEEZE, channels, 1, bias=False),
        )
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, h, w) -> the same, weighted by channel, and its spatial attention (B, 1, h, w) in
        0..1.
        """
        mean, largest = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        weighted = x * (self.channel(mean) + self.channel(largest)).sigmoid()
        pooled = [weighted.mean(1, keepdim=True), weighted.amax(1, keepdim=True)]
        return weighted, self.spatial(torch.cat(pooled, 1)).sigmoid()


class CoAttentionGate(nn.Module):
    """Frame and flow of one level, each times a scalar; the flow, attended, is added to the frame.

    Args:
        channels: of both.
        widths: inside the convolutions that find the scalars.
    """

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.gates = _conv_bn_prelus(2 * channels, *widths)
        self.gates.append(_conv3(widths[-1], 2))
        self.attention = CBAM(channels)

    def forward(self, frame: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Two of (B, C, h, w) -> the fused frame, and the flow times its scalar."""
        maps = self.gates(torch.cat([frame, flow], 1)).sigmoid()
        frame_gate, flow_gate = maps.mean((2, 3), keepdim=True).chunk(2, 1)  # (B, 1, 1, 1)
        flow = flow_gate * flow
        weighted, places = self.attention(flow)
        return frame_gate * frame + weighted * places, flow


class MotionCorrection(nn.Module):
    """One level of the decoder: frame and flow each meet what is known so far, and the frame's is
    kept where the flow's has its attention.

    Args:
        inputs: channels of the encoders' maps.
        channels: inside.
        out: what the corrected map passes through.
    """

    def __init__(self, inputs: int, channels: int, out: nn.Module) -> None:
        super().__init__()
        self.scale = channels**-0.5
        self.enter_frame = _conv_bn_prelus(inputs, channels)
        self.enter_flow = _conv_bn_prelus(inputs, channels)
        self.fuse_frame = _conv_bn_prelus(2 * channels, channels, channels)
        self.fuse_flow = _conv_bn_prelus(2 * channels, channels, channels)
        self.attention = CBAM(channels)
        self.out = out

    def forward(self, frame: Tensor, flow: Tensor, coarser: Tensor | None) -> tuple[Tensor, Tensor]:
        """One level finer.

        Args:
            frame, flow: (B, inputs, h, w).
            coarser: (B, channels, h', w') of the level before; at the first level, None: each
                position of the flow gathers from the frame instead.

        Returns:
            what `out` gives, and the spatial attention (B, 1, h, w) in 0..1.
        """
        frame, flow = self.enter_frame(frame), self.enter_flow(flow)
        if coarser is None:
            known = attend(self.scale * flow, frame, frame)
        else:
            known = resize(coarser, frame.shape[-2:])
        # the channel attention acts inside the spatial one alone
        _, places = self.attention(self.fuse_flow(torch.cat([flow, known], 1)))
        fused = self.fuse_frame(torch.cat([frame, known], 1))
        return self.out(places * fused + known), places


class AMCOutput(NamedTuple):
    """What a pass gives.

    Attributes:
        logits: (B, 1, H/2, W/2).
        places: the decoder's spatial attentions (B, 1, h, w) in 0..1 at strides 32, 16, 8, 4, 2.
    """

    logits: Tensor
    places: list[Tensor]


class AMCNet(Method):
    """The network of the authors' release; 384x384 in their tests, any size here.

    Training on frames of 32 pixels or fewer wants two items at least: the coarsest batch norms then
    see one value per item.
    """

    # theirs thresholds at 384 and resizes the 8-bit mask to the native size; frames without a flow
    # are left out
    protocol: ClassVar[NativeProtocol] = NativeProtocol(sizes=((384, 384),), flow=True)
    renames: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"^frame_stages\.(\d)\.", r"conv\1_RGB."),
        (r"^flow_stages\.(\d)\.", r"conv\1_Flow."),
        (r"^levels\.(\d)\.gates\.", r"attention_feature\1."),
        (r"^levels\.(\d)\.attention\.(\w+)\.", r"atten_flow_\2_\1."),
        (r"^decoder\.(\d)\.enter_frame\.", r"gate_RGB\1."),
        (r"^decoder\.(\d)\.enter_flow\.", r"gate_Flow\1."),
        (r"^decoder\.(\d)\.fuse_frame\.", r"fuse\1_RGB."),
        (r"^decoder\.(\d)\.fuse_flow\.", r"fuse\1_Flow."),
        (r"^decoder\.(\d)\.attention\.(\w+)\.", r"\2\1."),
        # our levels count from the finest, their outputs from the coarsest
        *[(rf"^decoder\.{i}\.out\.", f"output{len(WIDTHS) - i}.") for i in range(len(WIDTHS))],
        (r"^((?:atten_flow_)?channel_?\d)\.0\.", r"\1.fc1."),
        (r"^((?:atten_flow_)?channel_?\d)\.2\.", r"\1.fc2."),
        (r"^((?:atten_flow_)?spatial_?\d)\.", r"\1.conv1."),
    )

    def __init__(self) -> None:
        super().__init__()
        self.frame_stages = _stages()
        self.flow_stages = _stages()
        pairs = zip(WIDTHS, GATE_WIDTHS, strict=True)
        self.levels = nn.ModuleList(CoAttentionGate(*pair) for pair in pairs)
        finest = _conv_bn_prelus(DECODED_WIDTHS[0], DECODED_WIDTHS[0])
        finest.append(_conv3(DECODED_WIDTHS[0], 1))
        steps = pairwise(DECODED_WIDTHS)
        outs = [finest, *(_conv_bn_prelus(wide, narrow) for narrow, wide in steps)]
        each = zip(WIDTHS, DECODED_WIDTHS, outs, strict=True)
        self.decoder = nn.ModuleList(MotionCorrection(*one) for one in each)

    def forward(self, frame: Tensor, flow: Tensor) -> AMCOutput:
        """(B, 3, H, W) of a frame and its flow."""
        fused = self.encode(frame, flow)
        decoded, places = None, []
        for level, (x, gated) in zip(reversed(self.decoder), reversed(fused), strict=True):
            decoded, place = level(x, gated, decoded)
            places.append(place)
        return AMCOutput(decoded, places)

    def encode(self, frame: Tensor, flow: Tensor) -> list[tuple[Tensor, Tensor]]:
        """(B, 3, H, W) of a frame and its flow -> five of `CoAttentionGate`'s pairs, finest first.

        Each stage of the frame sees the fused map of the level before, each of the flow its own.
        """
        pairs = []
        each = zip(self.frame_stages, self.flow_stages, self.levels, strict=True)
        for frame_stage, flow_stage, level in each:
            # the flow goes on without its scalar, which the decoder alone sees
            flow = flow_stage(flow)
            frame, gated = level(frame_stage(frame), flow)
            pairs.append((frame, gated))
        return pairs

    def probability(self, shown: Shown) -> Tensor:
        """Sigmoid of the enlarged logits; see `Method.probability`."""
        return self._enlarged(self(shown.frame, shown.flow), shown.frame)

    def video_losses(
        self, shown: Shown, mask: Tensor, reference_masks: Tensor | None
    ) -> dict[str, Tensor]:
        """`mask` of the probability, `places` of the five attentions; there are no references."""
        output = self(shown.frame, shown.flow)
        final = map_bce(self._enlarged(output, shown.frame), mask)
        places = sum(map_bce(place, mask) for place in output.places)
        return {"mask": final, "places": places, "total": final + places}

    def _enlarged(self, output: AMCOutput, frame: Tensor) -> Tensor:
        return resize(output.logits, frame.shape[-2:]).sigmoid()


def map_bce(probability: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of a map, mean over its pixels; in the mask's precision.

    Args:
        probability: (B, 1, h, w) in 0..1.
        mask: (B, 1, H, W) in 0..1, reduced to the map's size by nearest.
    """
    reduced = F.interpolate(mask, size=probability.shape[-2:], mode="nearest")
    # torch refuses the cross-entropy of probabilities in mixed precision
    with torch.autocast(mask.device.type, enabled=False):
        return F.binary_cross_entropy(probability.to(mask.dtype), reduced)


def _stages() -> nn.ModuleList:
    """A ResNet-101 by strides 2, 4, 8, 16, 32, a PReLU behind its stem."""
    full = ResNetBackbone("resnet101", 4)
    return nn.ModuleList(
        [
            nn.Sequential(full.conv1, full.bn1, nn.PReLU()),
            nn.Sequential(full.maxpool, *full.layer1),
            full.layer2,
            full.layer3,
            full.layer4,
        ]
    )


def _conv_bn_prelus(*widths: int) -> nn.Sequential:
    """3x3 convolution -> batch norm -> PReLU of one slope, from width to width."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [_conv3(inputs, outputs), nn.BatchNorm2d(outputs), nn.PReLU()]
    return nn.Sequential(*layers)


def _conv3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
