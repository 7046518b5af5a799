"""The optical flow of the working copy's clips, computed once: data/flow/CLIP/FRAME.png."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch

from pdnet.base.files import file_hash, need
from pdnet.base.hashes import Hashes
from pdnet.base.imports import code_hash
from pdnet.base.manifest import Brought, Unit, bring, recipe, text_unit, vouch
from pdnet.config import FlowConfig
from pdnet.data.fit import resized
from pdnet.data.flow import Estimator, clip_flow, dis, raft, write_flow
from pdnet.data.images import read_frame
from pdnet.data.layout import Clip, read_tree
from pdnet.errors import InputError
from pdnet.sources.convert import resized as short_sided

NOT_WANTED = "nothing that is run looks at optical flow\n"


def compute_flow(
    data: Path, out: Path, config: FlowConfig, *, wanted: bool = True, workers: int = 0
) -> Brought:
    """Makes `out` the flow of every clip of a tree, from each annotated frame to the next one; what
    is right already is left as it is.

    Args:
        data: the working copy.
        out: holds nothing but this flow.
        config: how it is computed and kept.
        wanted: False where nobody looks at flow: then `out` holds a line that says so.
        workers: processes; 0 for all cores.

    Raises:
        InputError: the tree is not what its manifest says, a frame is damaged, a clip has frames
            of two sizes, weights cannot be had, or what `bring` refuses.
    """
    vouch(data)
    clips = read_tree(data).every_clip() if wanted else []
    hashes = Hashes(out)
    frames: list[list[Path]] = [[clip.frame(stem) for stem in clip.frames] for clip in clips]
    hashes.learn(chain.from_iterable(frames))
    how = (*_how(config), code_hash("pdnet.data.flow"), cv2.__version__)
    # DVC warns of an empty folder at every turn
    units = [] if wanted else [text_unit("about.txt", NOT_WANTED)]
    for clip, paths in zip(clips, frames, strict=True):
        files = tuple(f"{clip.name}/{stem}.png" for stem in clip.frames)
        seen = [hashes.of(path) for path in paths]
        made_by = recipe(*how, *seen)
        units.append(Unit(files, made_by, _compute, (clip, config)))
    # RAFT takes every core by itself, and a process more would hold its weights again
    workers = workers if config.method == "dis" else 1
    return bring(out, units, f"optical flow ({config.method})", hashes=hashes, workers=workers)


def _how(config: FlowConfig) -> tuple[str, ...]:
    """What of the parameters decides a flow."""
    if config.method == "dis":
        return ("dis", config.preset, str(config.short_side))
    weights = config.weights
    if weights != "download":
        weights = file_hash(need(Path(weights)))
    return (config.method, weights, str(config.short_side), torch.__version__)


def _compute(root: Path, clip: Clip, config: FlowConfig) -> None:
    flows = clip_flow(_frames(clip), estimator(config))
    try:
        for stem, flow in zip(clip.frames, flows, strict=True):
            write_flow(root / clip.name / f"{stem}.png", reduced(flow, config.short_side))
    except InputError as error:
        # frames that do not fit each other do not know whose they are
        raise InputError(f"{clip.name}: {error}") from error


def _frames(clip: Clip) -> Iterator[np.ndarray]:
    for stem in clip.frames:
        yield read_frame(clip.frame(stem))


def estimator(config: FlowConfig) -> Estimator:
    """The way of the parameters."""
    if config.method == "dis":
        return dis(config.preset)
    size = config.method.removeprefix("raft_")
    return raft(size, weights=config.weights)


def reduced(flow: np.ndarray, short_side: int) -> np.ndarray:
    """Flow (H, W, 2) in pixels -> with the short side at `short_side`, in pixels of that size; a
    smaller one stays.
    """
    size = flow.shape[:2]
    if min(size) <= short_side:
        return flow
    smaller = short_sided(size, short_side)
    factors = np.array([smaller[1] / size[1], smaller[0] / size[0]], np.float32)
    return resized(flow, smaller) * factors
