"""Backgrounds: photographs that are free of any licence, clutter, shelves, stages and studios; and
the camera.
"""

from __future__ import annotations

import cv2
import numpy as np

from pdnet.errors import InputError
from pdnet.sample.paint import PATTERNS, Canvas, cloth

MARGIN = 1.3  # the backdrop is larger than the frame by this factor, so that the camera has room
PHOTOS = (
    "coffee",
    "chelsea",
    "rocket",
    "hubble_deep_field",
    "brick",
    "grass",
    "gravel",
)  # CC0 or public domain


def make_backdrop(kind: str, frame: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A still background, (MARGIN * height, MARGIN * width, 3) RGB.

    Args:
        kind: `photo:NAME` (of `PHOTOS`, from scikit-image), `clutter`, `shelves`, `stage` or
            `studio`.
        frame: (height, width) of the frame.
        rng: draws colours and shapes.
    """
    size = (int(frame[0] * MARGIN), int(frame[1] * MARGIN))
    if kind.startswith("photo:"):
        return _photo(kind.removeprefix("photo:"), size, rng)
    painters = {"clutter": _clutter, "shelves": _shelves, "stage": _stage, "studio": _studio}
    if kind not in painters:
        raise InputError(f"backdrop '{kind}' is unknown; known: photo:NAME, {', '.join(painters)}")
    return painters[kind](size, rng)


def _photo(name: str, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    if name not in PHOTOS:
        raise InputError(f"photograph '{name}' is unknown; known: {', '.join(PHOTOS)}")
    import skimage.data

    image = getattr(skimage.data, name)()
    image = np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image[..., :3]
    if rng.random() < 0.5:
        image = image[:, ::-1]
    scale = max(size[0] / image.shape[0], size[1] / image.shape[1])
    image = cv2.resize(
        image,
        (int(image.shape[1] * scale) + 1, int(image.shape[0] * scale) + 1),
        interpolation=cv2.INTER_CUBIC,
    )
    tint = rng.uniform(0.75, 1.15, 3)
    return np.clip(image[: size[0], : size[1]] * tint, 0, 255).astype(np.uint8)


def _gradient(
    size: tuple[int, int], rng: np.random.Generator, low: float, high: float
) -> np.ndarray:
    corners = rng.uniform(low, high, (3, 3, 3)).astype(np.float32)
    return np.clip(cv2.resize(corners, size[::-1], interpolation=cv2.INTER_CUBIC), 0, 255).astype(
        np.uint8
    )


def _clutter(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    canvas = Canvas(_gradient(size, rng, 40, 220))
    unit = size[0]
    for _ in range(45):
        centre = rng.uniform((0, 0), size[::-1])
        paint = cloth(rng.uniform(10, 245, 3), PATTERNS[rng.integers(len(PATTERNS))], rng)
        shape = rng.integers(3)
        if shape == 0:
            half, turn = rng.uniform(0.02, 0.13, 2) * unit, rng.uniform(0, np.pi)
            box = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
            box = (
                box @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
                + centre
            )
            canvas.fill(box, paint, 0, box[[0, 1, 3]])
        elif shape == 1:
            canvas.ellipse(
                centre, tuple(rng.uniform(0.02, 0.1, 2) * unit), rng.uniform(0, np.pi), paint, 0
            )
        else:  # capsules, as limbs are
            end = centre + rng.normal(0, 0.12, 2) * unit
            canvas.limb(centre, end, *(rng.uniform(0.008, 0.035, 2) * unit), paint, 0)
    return canvas.colour


def _shelves(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    canvas = Canvas(_gradient(size, rng, 60, 160))
    rows = int(rng.integers(4, 7))
    for row in range(rows):
        base, x = size[0] * (row + 1) / rows, 0.0
        while x < size[1]:
            width, height = (
                rng.uniform(0.015, 0.06) * size[0],
                rng.uniform(0.35, 0.85) * size[0] / rows,
            )
            box = np.array(
                [[x, base - height], [x + width, base - height], [x + width, base], [x, base]]
            )
            canvas.fill(
                box,
                cloth(rng.uniform(10, 240, 3), PATTERNS[rng.integers(len(PATTERNS))], rng),
                0,
                box[[0, 1, 3]],
            )
            x += width + rng.uniform(0, 0.03) * size[0]
        edge = np.array([[0, base - 6], [size[1], base - 6], [size[1], base + 8], [0, base + 8]])
        canvas.fill(edge, rng.uniform(40, 120, 3), 0)
    return canvas.colour


def _stage(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    canvas = Canvas(_gradient(size, rng, 5, 90))
    for i in range(int(rng.integers(8, 16))):  # curtain and lamps
        x = size[1] * rng.random()
        wide = rng.uniform(0.01, 0.05) * size[1]
        box = np.array([[x, 0], [x + wide, 0], [x + wide, size[0] * 0.8], [x, size[0] * 0.8]])
        canvas.fill(
            box,
            cloth(rng.uniform(20, 150, 3), "bands" if i % 2 else "noise", rng),
            0,
            box[[0, 1, 3]],
        )
    floor = np.array([[0, 0.78], [1, 0.78], [1, 1], [0, 1]]) * size[::-1]
    canvas.fill(floor, cloth(rng.uniform(40, 140, 3), "checks", rng), 0, floor[[0, 1, 3]])
    return canvas.colour


def _studio(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    canvas = Canvas(_gradient(size, rng, 30, 200))
    for _ in range(int(rng.integers(3, 6))):  # screens on the wall
        corner, extent = rng.uniform(0, 0.75, 2) * size[::-1], rng.uniform(0.12, 0.4, 2) * size[0]
        box = corner + np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * extent
        canvas.fill(
            box,
            cloth(rng.uniform(10, 250, 3), PATTERNS[rng.integers(len(PATTERNS))], rng),
            0,
            box[[0, 1, 3]],
        )
    return canvas.colour


def camera_matrix(motion: str, seconds: float, frame: tuple[int, int], phase: float) -> np.ndarray:
    """Affine map (2, 3) from frame to backdrop pixels for a camera: `still`, `hand`, `pan` or
    `zoom`.
    """
    room = np.array(frame[::-1]) * (MARGIN - 1) / 2
    offset, zoom, turn = np.zeros(2), 1.0, 0.0
    if motion == "hand":
        offset = (
            np.array([np.sin(2.1 * seconds + phase), np.sin(2.9 * seconds + 2 * phase)])
            * room
            * 0.18
        )
        turn = 0.012 * np.sin(1.7 * seconds + phase)
    elif motion == "pan":
        offset = np.array([np.sin(0.9 * seconds + phase), 0.1 * np.sin(2 * seconds)]) * room * 0.85
    elif motion == "zoom":
        zoom = 1.0 - 0.12 * (1 + np.sin(0.8 * seconds + phase)) / 2
    elif motion != "still":
        raise InputError(f"camera '{motion}' is unknown; known: still, hand, pan, zoom")
    cos, sin = np.cos(turn) * zoom, np.sin(turn) * zoom
    rotation = np.array([[cos, -sin], [sin, cos]])
    centre = np.array(frame[::-1]) / 2
    shift = centre + room + offset - rotation @ centre
    return np.hstack([rotation, shift[:, None]])


def view(backdrop: np.ndarray, matrix: np.ndarray, frame: tuple[int, int]) -> np.ndarray:
    """The backdrop seen through a camera, (height, width, 3)."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(backdrop, matrix, frame[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT)
