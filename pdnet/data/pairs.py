"""Pairs of a target and a reference made from single photographs, as space-time memory networks are
first trained (Oh et al., ICCV 2019): a photograph shows what people look like, a pair also that the
person of the reference is the one to find.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pdnet.data.augment import Augmenter, Geometry, Picture, Warp

# between a target and its reference, a few seconds apart: how far the camera moves, in shares of
# what is free to move over, and by which factor it comes nearer
CAMERA_MOVES, CAMERA_NEARS = 0.15, 1.05


def warped_pair(
    rng: np.random.Generator, augmenter: Augmenter, picture: Picture
) -> tuple[Picture, Picture]:
    """Target and reference: two warps of one photograph, both (H, W)."""
    first, second = augmenter.geometry(rng), augmenter.geometry(rng)
    return augmenter.placed(picture, first), augmenter.placed(picture, second)


def pasted_pair(
    rng: np.random.Generator, augmenter: Augmenter, person: Picture, background: Picture
) -> tuple[Picture, Picture]:
    """Target and reference: the people of one photograph, moved, before another one, whose own
    people stay people, and whose camera moves a little.
    """
    behind = augmenter.geometry(rng)
    moved = _camera_moved(rng, behind)
    pictures = []
    for view in (behind, moved):
        before = augmenter.placed(person, augmenter.geometry(rng))
        pictures.append(_over(before, augmenter.placed(background, view)))
    return pictures[0], pictures[1]


def _camera_moved(rng: np.random.Generator, geometry: Geometry) -> Geometry:
    if not isinstance(geometry, Warp):
        return geometry
    down, right = np.clip(
        np.array([geometry.down, geometry.right]) + rng.uniform(-CAMERA_MOVES, CAMERA_MOVES, 2),
        0,
        1,
    )
    nearer = CAMERA_NEARS ** rng.uniform(-1, 1)
    sides = {"height": geometry.height * nearer, "width": geometry.width * nearer}
    return replace(geometry, down=down, right=right, **sides)


def _over(front: Picture, back: Picture) -> Picture:
    """The people of `front` before `back`; the soft border of their mask is their transparency."""
    share = front.mask[..., None]
    image = share * front.image + (1 - share) * back.image
    return Picture(np.rint(image).astype(np.uint8), front.mask + (1 - front.mask) * back.mask)
