"""Pictures from disk: what a file holds is what is read, and one line for what is damaged."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pdnet.data.images import image_size, read_frame, read_labels
from pdnet.errors import InputError
from tests.helpers import save_image

READERS = (read_frame, read_labels, image_size)
NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def png(width: int, height: int, colour: int = 0) -> bytes:
    """A PNG of a few bytes that declares a size; colour 0 is grey, 2 RGB, 3 a palette."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(6)) if colour == 3 else b""
    body = chunk(b"IHDR", header) + palette + chunk(b"IDAT", zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    """A small JPEG whose frame header declares another size."""
    data = bytearray(cv2.imencode(".jpg", NOISE)[1].tobytes())
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png(20000, 20000), id="grey"),
        pytest.param(png(20000, 20000, 2), id="RGB"),
        pytest.param(png(20000, 20000, 3), id="palette"),
        pytest.param(png(11000, 11000), id="where Pillow only warns"),
        pytest.param(jpeg(60000, 60000), id="JPEG"),
    ],
)
def test_a_picture_that_declares_too_many_pixels_is_refused_in_one_line(
    tmp_path, recwarn, read, data
):
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(
        InputError, match=r"bomb.png: declares (20|11|60)000x\d+, more than"
    ) as error:
        read(tmp_path / "bomb.png")
    assert "\n" not in str(error.value) and not recwarn.list


def test_an_8k_frame_is_not_too_large(tmp_path):
    (tmp_path / "8k.png").write_bytes(png(7680, 4320))
    assert image_size(tmp_path / "8k.png") == (4320, 7680)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_picture_whose_end_is_missing_is_refused_even_where_only_its_header_is_read(
    tmp_path, read, suffix
):
    file = save_image(tmp_path / f"cut{suffix}", NOISE)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"cut\.\w+: truncated (PNG|JPEG) \(\d+ bytes"):
        read(file)


def rubbish(path: Path) -> None:
    path.write_bytes(b"rubbish")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def links_in_a_loop(path: Path) -> None:
    path.symlink_to(path.with_name("other.png"))
    path.with_name("other.png").symlink_to(path)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (Path.mkdir, "cannot be read"),
        (rubbish, "not a readable image"),
        (empty, "not a readable image"),
        (links_in_a_loop, "cannot be read"),
        (lambda path: None, "missing file"),
    ],
)
def test_what_is_no_picture_is_one_line_that_names_the_file(tmp_path, read, make, says):
    make(tmp_path / "x.png")
    with pytest.raises(InputError, match=says) as error:
        read(tmp_path / "x.png")
    text = str(error.value)
    assert text.startswith(f"{tmp_path}/x.png: ") and "\n" not in text and "object at" not in text


@pytest.mark.parametrize("read", READERS)
def test_a_name_that_no_file_can_have_is_one_line(read):
    with pytest.raises(InputError, match="cannot be read"):
        read(Path("a\0b.png"))


@pytest.mark.parametrize(
    ("mode", "dtype"),
    [("1", np.uint8), ("L", np.uint8), ("LA", np.uint8), ("P", np.uint8), ("I;16", np.uint16)],
)
def test_labels_are_read_as_they_are_stored(tmp_path, mode, dtype):
    stored = np.array([[0, 1], [1, 0]], dtype)
    picture = Image.fromarray(stored.astype(bool) if mode == "1" else stored)
    if mode == "LA":
        picture = Image.merge("LA", [picture, Image.new("L", (2, 2), 255)])
    if mode == "P":
        picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.save(tmp_path / "labels.png")
    labels = read_labels(tmp_path / "labels.png")
    assert labels.dtype == dtype and np.array_equal(labels, stored)


def test_a_format_that_no_frame_or_mask_comes_in_is_refused(tmp_path):
    # 32 bits a pixel, which no PNG has: a share of what would be cut at a threshold?
    Image.fromarray(np.full((4, 4), 0.7, np.float32)).save(tmp_path / "x.png", "TIFF")
    with pytest.raises(InputError, match="not a readable image"):
        read_labels(tmp_path / "x.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP"])
def test_flipped_bytes_never_end_in_another_error_or_a_warning(tmp_path, recwarn, kind):
    rng, file = np.random.default_rng(1), tmp_path / "x.png"
    Image.fromarray(NOISE).save(file, kind)
    sound = file.read_bytes()
    for _ in range(100):
        data = bytearray(sound)
        # half of them in the header, where sizes and types stand
        for place in rng.integers(0, rng.choice([60, len(data)]), 3):
            data[place] = rng.integers(256)
        file.write_bytes(data)
        for read in READERS:
            try:
                read(file)
            except InputError as error:
                assert "\n" not in str(error)
    assert not recwarn.list
