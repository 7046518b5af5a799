"""One frame or mask at the working size: short side given, aspect kept, masks binary.

It stands alone, without the parameters' module, so that a manifest's recipes change with what is
done to a picture and with nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pdnet.base.files import link, write_image
from pdnet.data.images import image_size, read_frame, read_labels
from pdnet.data.layout import JPEG_SUFFIXES
from pdnet.errors import InputError


@dataclass(frozen=True)
class Conversion:
    """One file to resize or link.

    Attributes:
        kind: `frame`, `mask` (0/255) or `labels` (values kept).
        short_side: in pixels.
        quality: of the JPEGs, per cent.
        like: for masks, the frame whose size they must have.
    """

    source: Path
    target: str
    kind: str
    short_side: int
    quality: int
    like: Path | None = None


def resized(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """(height, width) with the short side at `short_side` and the aspect kept (rounded to whole
    pixels).

    854x480 from 1280x720 rounds up as DAVIS does.
    """
    scale = short_side / min(size)
    return tuple(short_side if side == min(size) else int(np.ceil(side * scale)) for side in size)


def convert(root: Path, job: Conversion) -> None:
    """Writes `job.target` below `root`; what has the size and kind already becomes a link.

    Raises:
        InputError: the source is damaged, or a mask has another size than its frame.
    """
    if job.kind == "frame":
        _convert_frame(root, job)
    elif job.kind == "labels":
        labels = read_labels(job.source)
        write_image(root / job.target, _scaled(labels, job.short_side, cv2.INTER_NEAREST_EXACT))
    else:
        _convert_mask(root, job)


def _convert_frame(root: Path, job: Conversion) -> None:
    # read in either case: what cannot be decoded is refused here, not in the middle of a training
    frame = read_frame(job.source)
    fits = resized(frame.shape[:2], job.short_side) == frame.shape[:2]
    if fits and job.source.suffix.lower() in JPEG_SUFFIXES:
        link(job.source, root / job.target)
        return
    scaled = _scaled(frame, job.short_side, cv2.INTER_AREA)
    write_image(root / job.target, scaled, jpeg_quality=job.quality)


def _convert_mask(root: Path, job: Conversion) -> None:
    labels = read_labels(job.source)
    expected = image_size(job.like)
    if labels.shape != expected:
        raise InputError(
            f"{job.source}: mask is {labels.shape[::-1]}, its frame {expected[::-1]} (width, "
            "height)"
        )
    binary = np.where(labels > 0, 255, 0).astype(np.uint8)
    if resized(labels.shape, job.short_side) == labels.shape and np.array_equal(binary, labels):
        link(job.source, root / job.target)
        return
    # by area and a threshold at one half: aligned with the INTER_AREA frame to a fraction of a
    # pixel
    area = _scaled(binary, job.short_side, cv2.INTER_AREA)
    write_image(root / job.target, np.where(area >= 128, 255, 0).astype(np.uint8))


def _scaled(image: np.ndarray, short_side: int, how: int) -> np.ndarray:
    height, width = resized(image.shape[:2], short_side)
    if (height, width) == image.shape[:2]:
        return image
    # area averaging enlarges by repeating pixels
    if min(height, width) > min(image.shape[:2]) and how == cv2.INTER_AREA:
        how = cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=how)
