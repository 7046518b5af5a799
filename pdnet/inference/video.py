"""A person's own video: a file or a folder of frames in, masks and an overlay out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np

from pdnet.base.files import temporary_name, write_image
from pdnet.base.lock import only_writer
from pdnet.base.parallel import behind, progress
from pdnet.data.images import read_frame
from pdnet.data.layout import IMAGE_SUFFIXES, images_by_stem, twins
from pdnet.data.overlays import overlay_mask
from pdnet.errors import InputError
from pdnet.inference.mask_folder import OVERLAY, MaskFolder
from pdnet.inference.near import Begin, film_masks
from pdnet.inference.stills import careful_mask
from pdnet.model import PDNet

FRAME_SUFFIXES = (*IMAGE_SUFFIXES, ".bmp")
DEFAULT_RATE = Fraction(30)  # frames a second, where the input does not say
TEXT_CODECS = ("ansi", "bintext", "idf", "xbin")  # FFmpeg would paint a text file as a video


@dataclass(frozen=True)
class Video:
    """An input that is read frame by frame.

    Attributes:
        frames: (name, (H, W, 3) uint8 RGB), once.
        names: of all frames; None for a file, whose frames are numbered.
        announced: how many frames the input says it has; None where it does not.
        rate: frames a second.
    """

    frames: Iterator[tuple[str, np.ndarray]]
    names: tuple[str, ...] | None
    announced: int | None
    rate: Fraction


def read_video(source: Path) -> Video:
    """Opens a video file or a folder of frames, in the order of the numbers in their names.

    Raises:
        InputError: no such input, no frames, two of one name, or no video.
    """
    if source.is_dir():
        images = images_by_stem(source, FRAME_SUFFIXES)
        if not images:
            raise InputError(f"{source}: no frames ({', '.join(FRAME_SUFFIXES)}) in this folder")
        if found := twins(images):
            raise InputError(found[0])
        names = tuple(sorted(images, key=_natural))
        frames = ((name, read_frame(images[name][0])) for name in names)
        return Video(frames, names, len(names), DEFAULT_RATE)
    if not source.is_file():
        raise InputError(f"{source}: no such file or folder")
    try:
        # absolute: FFmpeg takes what stands before a colon for a protocol
        # a title in another encoding says nothing about the frames
        container = av.open(str(source.absolute()), metadata_errors="replace")
    except av.FFmpegError as error:
        raise InputError(f"{source}: not a readable video ({error.strerror})") from error
    streams = container.streams.video
    # a stream without a context is one that FFmpeg has no decoder for
    decoder = streams[0].codec_context if streams else None
    if decoder is None or decoder.name in TEXT_CODECS:
        container.close()
        raise InputError(f"{source}: holds no video; give a video file or a folder of frames")
    rate = streams[0].average_rate or DEFAULT_RATE
    return Video(_decoded(source, container), None, streams[0].frames or None, rate)


def _natural(name: str) -> tuple[list[str | int], str]:
    """Sorts `frame_2` before `frame_10`."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def _decoded(
    source: Path, container: av.container.InputContainer
) -> Iterator[tuple[str, np.ndarray]]:
    number = 0
    with container:
        try:
            for number, frame in enumerate(container.decode(video=0), 1):
                yield f"{number - 1:05d}", frame.to_ndarray(format="rgb24")
        except av.FFmpegError as error:
            raise InputError(
                f"{source}: damaged after {number} frames ({error.strerror}); the masks so far "
                "stay, fetch or export the video again for the others"
            ) from error


def segment_video(
    source: Path,
    out: Path,
    *,
    network: PDNet,
    threshold: float = 0.5,
    people: str = "all",
    look: str = "whole",
    stills: bool = False,
    overlay: bool = False,
) -> tuple[int, int | None]:
    """Writes a mask per frame, with the first frame as reference; memory stays bounded on any
    length.

    What an earlier run wrote into `out` is removed once the first frame is read; nothing else is.

    Args:
        source: video file or folder of frames.
        out: folder for `<frame>.png` and `overlay.mp4`, apart from the input.
        network: trained, in evaluation mode, on its device.
        threshold: in 0..1, on the probability at native size.
        people: whose masks, see `inference.people.Cutter`.
        look: at each whole frame or from near, see `inference.near`.
        stills: the input is no film: `inference.stills.careful_mask` of each picture, in which
            `people` and `look` have no say.
        overlay: also write a video with the masks on the frames.

    Returns:
        the number of frames, and how many the input announces (None where it does not).

    Raises:
        InputError: no such `threshold`, `people` or `look`; an input that cannot be read; `out`
            overlaps it, is in use, or holds files that are no earlier run's. Nothing is written
            then, but the masks before a damaged frame.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"--threshold {threshold}: expected a probability in 0..1")
    still = partial(careful_mask, network, threshold=threshold)
    in_film = film_masks(network, threshold=threshold, people=people, look=look)
    begin = (lambda _: still) if stills else in_film
    _refuse_overlap(source, out)
    video = read_video(source)
    film = _overlay(out / OVERLAY, video.rate) if overlay else nullcontext()
    count = 0
    with (
        only_writer(out),
        MaskFolder(out, overlay, video.names) as record,
        behind() as call,
        film as add,
    ):
        # one frame at a time: an hour of film must not be held in memory
        steps = progress(video.frames, "segment", total=video.announced, unit="frame")
        for name, frame, mask in _masks(steps, begin):
            if add is not None:
                # first, so that a size that H.264 does not have is refused before a mask is written
                add(overlay_mask(frame, mask))
            record.announce(name)
            call(write_image, out / f"{name}.png", mask.astype(np.uint8) * 255)
            count += 1
        if count == 0:
            raise InputError(f"{source}: no frames in this video")
    return count, video.announced


def _masks(
    frames: Iterator[tuple[str, np.ndarray]], begin: Begin
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Every frame's name, picture and (H, W) bool mask."""
    mask_of = None
    for name, frame in frames:
        mask_of = mask_of or begin(frame)
        yield name, frame, mask_of(frame)


def _refuse_overlap(source: Path, out: Path) -> None:
    # `Path.resolve` raises on a loop of links
    given, target = (Path(os.path.realpath(path)) for path in (source, out))
    if given.is_relative_to(target) or target.is_relative_to(given):
        raise InputError(
            f"{out}: overlaps the input {source}, whose frames masks might overwrite; give another "
            "--out"
        )


@contextmanager
def _overlay(path: Path, rate: Fraction) -> Iterator[Callable[[np.ndarray], None]]:
    """Opens an H.264 video that grows by each (H, W, 3) uint8 RGB that the function is given, and
    has its name once it is whole.
    """
    # as `write_atomically` does, but the block in between is long and its errors are not the file's
    temporary = temporary_name(path)
    try:
        with av.open(str(temporary.absolute()), "w") as container:
            stream = container.add_stream("libx264", rate=rate)
            stream.pix_fmt = "yuv420p"

            def add(picture: np.ndarray) -> None:
                if not stream.codec_context.is_open:
                    _set_size(stream, picture)
                picture = np.ascontiguousarray(picture[: stream.height, : stream.width])
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                container.mux(stream.encode(frame))

            yield add
            container.mux(stream.encode())
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except av.FFmpegError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _set_size(stream: av.VideoStream, picture: np.ndarray) -> None:
    height, width = picture.shape[:2]
    if min(height, width) < 2:
        raise InputError(
            f"frames of {width}x{height}: an overlay wants two pixels a side; leave --overlay out"
        )
    # H.264 wants even sides
    stream.height, stream.width = height - height % 2, width - width % 2
