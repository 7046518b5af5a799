"""Inter-frame part-discriminated attention (paper, section 4.2): parts, their correlation, their
assembly.

The p branches are one grouped convolution and the p attentions one call over p heads: what is
computed is the authors' loop over parts, in one go. What depends on the reference alone (its parts,
keys and values) is a `Parts` and a `Memory` that a clip computes once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pdnet.model.blocks import coarse_grid, conv_bn_relu, initialise, resize


@dataclass
class Parts:
    """A frame decoupled into p parts, on the part grid h x w (input / 16).

    Attributes:
        features: (B, p*C, h, w) part-discriminated features P^k, part after part.
        logits: (B, p, h, w), or p + 1 channels (background last) with part activation
            `softmax_background`.
        saliency_logits: (B, 1, h, w) of the portrait map S.
        predictions: (B, p, h, w) D^k; sums to 1 over the parts (and background, if it has a
            channel).
        masks: (B, p, h, w) R^k = S * D^k, eq. (1).
    """

    features: Tensor
    logits: Tensor
    saliency_logits: Tensor
    predictions: Tensor
    masks: Tensor


@dataclass
class Memory:
    """Keys and values of R reference frames, and a weight of their tokens.

    Attributes:
        keys, values: (B, R, p, n, d) with n = h*w tokens.
        token_mask: (B, R, 1 or p, n) in 0..1, or None when every token counts fully.
    """

    keys: Tensor
    values: Tensor
    token_mask: Tensor | None

    def joined(self, other: Memory) -> Memory:
        """This memory with the references of `other` after its own."""
        mask = None
        if self.token_mask is not None and other.token_mask is not None:
            mask = torch.cat([self.token_mask, other.token_mask], 1)
        return Memory(
            torch.cat([self.keys, other.keys], 1), torch.cat([self.values, other.values], 1), mask
        )

    def as_one(self) -> Memory:
        """The references' tokens as those of one: attention then chooses among all frames."""
        mask = None
        if self.token_mask is not None:
            # (B, R, q, n) -> (B, 1, q, R * n)
            mask = self.token_mask.transpose(1, 2).flatten(2, 3)[:, None]
        return Memory(_join_tokens(self.keys), _join_tokens(self.values), mask)


def part_predictions(logits: Tensor, activation: str) -> Tensor:
    """Part logits -> D^k. `softmax` over p parts (authors' code) or `softmax_background` (SCOPS:
    one channel more).
    """
    if activation == "softmax":
        return logits.softmax(1)
    return logits.softmax(1)[:, :-1]


class PartDecoupling(nn.Module):
    """Stage 1: appearance features -> saliency, part features and part predictions (fig. 6(a))."""

    def __init__(
        self,
        *,
        channels: int,
        part_channels: int,
        parts: int,
        downsample: int,
        activation: str,
    ) -> None:
        super().__init__()
        self.parts, self.downsample, self.activation = parts, downsample, activation
        c = part_channels
        self.compress = nn.Sequential(
            conv_bn_relu(channels, channels, 3), conv_bn_relu(channels, c, 1)
        )
        self.saliency = nn.Conv2d(c, 1, 3, padding=1)
        self.branches = nn.Sequential(
            conv_bn_relu(c, parts * c, 1),
            conv_bn_relu(parts * c, parts * c, 3, groups=parts),
            conv_bn_relu(parts * c, parts * c, 1, groups=parts),
        )
        # one head for all parts keeps their features comparable
        self.head = nn.Conv2d(c, 1, 3, padding=1)
        if activation == "softmax_background":
            self.background = nn.Conv2d(c, 1, 3, padding=1)
        initialise(self)

    def forward(self, appearance: Tensor) -> Parts:
        """(B, C, H/4, W/4) appearance -> `Parts`, its grid coarser by `downsample`."""
        grid = coarse_grid(appearance.shape[-2:], self.downsample)
        z = self.compress(resize(appearance, grid))
        saliency_logits = self.saliency(z)
        features = self.branches(z)
        b, _, h, w = features.shape
        each = features.reshape(b * self.parts, -1, h, w)  # (B * p, C, h, w)
        logits = self.head(each).view(b, self.parts, h, w)  # (B, p, h, w)
        if self.activation == "softmax_background":
            logits = torch.cat([logits, self.background(z)], 1)
        predictions = part_predictions(logits, self.activation)
        return Parts(
            features, logits, saliency_logits, predictions, saliency_logits.sigmoid() * predictions
        )


class PartAttention(nn.Module):
    """Stages 2 and 3: part-to-part attention between two frames and the assembly of eq. (2).

    Args:
        part_channels, attention_channels: 64 and 32 in the authors' code.
        parts: p.
        scale: `none` (authors' code) or `sqrt_d`.
        mask_keys: which reference tokens count: `none` (paper and code), `saliency`, `part`.
        residual: add the target's own part features, M = sum (P + O) * R (authors' code); without
            it M = sum O * R (eq. (2)).
        reference_fusion: several references by the `mean` of their O^k or by `concat_tokens`.
    """

    def __init__(
        self,
        *,
        part_channels: int,
        attention_channels: int,
        parts: int,
        scale: str,
        mask_keys: str,
        residual: bool,
        reference_fusion: str,
    ) -> None:
        super().__init__()
        self.parts, self.residual, self.mask_keys = parts, residual, mask_keys
        self.reference_fusion = reference_fusion
        self.scale = 1.0 if scale == "none" else attention_channels**-0.5
        c, d = part_channels, attention_channels
        self.query = nn.Conv2d(parts * c, parts * d, 1, groups=parts, bias=False)
        self.key = nn.Conv2d(parts * c, parts * d, 1, groups=parts, bias=False)
        self.value = nn.Conv2d(parts * c, parts * d, 1, groups=parts, bias=False)
        self.output = conv_bn_relu(parts * d, parts * c, 1, groups=parts)
        initialise(self)

    def _tokens(self, x: Tensor) -> Tensor:
        """(B, p*d, h, w) -> (B, p, h*w, d), contiguous so that attention takes its fast path."""
        b, _, h, w = x.shape
        tokens = x.view(b, self.parts, -1, h * w)  # (B, p, d, n)
        return tokens.transpose(2, 3).contiguous()  # (B, p, n, d)

    def remember(self, reference: Parts) -> Memory:
        """Keys and values of one reference frame, (B, 1, p, n, d)."""
        mask = None
        if self.mask_keys == "saliency":
            mask = reference.saliency_logits.sigmoid().flatten(2)[:, None]  # (B, 1, 1, n)
        elif self.mask_keys == "part":
            mask = reference.masks.flatten(2)[:, None]  # (B, 1, p, n)
        keys = self._tokens(self.key(reference.features))  # (B, p, n, d)
        values = self._tokens(self.value(reference.features))
        return Memory(keys[:, None], values[:, None], mask)

    def weights(self, target: Parts, memory: Memory) -> Tensor:
        """Attention of every target token over the tokens of every reference, for looking at.

        Returns:
            (B, R, p, n_target, n_reference), sums to 1 over the last axis.
        """
        query = self._tokens(self.query(target.features))[:, None]  # (B, 1, p, n, d)
        scores = query @ memory.keys.transpose(-1, -2) * self.scale  # (B, R, p, n, n)
        if memory.token_mask is not None:
            scores = scores + memory.token_mask.clamp_min(1e-6).log()[..., None, :]
        return scores.softmax(-1)

    def correlate(self, target: Parts, memory: Memory) -> Tensor:
        """O^k: what each part of the target finds in the same part of the references; (B, p*C, h,
        w).
        """
        b, _, h, w = target.features.shape
        query = self._tokens(self.query(target.features))  # (B, p, n, d)
        if self.reference_fusion == "concat_tokens":
            memory = memory.as_one()
        references = memory.keys.shape[1]
        query = query[:, None].expand(-1, references, -1, -1, -1).flatten(0, 1)  # (B * R, p, n, d)
        bias = None
        if memory.token_mask is not None:
            # a weight in 0..1 on a token is its logarithm added to the scores
            bias = memory.token_mask.flatten(0, 1).clamp_min(1e-6).log()  # (B * R, 1 or p, n)
            bias = bias[:, :, None, :].to(query.dtype)
            bias = bias.expand(-1, self.parts, query.shape[2], -1)  # (B * R, p, n, n)
        keys, values = memory.keys.flatten(0, 1), memory.values.flatten(0, 1)  # (B * R, p, n, d)
        found = F.scaled_dot_product_attention(
            query, keys, values, attn_mask=bias, scale=self.scale
        )
        found = found.transpose(2, 3).reshape(b * references, -1, h, w)  # (B * R, p * d, h, w)
        return self.output(found).view(b, references, -1, h, w).mean(1)  # (B, p * C, h, w)

    def forward(self, target: Parts, memory: Memory) -> Tensor:
        """Motion features M_t, (B, C, h, w): eq. (2), with the residual of the authors' code if
        asked for.
        """
        motion = self.correlate(target, memory)
        if self.residual:
            motion = motion + target.features
        b, _, h, w = motion.shape
        motion = motion.view(b, self.parts, -1, h, w)  # (B, p, C, h, w)
        return (motion * target.masks[:, :, None]).sum(1)  # (B, C, h, w)


def _join_tokens(x: Tensor) -> Tensor:
    """(B, R, p, n, d) -> (B, 1, p, R * n, d)."""
    return x.transpose(1, 2).flatten(2, 3)[:, None]
