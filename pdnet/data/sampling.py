"""Clip sampling: which frame meets which reference, and the joint augmentation of both (paper,
section 5.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pdnet.data.images import read_frame, read_mask
from pdnet.data.layout import Clip
from pdnet.errors import InputError


@dataclass(frozen=True)
class Augmentation:
    """One draw of crop and flip, the same for target, reference and masks.

    Attributes:
        top, left, height, width: of the crop, shares of the frame.
        flip: mirrored.
    """

    top: float
    left: float
    height: float
    width: float
    flip: bool


def draw_augmentation(rng: np.random.Generator, crop: float) -> Augmentation:
    """Crops away 0 ... `crop` of height and of width at a random offset; flips with probability
    1/2.
    """
    # independent draws: the aspect changes a little too, as in the authors' code
    height, width = 1 - rng.uniform(0, crop, 2)
    return Augmentation(
        rng.uniform(0, 1 - height),
        rng.uniform(0, 1 - width),
        height,
        width,
        bool(rng.random() < 0.5),
    )


def apply(
    image: np.ndarray, augmentation: Augmentation | None, size: tuple[int, int]
) -> np.ndarray:
    """Crop, flip and resize (bilinear, aspect ignored) to `size` (H, W); masks come as float and
    stay soft.
    """
    if augmentation is not None:
        h, w = image.shape[:2]
        top, left = round(augmentation.top * h), round(augmentation.left * w)
        bottom = top + max(1, round(augmentation.height * h))
        right = left + max(1, round(augmentation.width * w))
        image = image[top : min(bottom, h), left : min(right, w)]
        if augmentation.flip:
            image = image[:, ::-1]
    # antialiased when it shrinks, plain bilinear when it enlarges
    how = (
        cv2.INTER_AREA
        if size[0] < image.shape[0] and size[1] < image.shape[1]
        else cv2.INTER_LINEAR
    )
    return cv2.resize(np.ascontiguousarray(image), size[::-1], interpolation=how)


def frame_tensor(
    frame: np.ndarray, size: tuple[int, int], augmentation: Augmentation | None = None
) -> Tensor:
    """(h, w, 3) uint8 RGB -> (3, H, W) float in 0..1."""
    return torch.from_numpy(apply(frame, augmentation, size)).permute(2, 0, 1).float().div_(255)


def mask_tensor(
    mask: np.ndarray, size: tuple[int, int], augmentation: Augmentation | None = None
) -> Tensor:
    """(h, w) bool -> (1, H, W) float in 0..1, soft at the border."""
    return torch.from_numpy(apply(mask.astype(np.float32), augmentation, size))[None]


def _read_pair(image: Path, mask: Path) -> tuple[np.ndarray, np.ndarray]:
    """A picture (h, w, 3) and its mask (h, w), which would else be stretched over each other.

    Raises:
        InputError: damaged, or of two sizes.
    """
    pixels, truth = read_frame(image), read_mask(mask)
    (h, w), (height, width) = truth.shape, pixels.shape[:2]
    if (h, w) != (height, width):
        raise InputError(f"{mask}: mask is {w}x{h}, its frame {width}x{height}; export it again")
    return pixels, truth


class PairDataset(Dataset):
    """Video samples: a target frame and its reference frame with masks.

    Every draw depends on (seed, epoch, index) alone, so a resumed run sees what an uninterrupted
    one sees, whatever the number of workers.

    Args:
        clips: to sample from.
        size: (H, W) of the network's input.
        crop: see `draw_augmentation`; None turns augmentation off.
        reference: `first` annotated frame of the clip (paper) or a `random` other one.
        seed: of the draws.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        *,
        size: tuple[int, int],
        crop: float | None,
        reference: str,
        seed: int,
    ) -> None:
        self.samples: list[tuple[Clip, str]] = []
        for clip in clips:
            self.samples += [(clip, stem) for stem in clip.frames]
        self.size, self.crop, self.reference, self.seed = size, crop, reference, seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        """(epoch, index) -> target, reference (3, H, W) in 0..1; mask, reference_mask (1, H, W)."""
        epoch, index = key
        rng = np.random.default_rng((self.seed, 1, epoch, index))
        clip, stem = self.samples[index]
        other = (
            clip.frames[0]
            if self.reference == "first"
            else clip.frames[rng.integers(len(clip.frames))]
        )
        # one draw for both frames: another crop of the reference would look like motion
        draw = None if self.crop is None else draw_augmentation(rng, self.crop)
        pair = {}
        for name, frame in (("", stem), ("reference_", other)):
            image, mask = _read_pair(clip.frame(frame), clip.mask(frame))
            pair["reference" if name else "target"] = frame_tensor(image, self.size, draw)
            pair[name + "mask"] = mask_tensor(mask, self.size, draw)
        return pair


class ImageDataset(Dataset):
    """Single images of people for the image steps; target and reference are the image itself."""

    def __init__(
        self,
        pairs: Sequence[tuple[Path, Path]],
        *,
        size: tuple[int, int],
        crop: float | None,
        seed: int,
    ) -> None:
        self.pairs, self.size, self.crop, self.seed = pairs, size, crop, seed

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        """(epoch, index) -> target (3, H, W) in 0..1 and mask (1, H, W)."""
        epoch, index = key
        rng = np.random.default_rng((self.seed, 2, epoch, index))
        draw = None if self.crop is None else draw_augmentation(rng, self.crop)
        image, mask = _read_pair(*self.pairs[index])
        return {
            "target": frame_tensor(image, self.size, draw),
            "mask": mask_tensor(mask, self.size, draw),
        }


class EpochSampler:
    """Batches of (epoch, index) keys, epoch after epoch; each epoch's are drawn from (seed, stream,
    epoch) alone.

    One sampler serves a whole training, so that a loader's workers start once. When an epoch wants
    more samples than there are, the next shuffle follows on.

    Args:
        samples: in the data set.
        batch_size: keys per batch.
        steps: batches per epoch.
        epochs: of the training.
        seed, stream: of the draws; video and image samples are two streams.
        start: (epoch, batch) to begin with; a resumed training skips what it has had.
    """

    def __init__(
        self,
        samples: int,
        *,
        batch_size: int,
        steps: int,
        epochs: int,
        seed: int,
        stream: int,
        start: tuple[int, int],
    ) -> None:
        self.samples, self.batch_size, self.steps, self.epochs = samples, batch_size, steps, epochs
        self.seed, self.stream, self.start = seed, stream, start

    def __len__(self) -> int:
        return (self.epochs - self.start[0]) * self.steps - self.start[1]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Yields lists of `batch_size` keys."""
        first, skip = self.start
        for epoch in range(first, self.epochs):
            rng = np.random.default_rng((self.seed, 10 + self.stream, epoch))
            wanted = self.steps * self.batch_size
            # several shuffles one after another, so that no sample comes twice before all came once
            order = np.concatenate(
                [rng.permutation(self.samples) for _ in range(-(-wanted // self.samples))]
            )
            for step in range(skip if epoch == first else 0, self.steps):
                yield [
                    (epoch, int(i))
                    for i in order[step * self.batch_size : (step + 1) * self.batch_size]
                ]
