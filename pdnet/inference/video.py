"""A person's own video: a file or a folder of frames in, masks and an overlay out."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pdnet.base.files import write_image
from pdnet.base.parallel import progress
from pdnet.data.images import read_frame
from pdnet.data.layout import IMAGE_SUFFIXES
from pdnet.data.overlays import overlay_mask
from pdnet.errors import InputError
from pdnet.inference.segment import ClipSegmenter
from pdnet.model import PDNet

FRAME_SUFFIXES = (*IMAGE_SUFFIXES, ".bmp")


def read_video(source: Path) -> tuple[Iterator[tuple[str, np.ndarray]], int | None, Fraction]:
    """Frames of a video file or of a folder, one at a time.

    Returns:
        an iterator of (name, (H, W, 3) uint8 RGB), how many there are if that is known, and frames
        per second.

    Raises:
        InputError: no such input, no frames, or no video.
    """
    if source.is_dir():
        files = sorted(p for p in source.iterdir() if p.suffix.lower() in FRAME_SUFFIXES)
        if not files:
            raise InputError(f"{source}: no frames ({', '.join(FRAME_SUFFIXES)}) in this folder")
        return ((file.stem, read_frame(file)) for file in files), len(files), Fraction(30)
    if not source.is_file():
        raise InputError(f"{source}: no such file or folder")
    try:
        container = av.open(str(source))
        stream = container.streams.video[0]
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{source}: not a readable video ({error})") from error
    return _decoded(source, container), stream.frames or None, stream.average_rate or Fraction(30)


def _decoded(
    source: Path, container: av.container.InputContainer
) -> Iterator[tuple[str, np.ndarray]]:
    with container:
        try:
            for number, frame in enumerate(container.decode(video=0)):
                yield f"{number:05d}", frame.to_ndarray(format="rgb24")
        except av.FFmpegError as error:
            raise InputError(
                f"{source}: damaged after the frames written so far ({error})"
            ) from error


def segment_video(
    source: Path, out: Path, *, network: PDNet, threshold: float = 0.5, overlay: bool = False
) -> int:
    """Writes a mask per frame, with the first frame as reference; memory stays bounded on any
    length.

    Args:
        source: video file or folder of frames.
        out: folder for `<frame>.png` and `overlay.mp4`.
        network: trained, in evaluation mode, on its device.
        threshold: on the probability at native size.
        overlay: also write a video with the masks on the frames.

    Returns:
        the number of frames.
    """
    frames, total, rate = read_video(source)
    segmenter, writer, count = None, None, 0
    # one frame at a time: an hour of film must not be held in memory
    for name, frame in progress(frames, "segment", total=total, unit="frame"):
        if segmenter is None:
            # the first frame is the only reference, so the clip's length need not be known
            segmenter = ClipSegmenter(network, lambda _, first=frame: first, 1)
        mask = segmenter.segment(0, frame).probability > threshold
        write_image(out / f"{name}.png", np.where(mask, 255, 0).astype(np.uint8))
        if overlay:
            writer = writer or _Overlay(out / "overlay.mp4", frame.shape[:2], rate)
            writer.add(overlay_mask(frame, mask))
        count += 1
    if writer is not None:
        writer.close()
    if count == 0:
        raise InputError(f"{source}: no frames in this video")
    return count


class _Overlay:
    """An H.264 video that grows frame by frame."""

    def __init__(self, path: Path, size: tuple[int, int], rate: Fraction) -> None:
        self.container = av.open(str(path), "w")
        self.stream = self.container.add_stream("libx264", rate=rate)
        self.stream.height, self.stream.width = (
            side - side % 2 for side in size
        )  # H.264 wants even sides
        self.stream.pix_fmt = "yuv420p"

    def add(self, picture: np.ndarray) -> None:
        picture = np.ascontiguousarray(picture[: self.stream.height, : self.stream.width])
        for packet in self.stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
            self.container.mux(packet)

    def close(self) -> None:
        for packet in self.stream.encode():
            self.container.mux(packet)
        self.container.close()
