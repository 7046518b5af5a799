"""Reading frames and masks from disk, refusing what is damaged."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from pdnet.errors import InputError

# That a picture may declare: twice an 8K frame (7680 x 4320). A file of a few kilobytes can declare
# what takes all memory to decode.
MOST_PIXELS = 2**26
TAIL = 4096  # bytes at the end that must hold the end marker: some programs write after it
# Pillow knows many more: one starts another program, some warn about damage in lines of code
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
JPEG_END, PNG_END = b"\xff\xd9", b"IEND\xaeB`\x82"
ENDS = {"JPEG": JPEG_END, "MPO": JPEG_END, "PNG": PNG_END}  # by Pillow's names of formats
GREY_PNG = (b"\x89PNG\r\n\x1a\n", b"\x08\x00", PNG_END)  # signature, 8 bits of grey, end

# our own limit is lower and one line; Pillow would print a warning with a line of its code first
Image.MAX_IMAGE_PIXELS = None


def read_frame(path: Path) -> np.ndarray:
    """A frame as (H, W, 3) uint8 RGB.

    Raises:
        InputError: missing, truncated, no image, or of more than `MOST_PIXELS`.
    """
    data = _read_bytes(path)
    # OpenCV decodes half a JPEG without a word and fills the rest with grey
    _header(path, BytesIO(data))
    image = _decoded(data, cv2.IMREAD_COLOR)
    if image is None:
        raise _unreadable(path)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_labels(path: Path) -> np.ndarray:
    """A label PNG as stored, (H, W) uint8, or uint16 where it has 16 bits of grey: palette indices
    stay indices, one bit is 0 or 1, colour images become their brightest channel.

    Raises:
        InputError: missing, truncated, no image, or of more than `MOST_PIXELS`.
    """
    data = _read_bytes(path)
    if (data[:8], data[24:26], data[-8:]) == GREY_PNG and _png_pixels(data) <= MOST_PIXELS:
        labels = _decoded(data, cv2.IMREAD_UNCHANGED)  # twice as fast as Pillow
        if labels is not None:
            return labels
    _header(path, BytesIO(data))
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            labels = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise _unreadable(path) from error
    if labels.ndim == 3:
        # a transparent pixel would else count as a label of 255
        labels = labels[..., :1] if labels.shape[2] == 2 else labels[..., :3]  # without alpha
        labels = labels.max(2)
    return labels.astype(np.uint8) if labels.dtype == bool else labels


def read_mask(path: Path) -> np.ndarray:
    """A mask as (H, W) bool; any non-zero label is foreground."""
    return read_labels(path) > 0


def has_palette(path: Path) -> bool:
    """True where the pixels of a picture are indices of a palette, so no shades of grey.

    Raises:
        InputError: missing or no image.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.mode == "P"
    except (OSError, SyntaxError, ValueError) as error:
        raise _unreadable(path) from error


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header, without decoding.

    Raises:
        InputError: missing, truncated, no image, or of more than `MOST_PIXELS`.
    """
    try:
        with path.open("rb") as stream:
            return _header(path, stream)
    except (OSError, ValueError) as error:
        raise _not_read(path, error) from error


def _header(path: Path, stream: BinaryIO) -> tuple[int, int]:
    """(height, width) that a picture declares, once its end is there and the size is sane."""
    try:
        with Image.open(stream, formats=FORMATS) as image:
            width, height = image.size
            end = ENDS.get(image.format or "", b"")
    except (OSError, SyntaxError, ValueError) as error:
        raise _unreadable(path) from error
    length = stream.seek(0, 2)
    stream.seek(max(0, length - TAIL))
    if end not in stream.read():
        raise InputError(
            f"{path}: truncated {'PNG' if end == PNG_END else 'JPEG'} ({length} bytes, no end "
            "marker); fetch or export it again"
        )
    if height * width > MOST_PIXELS:
        raise InputError(
            f"{path}: declares {width}x{height}, more than {MOST_PIXELS} pixels; make it smaller"
        )
    return height, width


def _png_pixels(data: bytes) -> int:
    """Width times height in a PNG's header."""
    return int.from_bytes(data[16:20]) * int.from_bytes(data[20:24])


def _decoded(data: bytes, how: int) -> np.ndarray | None:
    """What OpenCV makes of an image file, None where it is damaged."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error:  # a size that the header does not tell
        return None


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise _not_read(path, error) from error


def _not_read(path: Path, error: OSError | ValueError) -> InputError:
    """Why a file cannot be opened; a ValueError is a name that no file can have."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: missing file")
    return InputError(f"{path}: cannot be read ({getattr(error, 'strerror', error)})")


def _unreadable(path: Path) -> InputError:
    kinds = ", ".join(FORMATS)
    return InputError(f"{path}: not a readable image ({kinds}); fetch or export it again")
