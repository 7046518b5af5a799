"""The working copy: every frame and mask with its short side at 480 pixels, binary masks, one
layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import PIL

from pdnet.base.imports import code_hash
from pdnet.base.manifest import Brought, Hashes, Unit, bring, link_unit, recipe, text_unit, vouch
from pdnet.config import PreprocessConfig
from pdnet.data.layout import IMAGE_SUFFIXES, SETS, Clip, check, image_pairs, read_tree
from pdnet.data.lists import read_list
from pdnet.sources.convert import Conversion, convert


def preprocess(raw: Path, out: Path, config: PreprocessConfig, workers: int = 0) -> Brought:
    """Makes `out` the working copy of a tree; files that are right already are left as they are.

    Raises:
        InputError: the tree is broken (all problems listed) or not what its manifest says, before
            anything is written; a file is damaged; or what `bring` refuses.
    """
    vouch(raw)
    tree = read_tree(raw)
    check(tree)
    jobs: list[Conversion] = []
    for clip in tree.every_clip():
        jobs += _clip_jobs(clip, config)
    for image, mask in image_pairs(raw):
        folder = f"Images/{image.parent.parent.name}"
        jobs.append(_job(image, f"{folder}/img/{image.stem}.jpg", "frame", config))
        jobs.append(_job(mask, f"{folder}/mask/{mask.stem}.png", "mask", config, like=image))
    hashes = Hashes(out)
    units = _units(jobs, hashes)
    for clip in tree.every_clip():
        for file in clip.joints():
            units.append(link_unit(f"Joints/{clip.name}/{file.name}", file, hashes))
    for name in SETS:
        names = read_list(raw, name)
        units.append(text_unit(f"ImageSets/{name}.txt", "".join(f"{line}\n" for line in names)))
    what = f"resize to {config.short_side}p"
    return bring(out, units, what, hashes=hashes, workers=workers)


def _units(jobs: Sequence[Conversion], hashes: Hashes) -> list[Unit]:
    """The conversions with their recipes: what is done, to which content, by which code."""
    code = code_hash("pdnet.sources.convert")
    hashes.learn(job.source for job in jobs)
    units = []
    for job in jobs:
        like = hashes.of(job.like) if job.like else None
        how = (job.kind, job.short_side, job.quality if job.kind == "frame" else None)
        made_by = recipe(how, hashes.of(job.source), like, code, cv2.__version__, PIL.__version__)
        units.append(Unit((job.target,), made_by, convert, (job,)))
    return units


def _job(
    source: Path, target: str, kind: str, config: PreprocessConfig, like: Path | None = None
) -> Conversion:
    return Conversion(source, target, kind, config.short_side, config.jpeg_quality, like)


def _clip_jobs(clip: Clip, config: PreprocessConfig) -> list[Conversion]:
    jobs = []
    for stem in clip.frames:
        frame, mask = clip.frame(stem), clip.mask(stem)
        jobs.append(_job(frame, f"Keyframes/480p/{clip.name}/{stem}.jpg", "frame", config))
        target = f"Annotations/480p/{clip.name}/{stem}.png"
        jobs.append(_job(mask, target, "mask", config, like=frame))
    others = (
        ("Frames", "frame", ".jpg"),
        ("Parts", "labels", ".png"),
        ("Figures", "labels", ".png"),
    )
    for folder, kind, suffix in others:
        source = clip.root / folder / "480p" / clip.name
        for file in sorted(source.iterdir()) if source.is_dir() else []:
            if file.suffix.lower() in IMAGE_SUFFIXES and file.name[0] != ".":
                target = f"{folder}/480p/{clip.name}/{file.stem}{suffix}"
                jobs.append(_job(file, target, kind, config))
    return jobs
