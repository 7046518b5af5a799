"""What moved against the scene: where each part was, what the camera did, what differs once that is
undone, and a person's motion spread over the person (beyond the paper).

Softmax attention sees its reference as a set: it says what a part looked like, not where it was. So
the reference's coordinates travel with its values, and a displacement comes out (`position`). Most
of a displacement may be the camera's: the background tells how much. Or the two pictures are
registered first, and tokens compared where the target's camera saw them (`Matching`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pdnet.model.blocks import conv_bn_relu, initialise

RIDGE = 1e-2  # on turn and zoom, in shares of the background's weight: a few tokens fix none
HEADS = 4
# of registration: lines of the finest picture; steps in pictures each twice as fine as the one
# before; a difference, in deviations of ImageNet's colours, below which pixels are alike
REGISTERED, ROUNDS, FLAT = 120, (12, 6, 2), 0.05
REACH = 5  # tokens each way in which a match is looked for, on the appearance's grid
DESCRIPTION = 32  # channels by which tokens are matched
SHARPNESS = 10.0  # the first factor on cosines
LONGEST_WAVE = 64.0  # of the coordinates' code, in tokens


def coordinates(size: tuple[int, int], like: Tensor) -> Tensor:
    """(h * w, 2) of a grid's tokens: x and y in cells."""
    h, w = size
    y = torch.arange(h, device=like.device, dtype=torch.float32)
    x = torch.arange(w, device=like.device, dtype=torch.float32)
    return torch.stack([x.repeat(h), y.repeat_interleave(w)], 1)


@dataclass
class Camera:
    """What the camera did between a reference and the target, as an affine map of places.

    Attributes:
        matrix: (..., 2, 3) float32: for a place (x, y, 1) of the target, in units of half the
            grid's sides from its centre, the step in cells to where the same thing of the scene
            lies in the reference.
    """

    matrix: Tensor

    def steps(self, size: tuple[int, int]) -> Tensor:
        """(..., h * w, 2): the camera's part of every token's displacement, in cells."""
        return _places(size, self.matrix) @ self.matrix.transpose(-1, -2)


def fit_camera(displacement: Tensor, background: Tensor, size: tuple[int, int]) -> Camera:
    """The affine motion that explains the displacements of the background best, by weighted least
    squares.

    Args:
        displacement: (B, R, n, 2) in cells.
        background: (B, n) weights in 0..1.
        size: (h, w) of the grid, n = h * w.
    """
    places = _places(size, displacement)  # (n, 3)
    weights = background.float()[:, None, :, None] + 1e-4  # nobody's background: all alike
    weights = weights / weights.sum(2, keepdim=True)
    weighted = weights * places  # (B, 1, n, 3)
    normal = weighted.transpose(-1, -2) @ places  # (B, 1, 3, 3)
    prior = torch.diag(torch.tensor([RIDGE, RIDGE, 0.0], device=places.device))
    wanted = weighted.transpose(-1, -2) @ displacement.float()  # (B, R, 3, 2)
    solved = torch.linalg.solve((normal + prior).expand(*wanted.shape[:2], 3, 3), wanted)
    return Camera(solved.transpose(-1, -2))


@torch.no_grad()
def camera_between(target: Tensor, reference: Tensor) -> Tensor:
    """What the camera did between two pictures: the affine motion that brings most of the reference
    to where it is in the target, by Lucas and Kanade's steps (1981) from coarse to fine. People,
    who move by themselves, are outvoted (Geman and McClure's weights).

    Args:
        target, reference: (B, 3, H, W), as the encoder sees them.

    Returns:
        (B, 2, 3) float32: for a place (x, y, 1), in units of half the picture's sides from its
        centre, the step in shares of half the sides to the same thing of the scene in the
        reference.
    """
    finest = max(1, min(target.shape[-2:]) // REGISTERED)
    motion = torch.zeros(len(target), 2, 3, device=target.device)
    pictures = [target.float(), reference.float()]
    with in_single(target):
        for level, rounds in enumerate(ROUNDS, 1):
            pair = [_smaller(picture, finest * 2 ** (len(ROUNDS) - level)) for picture in pictures]
            for _ in range(rounds):
                motion = motion + _camera_step(*pair, motion)
    return motion


def in_single(like: Tensor) -> torch.autocast:
    """Places are numbers of pixels: in half precision they would be off by some."""
    return torch.autocast(like.device.type, enabled=False)


def _smaller(picture: Tensor, times: int) -> Tensor:
    small = F.avg_pool2d(picture, times) if times > 1 else picture
    # gradients of a smooth picture tell of larger steps
    return F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 3, 1)


def _camera_step(target: Tensor, reference: Tensor, motion: Tensor) -> Tensor:
    """One step of Gauss and Newton towards the motion, (B, 2, 3)."""
    h, w = target.shape[-2:]
    places = _centres((h, w), target)  # (n, 3)
    grid = (places[:, :2] + places @ motion.transpose(1, 2)).view(-1, h, w, 2)
    seen = F.grid_sample(reference, grid, padding_mode="border", align_corners=False)
    inside = (grid.abs() <= 1).all(-1).flatten(1)[:, None]  # (B, 1, n)
    left = (target - seen).flatten(2)  # (B, C, n)
    usual = left.abs().flatten(1).median(1).values.clamp_min(FLAT)[:, None, None]
    trust = inside / (1 + (left / (1.5 * usual)).square()).square()
    wide = F.pad(seen, (1, 1, 1, 1), mode="replicate")
    # the change over half the picture's sides
    across = (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]).flatten(2) * w / 4
    down = (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]).flatten(2) * h / 4
    slopes = torch.cat([across[..., None] * places, down[..., None] * places], -1)  # (B, C, n, 6)
    slopes = slopes.flatten(1, 2)
    weighted = slopes * trust.flatten(1)[..., None]
    normal = weighted.transpose(1, 2) @ slopes
    wanted = weighted.transpose(1, 2) @ left.flatten(1)[..., None]
    # where nothing has a gradient nothing is known, and nothing moves
    prior = 1e-3 * torch.diag_embed(normal.diagonal(dim1=1, dim2=2) + 1e-3)
    return torch.linalg.solve(normal + prior, wanted).view(-1, 2, 3)


def _centres(size: tuple[int, int], like: Tensor) -> Tensor:
    """(n, 3): x, y of every pixel's centre in -1..1 of the picture, and 1."""
    h, w = size
    sides = torch.tensor([w, h], device=like.device)
    places = (coordinates(size, like) + 0.5) * 2 / sides - 1
    return torch.cat([places, torch.ones_like(places[:, :1])], 1)


def led(reference: Tensor, motion: Tensor) -> Tensor:
    """Maps (B, C, h, w) of a reference, as the target's camera sees them; `motion` of
    `camera_between`.
    """
    h, w = reference.shape[-2:]
    places = _centres((h, w), reference)
    with in_single(reference):
        grid = (places[:, :2] + places @ motion.transpose(1, 2)).view(-1, h, w, 2)
        seen = F.grid_sample(reference.float(), grid, padding_mode="border", align_corners=False)
    return seen.to(reference.dtype)


def _places(size: tuple[int, int], like: Tensor) -> Tensor:
    """(n, 3): x, y in -1..1 and 1 of every token."""
    h, w = size
    half = torch.tensor([w - 1, h - 1], device=like.device).clamp_min(1) / 2
    places = coordinates(size, like) / half - 1
    return torch.cat([places, torch.ones_like(places[:, :1])], 1)


class Difference(nn.Module):
    """What differs between the target's features and the reference's, at their full resolution.

    Args:
        channels, motion_channels: of the features, of the result.
    """

    def __init__(self, channels: int, motion_channels: int) -> None:
        super().__init__()
        self.compare = nn.Sequential(
            conv_bn_relu(2 * channels, motion_channels, 3),
            conv_bn_relu(motion_channels, motion_channels, 3),
        )
        initialise(self)

    def forward(self, target: Tensor, reference: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, C, H/4, W/4) twice -> (B, C', h, w) on the part grid."""
        differs = self.compare(torch.cat([target, reference - target], 1))
        # the mean of each cell: a hand's few pixels count wherever in it they lie
        return F.adaptive_avg_pool2d(differs, grid)


def aligned(reference: Tensor, camera: Camera, grid: tuple[int, int]) -> Tensor:
    """A reference's features seen as the target's camera sees them.

    Args:
        reference: (B, C, H/4, W/4).
        camera: of (B, 2, 3) steps between tokens of `grid`.
        grid: (h, w).
    """
    size = reference.shape[-2:]
    # cells -> shares of half the picture's sides, which is what sampling wants
    cell = torch.tensor([2 / grid[1], 2 / grid[0]], device=reference.device)
    step = camera.steps(size) * cell  # (B, H/4 * W/4, 2)
    y = (torch.arange(size[0], device=step.device) + 0.5) * 2 / size[0] - 1
    x = (torch.arange(size[1], device=step.device) + 0.5) * 2 / size[1] - 1
    own = torch.stack([x.repeat(size[0]), y.repeat_interleave(size[1])], 1)
    where = (own + step).view(-1, *size, 2).to(reference.dtype)
    return F.grid_sample(reference, where, padding_mode="border", align_corners=False)


@dataclass
class Match:
    """What a target's tokens find near themselves in a reference that the target's camera sees, at
    the appearance's resolution.

    Attributes:
        window: (B, (2 * REACH + 1)**2, H/4, W/4) how much each place nearby looks like the token;
            sums to 1. Places row after row, from the upper left.
        steps: (B, 2, H/4, W/4), from a token to the same thing, in tokens (x, y).
        motion: of `camera_between`.
        frames: the target and the reference, (B, 3, H, W) each, as the target's camera sees them.
        appearance: (B, C, H/4, W/4), the reference's as the target's camera sees it.
    """

    window: Tensor
    steps: Tensor
    motion: Tensor
    frames: tuple[Tensor, Tensor]
    appearance: Tensor

    def on(self, grid: tuple[int, int]) -> tuple[Tensor, Camera]:
        """Displacement (B, h * w, 2) and camera (B, 2, 3), in cells of a coarser grid."""
        h, w = grid
        cells = torch.tensor([w, h], device=self.steps.device)
        # shares of half the sides, at centres of cells -> cells, at places of `Camera`
        centres = torch.tensor([(w - 1) / w, (h - 1) / h, 1.0], device=cells.device)
        camera = Camera(self.motion * (cells / 2)[:, None] * centres)
        tokens = torch.tensor(self.steps.shape[:1:-1], device=cells.device)
        coarse = F.adaptive_avg_pool2d(self.steps, grid).flatten(2).transpose(1, 2)
        return coarse * (cells / tokens) + camera.steps(grid), camera


def moved_within(maps: Tensor, reach: int = REACH) -> Iterator[Tensor]:
    """(B, C, h, w) moved by every step of a window, in the order of `Match.window`: what lies
    `step` away comes here; 0 beyond the border.
    """
    h, w = maps.shape[-2:]
    padded = F.pad(maps, (reach, reach, reach, reach))
    for down in range(2 * reach + 1):
        for right in range(2 * reach + 1):
            yield padded[..., down : down + h, right : right + w]


class Matching(nn.Module):
    """The motion of every token against the scene: the reference is brought to where the target's
    camera saw it; what rests is then where it was, and looks as it did. Told are the likeness to
    what is nearby (the correlation layer of FlowNet, Dosovitskiy et al., ICCV 2015), the step to
    what is most alike, and what differs, in features and in pixels.

    Args:
        channels, motion_channels: of the appearance, of the result.
    """

    def __init__(self, channels: int, motion_channels: int) -> None:
        super().__init__()
        self.describe = nn.Conv2d(channels, DESCRIPTION, 1)
        places = (2 * REACH + 1) ** 2
        # the step, its length, how sure it is; pixels' differences, their mean and largest
        told = 2 * channels + places + 4 + 6
        self.compare = nn.Sequential(
            conv_bn_relu(told, 2 * motion_channels, 1),
            conv_bn_relu(2 * motion_channels, motion_channels, 3),
            conv_bn_relu(motion_channels, motion_channels, 3),
        )
        initialise(self)
        self.sharpness = nn.Parameter(torch.full((), SHARPNESS).log())

    def forward(
        self,
        target: tuple[Tensor, Tensor],
        reference: tuple[Tensor, Tensor],
        grid: tuple[int, int],
    ) -> tuple[Tensor, Match]:
        """Motion features on the part grid, (B, C', h, w), and the match behind them.

        Args:
            target, reference: frame (B, 3, H, W), normalised, and appearance (B, C, H/4, W/4).
            grid: (h, w).
        """
        (frame, appearance), size = target, target[1].shape[-2:]
        motion = camera_between(frame, reference[0])
        then, features = (led(maps, motion) for maps in reference)
        here = F.normalize(self.describe(appearance), dim=1)
        there = F.normalize(self.describe(features), dim=1)
        likeness = torch.stack([(here * moved).sum(1) for moved in moved_within(there)], 1)
        nearby = coordinates((2 * REACH + 1,) * 2, likeness) - REACH  # (places, 2)
        with in_single(likeness):
            window = (likeness.float() * self.sharpness.exp()).softmax(1)
            steps = torch.einsum("bphw,pc->bchw", window, nearby)
        apart = (frame - then).abs()
        told = [steps, steps.norm(dim=1, keepdim=True), window.amax(1, keepdim=True)]
        told += [F.adaptive_avg_pool2d(apart, size), F.adaptive_max_pool2d(apart, size)]
        told = [one.to(appearance.dtype) for one in told]
        told = torch.cat([appearance, features - appearance, likeness, *told], 1)
        # the mean of each cell: a hand's few pixels count wherever in it they lie
        found = F.adaptive_avg_pool2d(self.compare(told), grid)
        return found, Match(window, steps, motion, (frame, then), features)


class Spread(nn.Module):
    """Self-attention over the target's tokens: who moves one hand moves, the resting torso
    included.

    Args:
        channels, motion_channels: of the target's features on the part grid, of the motion.
        layers: of a transformer.
    """

    def __init__(self, channels: int, motion_channels: int, layers: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels + motion_channels, motion_channels, 1)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                motion_channels,
                HEADS,
                2 * motion_channels,
                dropout=0.0,
                batch_first=True,
                norm_first=True,
            )
            for _ in range(layers)
        )
        self.leave = nn.Linear(motion_channels, motion_channels)

    def forward(self, appearance: Tensor, motion: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C', h, w) -> motion features (B, C', h, w)."""
        entered = self.enter(torch.cat([appearance, motion], 1))
        h, w = entered.shape[-2:]
        tokens = entered.flatten(2).transpose(1, 2) + _waves((h, w), entered)  # (B, n, C')
        for layer in self.layers:
            tokens = layer(tokens)
        return motion + self.leave(tokens).transpose(1, 2).unflatten(2, (h, w))


def _waves(size: tuple[int, int], like: Tensor) -> Tensor:
    """(n, C) sines and cosines of every token's place; (B, C, h, w) `like` says how many."""
    per_axis = like.shape[1] // 4
    rates = LONGEST_WAVE ** -(torch.arange(per_axis, device=like.device) / per_axis)
    turns = coordinates(size, like)[:, :, None] * rates  # (n, 2, C / 4)
    return torch.cat([turns.sin(), turns.cos()], 2).flatten(1).to(like.dtype)
