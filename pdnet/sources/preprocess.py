"""The working copy: every frame and mask with its short side at 480 pixels, binary masks, one
layout.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pdnet.base.files import link, write_image, write_text
from pdnet.base.parallel import each
from pdnet.config import PreprocessConfig
from pdnet.data.images import image_size, read_frame, read_labels
from pdnet.data.layout import (
    IMAGE_SUFFIXES,
    JPEG_SUFFIXES,
    SETS,
    Clip,
    check,
    image_pairs,
    read_list,
    read_tree,
)
from pdnet.errors import InputError


@dataclass(frozen=True)
class Conversion:
    """One file to resize or link.

    Attributes:
        kind: `frame`, `mask` (0/255) or `labels` (values kept).
        like: for masks, the frame whose size they must have.
    """

    source: Path
    target: Path
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


def preprocess(raw: Path, out: Path, config: PreprocessConfig, workers: int = 0) -> int:
    """Writes the working copy of a tree; files that are done are left as they are.

    Returns:
        how many files were considered.

    Raises:
        InputError: the tree is broken (all problems listed), before anything is written; or a
            file is damaged.
    """
    tree = read_tree(raw)
    check(tree)
    pairs = image_pairs(raw)
    jobs: list[Conversion] = []
    for clip in tree.every_clip():
        jobs += _clip_jobs(clip, out, config)
    for image, mask in pairs:
        folder = out / "Images" / image.parent.parent.name
        jobs.append(_job(image, folder / "img" / f"{image.stem}.jpg", "frame", config))
        jobs.append(_job(mask, folder / "mask" / f"{image.stem}.png", "mask", config, like=image))
    _start_anew_if_other(out, config)
    chunks = [jobs[i : i + 16] for i in range(0, len(jobs), 16)]
    each(_run, chunks, f"resize to {config.short_side}p", workers=workers, unit="16 files")
    _remove_others(out, {job.target for job in jobs})
    for name in SETS:
        write_text(
            out / "ImageSets" / f"{name}.txt", "".join(line + "\n" for line in read_list(raw, name))
        )
    return len(jobs)


def _start_anew_if_other(out: Path, config: PreprocessConfig) -> None:
    """Clears what other parameters made; the same ones go on where they stopped."""
    text = config.model_dump_json() + "\n"
    marker = out / "preprocess.json"
    made_alike = marker.is_file() and marker.read_text() == text
    if out.is_dir() and not made_alike:
        shutil.rmtree(out)
    write_text(marker, text)


def _job(
    source: Path, target: Path, kind: str, config: PreprocessConfig, like: Path | None = None
) -> Conversion:
    return Conversion(source, target, kind, config.short_side, config.jpeg_quality, like)


def _clip_jobs(clip: Clip, out: Path, config: PreprocessConfig) -> list[Conversion]:
    jobs = []
    for stem in clip.frames:
        jobs.append(
            _job(
                clip.frame(stem),
                out / "Keyframes" / "480p" / clip.name / f"{stem}.jpg",
                "frame",
                config,
            )
        )
        mask = out / "Annotations" / "480p" / clip.name / f"{stem}.png"
        jobs.append(_job(clip.mask(stem), mask, "mask", config, like=clip.frame(stem)))
    for folder, kind, suffix in (("Frames", "frame", ".jpg"), ("Parts", "labels", ".png")):
        source = clip.root / folder / "480p" / clip.name
        for file in sorted(source.iterdir()) if source.is_dir() else []:
            if file.suffix.lower() in IMAGE_SUFFIXES:
                target = out / folder / "480p" / clip.name / (file.stem + suffix)
                jobs.append(_job(file, target, kind, config))
    return jobs


def _run(jobs: list[Conversion]) -> None:
    for job in jobs:
        if not _done(job):
            _convert(job)


def _done(job: Conversion) -> bool:
    """True where the target is newer than its source and has the size that is wanted."""
    try:
        # older than its source: the source changed after it was made
        if job.target.stat().st_mtime_ns < job.source.stat().st_mtime_ns:
            return False
        return image_size(job.target) == resized(image_size(job.like or job.source), job.short_side)
    except (OSError, InputError):
        return False


def _convert(job: Conversion) -> None:
    if job.kind == "frame":
        size = image_size(job.source)
        if resized(size, job.short_side) == size and job.source.suffix.lower() in JPEG_SUFFIXES:
            link(job.source, job.target)
            return
        frame = read_frame(job.source)
        write_image(
            job.target, _scaled(frame, job.short_side, cv2.INTER_AREA), jpeg_quality=job.quality
        )
        return
    labels = read_labels(job.source)
    if job.kind == "labels":
        write_image(job.target, _scaled(labels, job.short_side, cv2.INTER_NEAREST_EXACT))
        return
    expected = image_size(job.like)
    if labels.shape != expected:
        raise InputError(
            f"{job.source}: mask is {labels.shape[::-1]}, its frame {expected[::-1]} (width, "
            "height)"
        )
    binary = np.where(labels > 0, 255, 0).astype(np.uint8)
    if resized(labels.shape, job.short_side) == labels.shape and np.array_equal(binary, labels):
        link(job.source, job.target)
        return
    # by area and a threshold at one half: aligned with the INTER_AREA frame to a fraction of a
    # pixel
    area = _scaled(binary, job.short_side, cv2.INTER_AREA)
    write_image(job.target, np.where(area >= 128, 255, 0).astype(np.uint8))


def _scaled(image: np.ndarray, short_side: int, how: int) -> np.ndarray:
    height, width = resized(image.shape[:2], short_side)
    if (height, width) == image.shape[:2]:
        return image
    # area averaging enlarges by repeating pixels
    if min(height, width) > min(image.shape[:2]) and how == cv2.INTER_AREA:
        how = cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=how)


def _remove_others(out: Path, wanted: set[Path]) -> None:
    """Removes what an earlier source left, so that the tree is the same however it came about."""
    for folder in ("Keyframes", "Annotations", "Frames", "Parts", "Images"):
        for file in (
            sorted((out / folder).rglob("*"), reverse=True) if (out / folder).is_dir() else []
        ):
            if file.is_dir() and not file.is_symlink():
                if not any(file.iterdir()):
                    file.rmdir()
            elif file not in wanted:
                file.unlink()
