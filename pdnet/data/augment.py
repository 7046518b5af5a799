"""Augmentation: where a picture lies in the input, and how it looks.

The paper's own is a crop and a flip, the same for target, reference and masks (section 5.1). The
rest, off by default, is what real footage does to pictures: scale, rotation, light, colour, motion
blur, compression, things in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, radians, sin
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from pdnet.config import ModelConfig, TrainConfig
from pdnet.data.fit import image_tensor, resized
from pdnet.data.flow import flow_colours

HUE_SHARE = 0.25  # of the strength of colour changes: hue is the change that people show least
JPEG_QUALITY = (20, 80)  # from a messenger's to a camera's
BLUR_SIDE = 0.03  # longest path of motion blur, a share of the input's short side (8 of 256 pixels)
FOCUS_SIDE = 0.008  # largest sigma of a blur out of focus, likewise (2 of 256 pixels)
CUTOUT_SIDES = (0.1, 0.4)  # of a hidden rectangle, shares of the input's sides


class Picture(NamedTuple):
    """A picture and its truth, of one size.

    Attributes:
        image: (h, w, 3) uint8 RGB.
        mask: (h, w) float32 in 0..1, soft at the border once it was resized.
    """

    image: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Crop:
    """One draw of the paper's crop and flip; what is left fills the input, its aspect lost.

    Attributes:
        top, left, height, width: of the crop, shares of the frame.
        flip: mirrored.
    """

    top: float
    left: float
    height: float
    width: float
    flip: bool

    def linear(self, frame: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        """What it does to a small step (right, down) in a frame of (h, w): a 2x2 matrix."""
        right = size[1] / (self.width * frame[1])
        return np.diag([-right if self.flip else right, size[0] / (self.height * frame[0])])

    def place(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(h, w, ...) -> (H, W, ...)."""
        h, w = image.shape[:2]
        top, left = round(self.top * h), round(self.left * w)
        bottom = top + max(1, round(self.height * h))
        right = left + max(1, round(self.width * w))
        image = image[top : min(bottom, h), left : min(right, w)]
        return resized(image[:, ::-1] if self.flip else image, size)


def draw_crop(rng: np.random.Generator, crop: float) -> Crop:
    """Crops away 0 ... `crop` of height and of width at a random offset; flips with probability
    1/2.
    """
    # independent draws: the aspect changes a little too, as in the authors' code
    height, width = 1 - rng.uniform(0, crop, 2)
    return Crop(
        rng.uniform(0, 1 - height),
        rng.uniform(0, 1 - width),
        height,
        width,
        bool(rng.random() < 0.5),
    )


@dataclass(frozen=True)
class Warp:
    """One draw of scale, place, rotation and flip. What lies beyond the picture is its mirror
    image, truth included.

    Attributes:
        keep_aspect: the picture covers the input (short side to short side) and is not squeezed.
        height, width: factors on the picture's size in the input.
        down, right: where the input lies on what is larger, or the other way round, in 0..1.
        rotation: in degrees.
        flip: mirrored.
    """

    keep_aspect: bool
    height: float
    width: float
    down: float
    right: float
    rotation: float
    flip: bool

    def linear(self, frame: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        """See `Crop.linear`."""
        height, width = self._inner(frame, size)
        right = width / frame[1]
        grown = np.diag([-right if self.flip else right, height / frame[0]])
        return _about_centre(self.rotation, size)[:2, :2] @ grown

    def _inner(self, frame: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
        """The picture's (height, width) in the input."""
        (h, w), (height, width) = frame, size
        fit = [height / h, width / w]
        if self.keep_aspect:
            fit = [max(fit)] * 2
        return max(1, round(h * fit[0] * self.height)), max(1, round(w * fit[1] * self.width))

    def place(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(h, w, ...) -> (H, W, ...)."""
        height, width = size
        inner = self._inner(image.shape[:2], size)
        # resized first: antialiased where it shrinks, which a warp is not
        image = resized(image[:, ::-1] if self.flip else image, inner)
        move = (self.right * (width - inner[1]), self.down * (height - inner[0]))
        matrix = _about_centre(self.rotation, size) @ np.array(
            [[1, 0, move[0]], [0, 1, move[1]], [0, 0, 1]]
        )
        how = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REFLECT_101}
        return cv2.warpAffine(image, matrix[:2], size[::-1], **how)


def _about_centre(degrees: float, size: tuple[int, int]) -> np.ndarray:
    """A rotation about the centre of (H, W) pixels, 3x3, for (x, y)."""
    c, s = cos(radians(degrees)), sin(radians(degrees))
    x, y = (size[1] - 1) / 2, (size[0] - 1) / 2
    return np.array([[c, -s, x - c * x + s * y], [s, c, y - s * x - c * y], [0, 0, 1]])


Geometry = Crop | Warp


@dataclass(frozen=True)
class Tone:
    """One draw of light, colour and compression: a camera's, so the same for target and reference.

    Attributes:
        brightness, contrast, saturation: factors.
        hue: turn, in whole circles.
        quality: of a JPEG, or None.
    """

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    quality: int | None = None

    def apply(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> the same, looking otherwise."""
        if self == Tone():
            return image
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
        pixels = transform.adjust_brightness(pixels, self.brightness)
        pixels = transform.adjust_contrast(pixels, self.contrast)
        pixels = transform.adjust_saturation(pixels, self.saturation)
        pixels = transform.adjust_hue(pixels, self.hue)
        if self.quality is not None:
            pixels = transform.jpeg(pixels, self.quality)
        return pixels.permute(1, 2, 0).numpy()


class Augmenter:
    """Draws augmentations and applies them; all draws come from the generator that is given.

    Args:
        train: which, and how strong.
        model: the input's size, and how frames fit into it.
    """

    def __init__(self, train: TrainConfig, model: ModelConfig) -> None:
        self.train, self.size = train, model.input_size
        self.keep_aspect = model.fit == "aspect"

    def geometry(self, rng: np.random.Generator) -> Geometry:
        """A draw of where pictures lie."""
        train = self.train
        crop = draw_crop(rng, train.crop)
        if not (self.keep_aspect or train.zoom or train.rotation):
            return crop
        zoom = (1 + train.zoom) ** rng.uniform(-1, 1)
        down, right = rng.random(2)
        turn = rng.uniform(-train.rotation, train.rotation)
        # the crop's own draws: they change the aspect a little here too
        sides = (zoom / crop.height, zoom / crop.width)
        return Warp(self.keep_aspect, *sides, down, right, turn, crop.flip)

    def placed(self, picture: Picture, geometry: Geometry) -> Picture:
        """A picture in the input: (H, W, 3) and (H, W)."""
        return Picture(*(geometry.place(array, self.size) for array in picture))

    def placed_steps(self, steps: np.ndarray, geometry: Geometry) -> Tensor:
        """Steps (h, w, 2) of what a frame shows, where `placed` puts the frame -> (2, H, W) in
        pixels of the input.
        """
        placed = np.ascontiguousarray(self._turned(steps, geometry))
        return torch.from_numpy(placed).permute(2, 0, 1)

    def placed_shares(self, maps: np.ndarray, geometry: Geometry) -> Tensor:
        """Maps (h, w, n) of a frame in 0..1, where `placed` puts the frame -> (n, H, W)."""
        # one by one: a warp takes four channels at most
        placed = [geometry.place(one, self.size) for one in np.moveaxis(maps, 2, 0)]
        return torch.from_numpy(np.stack(placed))

    def placed_flow(self, flow: np.ndarray, geometry: Geometry) -> Tensor:
        """Optical flow (h, w, 2) of a frame, where `placed` puts the frame -> its colours (3, H, W)
        in 0..1.
        """
        return image_tensor(flow_colours(self._turned(flow, geometry)))

    def _turned(self, steps: np.ndarray, geometry: Geometry) -> np.ndarray:
        """Steps (h, w, 2) in the input, (H, W, 2): a mirrored or turned frame moves in a mirrored
        or turned direction.
        """
        linear = geometry.linear(steps.shape[:2], self.size).astype(np.float32)
        return geometry.place(steps, self.size) @ linear.T

    def finished(
        self, rng: np.random.Generator, pictures: Sequence[Picture]
    ) -> list[tuple[Tensor, Tensor]]:
        """Placed pictures of one camera -> images (3, H, W) and masks (1, H, W), in 0..1, with one
        look and each with its own blur and its own thing in front.
        """
        tone = self._tone(rng)
        tensors = []
        for picture in pictures:
            image, mask = self._cut(rng, picture)
            image = tone.apply(self._blurred(rng, image))
            tensors.append((image_tensor(image), torch.from_numpy(mask)[None]))
        return tensors

    def _tone(self, rng: np.random.Generator) -> Tone:
        strength, quality = self.train.colour, None
        if self.train.jpeg and rng.random() < self.train.jpeg:
            quality = int(rng.integers(JPEG_QUALITY[0], JPEG_QUALITY[1] + 1))
        if not strength:
            return Tone(quality=quality)
        factors = rng.uniform(1 - strength, 1 + strength, 3)
        return Tone(*factors, HUE_SHARE * strength * rng.uniform(-1, 1), quality)

    def _blurred(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        """Moved, or out of focus."""
        if not self.train.blur or rng.random() >= self.train.blur:
            return image
        side, amount, turn = min(self.size), rng.random(), rng.uniform(0, 180)
        if rng.random() < 0.5:
            return cv2.GaussianBlur(image, (0, 0), 0.3 + amount * FOCUS_SIDE * side)
        return cv2.filter2D(image, -1, _path(3 + amount * BLUR_SIDE * side, turn))

    def _cut(self, rng: np.random.Generator, picture: Picture) -> Picture:
        """Something of one colour before the picture: who is behind it is not seen."""
        if not self.train.cutout or rng.random() >= self.train.cutout:
            return picture
        height, width = (np.array(self.size) * rng.uniform(*CUTOUT_SIDES, 2)).astype(int)
        top, left = rng.integers(self.size[0] - height + 1), rng.integers(self.size[1] - width + 1)
        image, mask = picture.image.copy(), picture.mask.copy()
        image[top : top + height, left : left + width] = rng.integers(0, 256, 3)
        mask[top : top + height, left : left + width] = 0
        return Picture(image, mask)


def _path(length: float, degrees: float) -> np.ndarray:
    """The kernel of a straight motion, `length` pixels long."""
    side = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    middle = side // 2
    reach = np.array([cos(radians(degrees)), sin(radians(degrees))]) * length / 2
    ends = [tuple(int(v) for v in np.round(middle + sign * reach)) for sign in (-1, 1)]
    cv2.line(kernel, *ends, 1.0)
    return kernel / kernel.sum()
