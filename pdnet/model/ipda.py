"""Inter-frame part-discriminated attention (paper, section 4.2): parts, their correlation, their
assembly.

The p branches are one grouped convolution and the p attentions one call over p heads: what is
computed is the authors' loop over parts, in one go. What depends on the reference alone (its parts,
keys and values) is a `Parts` and a `Memory` that a clip computes once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pdnet.model.blocks import coarse_grid, conv_bn_relu, initialise, resize
from pdnet.model.motion import SHARPNESS, Camera, Match, coordinates, fit_camera
from pdnet.model.steps import LearnedSteps

TOLD_OF_PLACES = 3  # a part's step against the scene: x, y and its length, in cells
RANGE = 0.15  # first range of the attention, a share of the grid's diagonal


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
        appearance: (B, R, C, H/4, W/4) of the frames, where differences are looked at.
        frames: (B, R, 3, H, W), where tokens are matched.
    """

    keys: Tensor
    values: Tensor
    token_mask: Tensor | None
    appearance: Tensor | None = None
    frames: Tensor | None = None

    def joined(self, other: Memory) -> Memory:
        """This memory with the references of `other` after its own."""
        joined = {}
        for name in ("token_mask", "appearance", "frames"):
            both = [getattr(memory, name) for memory in (self, other)]
            joined[name] = None if any(one is None for one in both) else torch.cat(both, 1)
        return Memory(
            torch.cat([self.keys, other.keys], 1),
            torch.cat([self.values, other.values], 1),
            **joined,
        )

    def as_one(self) -> Memory:
        """The references' tokens as those of one: attention then chooses among all frames."""
        mask = None
        if self.token_mask is not None:
            # (B, R, q, n) -> (B, 1, q, R * n)
            mask = self.token_mask.transpose(1, 2).flatten(2, 3)[:, None]
        return replace(
            self, keys=_join_tokens(self.keys), values=_join_tokens(self.values), token_mask=mask
        )


@dataclass
class Correlation:
    """What the parts of a target find in their references.

    Attributes:
        features: (B, p*C, h, w): O^k.
        weights: (B, R, p, n, n): attention of every target token over the references' tokens;
            None where nothing asks for places.
        displacement: (B, R, p, n, 2): the step, in cells (x, y), from a token to where its part
            finds itself in a reference; likewise.
        camera: the scene's share of it, (B, R, 2, 3); likewise.
        matches: of each reference, where tokens are matched (`model.difference`); displacement and
            camera are theirs then, one for all parts.
        learned: steps since the first reference, where a head says them (`model.steps`).
    """

    features: Tensor
    weights: Tensor | None = None
    displacement: Tensor | None = None
    camera: Camera | None = None
    matches: tuple[Match, ...] = ()
    learned: LearnedSteps | None = None

    def matched(self, matches: tuple[Match, ...], size: tuple[int, int], parts: int) -> Correlation:
        """This, with the displacement of matched tokens on a grid of (h, w), for all parts."""
        steps, cameras = zip(*(match.on(size) for match in matches), strict=True)
        displacement = torch.stack(steps, 1)[:, :, None].expand(-1, -1, parts, -1, -1)
        camera = Camera(torch.stack([one.matrix for one in cameras], 1))
        return replace(self, displacement=displacement, camera=camera, matches=matches)

    def moved(self, size: tuple[int, int]) -> Tensor:
        """(B, R, p, n, 2): the displacement against the scene, on a grid of (h, w)."""
        return self.displacement - self.camera.steps(size)[:, :, None]


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
        scale: `none` (authors' code), `sqrt_d`, or `cosine`: the angle between query and key, by a
            learned sharpness.
        position: `none` (paper); `displacement`: where a part was travels with what it was;
            `bias`: near tokens count more, by a learned range of each part; or both.
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
        position: str = "none",
    ) -> None:
        super().__init__()
        self.parts, self.residual, self.mask_keys = parts, residual, mask_keys
        self.reference_fusion = reference_fusion
        self.scale = attention_channels**-0.5 if scale == "sqrt_d" else 1.0
        self.by_angle, self.places = scale == "cosine", "displacement" in position
        c, d = part_channels, attention_channels
        self.query = nn.Conv2d(parts * c, parts * d, 1, groups=parts, bias=False)
        self.key = nn.Conv2d(parts * c, parts * d, 1, groups=parts, bias=False)
        self.value = nn.Conv2d(parts * c, parts * d, 1, groups=parts, bias=False)
        told = d + TOLD_OF_PLACES if self.places else d
        self.output = conv_bn_relu(parts * told, parts * c, 1, groups=parts)
        if self.by_angle:
            self.sharpness = nn.Parameter(torch.full((), SHARPNESS).log())
        if "bias" in position:
            # of a Gaussian over the distance, in shares of the grid's diagonal
            self.range = nn.Parameter(torch.full((parts,), RANGE).log())
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
        keys = self._matched(self._tokens(self.key(reference.features)))  # (B, p, n, d)
        values = self._tokens(self.value(reference.features))
        return Memory(keys[:, None], values[:, None], mask)

    def weights(self, target: Parts, memory: Memory) -> Tensor:
        """Attention of every target token over the tokens of every reference.

        Returns:
            (B, R, p, n_target, n_reference), sums to 1 over the last axis.
        """
        query = self._query(target)[:, None]  # (B, 1, p, n, d)
        scores = query @ memory.keys.transpose(-1, -2) * self.scale  # (B, R, p, n, n)
        bias = self._bias(memory, target.features.shape[-2:])
        if bias is not None:
            scores = scores + bias
        return scores.softmax(-1)

    def correlate(self, target: Parts, memory: Memory) -> Correlation:
        """What each part of the target finds in the same part of the references."""
        b, _, h, w = target.features.shape
        if self.reference_fusion == "concat_tokens":
            memory = memory.as_one()
        references = memory.keys.shape[1]
        if self.places:
            return self._placed(target, memory)
        query = self._query(target)[:, None].expand(-1, references, -1, -1, -1)  # (B, R, p, n, d)
        bias = self._bias(memory, (h, w))
        if bias is not None:
            bias = bias.expand(b, references, self.parts, h * w, -1).flatten(0, 1).to(query.dtype)
        found = F.scaled_dot_product_attention(
            query.flatten(0, 1),
            memory.keys.flatten(0, 1),
            memory.values.flatten(0, 1),
            attn_mask=bias,
            scale=self.scale,
        )  # (B * R, p, n, d)
        return Correlation(self._output(found.unflatten(0, (b, references)), (h, w)))

    def _placed(self, target: Parts, memory: Memory) -> Correlation:
        """`correlate` where the reference's coordinates travel with its values."""
        size = target.features.shape[-2:]
        weights = self.weights(target, memory)  # (B, R, p, n, n')
        own = coordinates(size, weights)  # (n, 2)
        displacement = weights.float() @ own - own  # (B, R, p, n, 2)
        background = 1 - target.saliency_logits.sigmoid().flatten(1)  # (B, n)
        camera = fit_camera(displacement.mean(2), background, size)
        found = Correlation(memory.values, weights, displacement, camera)
        moved = found.moved(size)
        told = torch.cat([moved, moved.norm(dim=-1, keepdim=True)], -1).to(weights.dtype)
        features = self._output(torch.cat([weights @ memory.values, told], -1), size)
        return replace(found, features=features)

    def _query(self, target: Parts) -> Tensor:
        query = self._matched(self._tokens(self.query(target.features)))  # (B, p, n, d)
        return query * self.sharpness.exp() if self.by_angle else query

    def _matched(self, tokens: Tensor) -> Tensor:
        return F.normalize(tokens, dim=-1) if self.by_angle else tokens

    def _bias(self, memory: Memory, size: tuple[int, int]) -> Tensor | None:
        """What is added to the scores, of a shape that (B, R, p, n, n') covers."""
        bias = None
        if memory.token_mask is not None:
            # a weight in 0..1 on a token is its logarithm added to the scores
            bias = memory.token_mask.clamp_min(1e-6).log()[..., None, :]  # (B, R, 1 or p, 1, n')
        if hasattr(self, "range"):
            own = coordinates(size, memory.keys) / (size[0] ** 2 + size[1] ** 2) ** 0.5
            far = torch.cdist(own, own).square()  # (n, n)
            far = far.repeat(1, memory.keys.shape[-2] // len(own))
            near = -far / (2 * self.range.exp().square()[:, None, None])  # (p, n, n')
            bias = near if bias is None else bias + near
        return bias

    def _output(self, found: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, R, p, n, d) -> O^k (B, p * C, h, w), the mean over the references."""
        b, references = found.shape[:2]
        maps = found.flatten(0, 1).transpose(2, 3).reshape(b * references, -1, *size)
        return self.output(maps).unflatten(0, (b, references)).mean(1)

    def assemble(self, target: Parts, found: Correlation) -> Tensor:
        """Motion features M_t, (B, C, h, w): eq. (2), with the residual of the authors' code if
        asked for.
        """
        motion = found.features
        if self.residual:
            motion = motion + target.features
        b, _, h, w = motion.shape
        motion = motion.view(b, self.parts, -1, h, w)  # (B, p, C, h, w)
        return (motion * target.masks[:, :, None]).sum(1)  # (B, C, h, w)

    def forward(self, target: Parts, memory: Memory) -> Tensor:
        """Motion features of a target, (B, C, h, w)."""
        return self.assemble(target, self.correlate(target, memory))


def _join_tokens(x: Tensor) -> Tensor:
    """(B, R, p, n, d) -> (B, 1, p, R * n, d)."""
    return x.transpose(1, 2).flatten(2, 3)[:, None]
