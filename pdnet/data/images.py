"""Reading frames and masks from disk, refusing what is damaged."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from pdnet.errors import InputError

JPEG_END = b"\xff\xd9"
GREY_PNG = (
    b"\x89PNG\r\n\x1a\n",
    b"\x08\x00",
    b"IEND\xaeB`\x82",
)  # signature, 8 bits of grey (bytes 24, 25), end


def read_frame(path: Path) -> np.ndarray:
    """A frame as (H, W, 3) uint8 RGB.

    Raises:
        InputError: missing, truncated or no image.
    """
    data = _read_bytes(path)
    # OpenCV decodes half a JPEG without a word and fills the rest with grey
    if data[:2] == b"\xff\xd8" and JPEG_END not in data[-4096:]:
        raise InputError(
            f"{path}: truncated JPEG ({len(data)} bytes, no end marker); fetch or export it again"
        )
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise InputError(f"{path}: not a readable image; fetch or export it again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_labels(path: Path) -> np.ndarray:
    """A label PNG as stored, (H, W) uint8: palette indices stay indices, colour images become their
    brightest channel.

    Raises:
        InputError: missing, truncated or no image.
    """
    data = _read_bytes(path)
    if (data[:8], data[24:26], data[-8:]) == GREY_PNG:
        labels = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED
        )  # twice as fast as Pillow
        if labels is not None:
            return labels
    try:
        with Image.open(BytesIO(data)) as image:
            labels = np.asarray(image)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"{path}: not a readable image ({error}); fetch or export it again"
        ) from error
    if labels.ndim == 3:
        # a transparent pixel would else count as a label of 255
        labels = labels[..., :1] if labels.shape[2] == 2 else labels[..., :3]  # without alpha
        labels = labels.max(2)
    return labels.astype(np.uint8) if labels.dtype == bool else labels


def read_mask(path: Path) -> np.ndarray:
    """A mask as (H, W) bool; any non-zero label is foreground."""
    return read_labels(path) > 0


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header, without decoding.

    Raises:
        InputError: missing, truncated JPEG, or no image.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            jpeg = image.format == "JPEG"
    except FileNotFoundError as error:
        raise InputError(f"{path}: missing file") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: not a readable image; fetch or export it again") from error
    if jpeg and JPEG_END not in _tail(path):
        raise InputError(f"{path}: truncated JPEG; fetch or export it again")
    return height, width


def _tail(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - 4096))
        return stream.read()


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: missing file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
