"""How far what each token shows has moved against the scene, learned from true joints: a limb turns
and hides, so matching does not find it again, but the pose before and the pose after tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pdnet.data.skeleton import KINDS
from pdnet.model.blocks import conv_bn_relu, initialise
from pdnet.model.motion import Match, in_single

BODY_PARTS = len(KINDS)
# of the layers: together they see 16 tokens each way, half a frame of 128 lines
DILATIONS = (1, 2, 4, 8, 1)


@dataclass
class LearnedSteps:
    """What `Steps` says.

    Attributes:
        steps: (B, 2, H/4, W/4) in tokens (x, y), from where the thing would be, had it rested in
            the scene since the reference, to the token.
        body_parts: (B, 1 + BODY_PARTS, H/4, W/4) logits of the part that a token shows, no body
            first; of the target and of the reference.
    """

    steps: Tensor
    body_parts: tuple[Tensor, Tensor]

    def shares(self, grid: tuple[int, int]) -> Tensor:
        """(B, 2, h, w): the mean step of each cell, in shares of the frame's width and height."""
        tokens = torch.tensor(self.steps.shape[:1:-1], device=self.steps.device)
        return F.adaptive_avg_pool2d(self.steps, grid) / tokens.view(1, 2, 1, 1)


class Steps(nn.Module):
    """Names the body parts in both frames and reads off how far each has gone, from the names
    alone: with features beside them it learned less (docs/study/trials.md).

    Args:
        channels: of the appearance, and of the layers.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.name = nn.Conv2d(channels, 1 + BODY_PARTS, 1)
        self.enter = conv_bn_relu(2 * (1 + BODY_PARTS), channels, 1)
        self.layers = nn.ModuleList(
            conv_bn_relu(channels, channels, 3, dilation=dilation) for dilation in DILATIONS
        )
        self.read = nn.Conv2d(channels, 2, 1)
        initialise(self)
        nn.init.zeros_(self.read.weight)  # nothing moves at first

    def forward(self, appearance: Tensor, reference: Tensor, match: Match) -> LearnedSteps:
        """Appearance of target and reference, (B, C, H/4, W/4), and their match."""
        here, then = self.name(appearance), self.name(match.appearance)
        told = self.enter(torch.cat([here.softmax(1), then.softmax(1)], 1))
        for layer in self.layers:
            told = told + layer(told)
        with in_single(told):
            steps = self.read(told.float())
        return LearnedSteps(steps, (here, self.name(reference)))
