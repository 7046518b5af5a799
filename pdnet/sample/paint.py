"""Painting on a canvas that remembers which pixel belongs to whom: colour, part label."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pdnet.data.skeleton import PARTS, PARTS_PER_PERSON
from pdnet.sample.body import HEAD, LOWER_ARM, LOWER_LEG

SHIFT = 4  # sub-pixel bits of OpenCV's polygon fill
TEXTURE = 96  # side of a texture patch in pixels


class Canvas:
    """A frame in the making.

    Attributes:
        colour: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8, 0 for background, else 10 * person + 1 + part (index into `PARTS`).
    """

    def __init__(self, background: np.ndarray) -> None:
        self.colour = background
        # one byte a pixel: 25 people of ten parts at most
        self.labels = np.zeros(background.shape[:2], np.uint8)

    def fill(
        self,
        polygon: np.ndarray,
        paint: np.ndarray,
        label: int,
        texture_corners: np.ndarray | None = None,
    ) -> None:
        """Fills a polygon, anti-aliased in colour and hard (half covered or more) in labels.

        Args:
            polygon: (n, 2) corners (x, y) in pixels.
            paint: a colour (3,) or a texture (TEXTURE, TEXTURE, 3).
            label: written where the polygon covers at least half a pixel; 0 hides whoever was
                there.
            texture_corners: (3, 2) where the texture's top left, top right and bottom left
                corners lie.
        """
        height, width = self.labels.shape
        low = np.maximum(np.floor(polygon.min(0)).astype(int) - 1, 0)
        high = np.minimum(np.ceil(polygon.max(0)).astype(int) + 2, (width, height))
        if (high <= low).any():
            return
        size = (high - low)[::-1]
        cover = np.zeros(tuple(size), np.uint8)
        corners = np.round((polygon - low) * (1 << SHIFT)).astype(np.int32)
        cv2.fillPoly(cover, [corners], 255, cv2.LINE_AA, SHIFT)
        region = (slice(low[1], high[1]), slice(low[0], high[0]))
        if paint.ndim == 1:
            patch = np.broadcast_to(paint.astype(np.uint8), (*size, 3))
        else:
            source = np.float32([[0, 0], [TEXTURE, 0], [0, TEXTURE]])
            warp = cv2.getAffineTransform(source, np.float32(texture_corners - low))
            patch = cv2.warpAffine(
                paint, warp, tuple(int(x) for x in size[::-1]), borderMode=cv2.BORDER_REFLECT
            )
        weight = (cover.astype(np.float32) / 255)[..., None]
        under = self.colour[region]
        self.colour[region] = (under + weight * (patch.astype(np.float32) - under) + 0.5).astype(
            np.uint8
        )
        self.labels[region][cover >= 128] = label

    def limb(
        self,
        a: np.ndarray,
        b: np.ndarray,
        radius_a: float,
        radius_b: float,
        paint: np.ndarray,
        label: int,
    ) -> None:
        """A tapered capsule from a to b, its texture running along it."""
        axis = b - a
        length = max(float(np.hypot(*axis)), 1e-3)
        along, across = axis / length, np.array([-axis[1], axis[0]]) / length
        top, side = a - along * radius_a, max(radius_a, radius_b)
        corners = np.stack(
            [top - across * side, top + across * side, b + along * radius_b - across * side]
        )
        self.fill(capsule(a, b, radius_a, radius_b), paint, label, corners)

    def ellipse(
        self,
        centre: np.ndarray,
        axes: tuple[float, float],
        angle: float,
        paint: np.ndarray,
        label: int,
    ) -> None:
        """An ellipse; `angle` in radians turns its axes clockwise on the screen."""
        turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        cos, sin = np.cos(angle), np.sin(angle)
        points = np.stack([axes[0] * np.cos(turn), axes[1] * np.sin(turn)], 1)
        points = points @ np.array([[cos, sin], [-sin, cos]]) + centre
        corners = (
            np.array([[-1, -1], [1, -1], [-1, 1]])
            * np.array(axes)
            @ np.array([[cos, sin], [-sin, cos]])
            + centre
        )
        self.fill(points, paint, label, corners)


def capsule(a: np.ndarray, b: np.ndarray, radius_a: float, radius_b: float) -> np.ndarray:
    """Outline of the hull of two circles, (n, 2)."""
    turn = np.arctan2(b[1] - a[1], b[0] - a[0])
    back = turn + np.linspace(np.pi / 2, 3 * np.pi / 2, 12)
    front = turn + np.linspace(-np.pi / 2, np.pi / 2, 12)
    ends = (
        a + radius_a * np.stack([np.cos(back), np.sin(back)], 1),
        b + radius_b * np.stack([np.cos(front), np.sin(front)], 1),
    )
    return np.concatenate(ends)


PATTERNS = ("plain", "stripes", "checks", "dots", "noise", "bands")


def cloth(colour: np.ndarray, pattern: str, rng: np.random.Generator) -> np.ndarray:
    """A cloth texture (TEXTURE, TEXTURE, 3), darker towards both sides as a round limb is."""
    v, u = np.mgrid[0:TEXTURE, 0:TEXTURE]
    period, second = (
        rng.integers(8, 20),
        np.clip(colour * rng.uniform(0.35, 1.5) + rng.uniform(-40, 60), 0, 255),
    )
    mark = {
        "plain": np.zeros((TEXTURE, TEXTURE), bool),
        "stripes": (u // period) % 2 == 0,
        "bands": (v // period) % 2 == 0,
        "checks": ((u // period) + (v // period)) % 2 == 0,
        "dots": (u % period - period / 2) ** 2 + (v % period - period / 2) ** 2
        < (period / 3.2) ** 2,
        "noise": cv2.GaussianBlur(rng.random((TEXTURE, TEXTURE)), (0, 0), 2.0) > 0.5,
    }[pattern]
    texture = np.where(mark[..., None], second, colour)
    texture = (
        texture + cv2.GaussianBlur(rng.normal(0, 14, (TEXTURE, TEXTURE)), (0, 0), 1.5)[..., None]
    )
    return shaded(texture)


def shaded(texture: np.ndarray) -> np.ndarray:
    """Darkens a texture towards its left and right edge."""
    across = np.linspace(-1, 1, TEXTURE)
    return np.clip(
        texture * (0.55 + 0.5 * np.sqrt(1 - 0.8 * across**2))[None, :, None], 0, 255
    ).astype(np.uint8)


SKINS = (
    (236, 188, 160),
    (214, 160, 124),
    (176, 118, 82),
    (122, 78, 54),
    (82, 52, 38),
    (244, 208, 186),
)
HAIRS = ((28, 22, 20), (66, 42, 28), (122, 82, 44), (190, 150, 92), (120, 116, 114), (110, 44, 26))


@dataclass(frozen=True)
class Look:
    """What one person wears: textures by body region, and build."""

    skin: np.ndarray
    hair: np.ndarray
    shirt: np.ndarray
    trousers: np.ndarray
    shoe: np.ndarray
    long_sleeves: bool
    long_trousers: bool
    long_hair: bool
    build: float


def make_look(rng: np.random.Generator) -> Look:
    """Draws a person's look."""
    skin = np.array(SKINS[rng.integers(len(SKINS))], float)
    plain = rng.normal(skin, 4, (TEXTURE, TEXTURE, 3))
    return Look(
        skin=shaded(plain),
        hair=cloth(np.array(HAIRS[rng.integers(len(HAIRS))], float), "noise", rng),
        shirt=cloth(rng.uniform(20, 245, 3), PATTERNS[rng.integers(len(PATTERNS))], rng),
        trousers=cloth(rng.uniform(15, 190, 3), PATTERNS[rng.choice([0, 0, 1, 4])], rng),
        shoe=rng.uniform(10, 230, 3),
        long_sleeves=bool(rng.random() < 0.6),
        long_trousers=bool(rng.random() < 0.75),
        long_hair=bool(rng.random() < 0.4),
        build=float(rng.uniform(0.85, 1.25)),
    )


def paint_person(
    canvas: Canvas, joints: dict[str, np.ndarray], look: Look, height: float, person: int
) -> None:
    """Paints one person, far limbs first, and labels every pixel with its true part.

    Args:
        canvas: painted on.
        joints: of `body.pose`, pixels.
        look: of the person.
        height: standing height in pixels.
        person: index of the person in the clip.
    """
    label = {name: PARTS_PER_PERSON * person + 1 + i for i, name in enumerate(PARTS)}
    unit = height * look.build
    _arm(canvas, joints, look, unit, "right", label)
    for side in ("right", "left"):
        _leg(canvas, joints, look, unit, side, label)
    if look.long_hair:
        canvas.ellipse(
            joints["head"] + (joints["neck"] - joints["head"]) * 0.35,
            (0.058 * unit, 0.085 * height),
            0.0,
            look.hair,
            label["head"],
        )
    _torso(canvas, joints, look, unit, label["torso"])
    _head(canvas, joints, look, unit, height, label["head"])
    _arm(canvas, joints, look, unit, "left", label)


def _torso(
    canvas: Canvas, joints: dict[str, np.ndarray], look: Look, unit: float, label: int
) -> None:
    left, right = joints["left shoulder"], joints["right shoulder"]
    hip_left, hip_right = joints["left hip"], joints["right hip"]
    round_ = 0.042 * unit
    corners = [(right, round_), (left, round_), (hip_left, 0.05 * unit), (hip_right, 0.05 * unit)]
    circles = np.concatenate(
        [capsule(point, point + 1e-3, radius, radius) for point, radius in corners]
    )
    outline = cv2.convexHull(circles.astype(np.float32))[:, 0].astype(float)
    across = (left - right) * 0.75
    middle_top = (left + right) / 2 + (joints["neck"] - joints["pelvis"]) * 0.15
    canvas.limb(joints["neck"], joints["head"], 0.026 * unit, 0.026 * unit, look.skin, label)
    canvas.fill(
        outline,
        look.shirt,
        label,
        np.stack([middle_top - across, middle_top + across, joints["pelvis"] * 1.0 - across]),
    )


def _head(
    canvas: Canvas,
    joints: dict[str, np.ndarray],
    look: Look,
    unit: float,
    height: float,
    label: int,
) -> None:
    centre, up = joints["head"], joints["head"] - joints["neck"]
    up = up / max(float(np.hypot(*up)), 1e-3)
    angle = float(np.arctan2(up[0], -up[1]))
    across = np.array([-up[1], up[0]])
    canvas.ellipse(
        centre + up * 0.012 * height, (0.054 * unit, HEAD * height), angle, look.hair, label
    )
    canvas.ellipse(
        centre - up * 0.012 * height, (0.046 * unit, 0.06 * height), angle, look.skin, label
    )
    for side in (-1, 1):
        eye = centre + across * side * 0.017 * unit + up * 0.004 * height
        canvas.ellipse(
            eye, (0.0055 * unit, 0.004 * height), angle, np.array([30.0, 24.0, 22.0]), label
        )
    canvas.ellipse(
        centre - up * 0.04 * height,
        (0.014 * unit, 0.004 * height),
        angle,
        np.array([150.0, 62.0, 62.0]),
        label,
    )


def _arm(
    canvas: Canvas, joints: dict, look: Look, unit: float, side: str, label: dict[str, int]
) -> None:
    shoulder, elbow, wrist = (joints[f"{side} {name}"] for name in ("shoulder", "elbow", "wrist"))
    canvas.limb(shoulder, elbow, 0.034 * unit, 0.027 * unit, look.shirt, label[f"{side} upper arm"])
    sleeve = look.shirt if look.long_sleeves else look.skin
    canvas.limb(elbow, wrist, 0.027 * unit, 0.019 * unit, sleeve, label[f"{side} lower arm"])
    hand = wrist + (wrist - elbow) / LOWER_ARM * 0.028
    canvas.ellipse(hand, (0.022 * unit, 0.022 * unit), 0.0, look.skin, label[f"{side} lower arm"])


def _leg(
    canvas: Canvas, joints: dict, look: Look, unit: float, side: str, label: dict[str, int]
) -> None:
    hip, knee, ankle = (joints[f"{side} {name}"] for name in ("hip", "knee", "ankle"))
    canvas.limb(
        knee,
        ankle,
        0.036 * unit,
        0.024 * unit,
        look.trousers if look.long_trousers else look.skin,
        label[f"{side} lower leg"],
    )
    canvas.limb(hip, knee, 0.052 * unit, 0.037 * unit, look.trousers, label[f"{side} upper leg"])
    toe = ankle + (ankle - knee) / LOWER_LEG * 0.02 + np.array([0.03 * unit, 0.0])
    canvas.limb(ankle, toe, 0.022 * unit, 0.016 * unit, look.shoe, label[f"{side} lower leg"])
