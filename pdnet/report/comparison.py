"""Figure 7: methods side by side on chosen frames; any folder of masks can be added by its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pdnet.data.images import read_frame, read_mask
from pdnet.data.layout import Clip, read_tree
from pdnet.data.overlays import overlay_errors, overlay_mask
from pdnet.errors import InputError
from pdnet.inference.baselines import HELD_STILL
from pdnet.metrics.evaluator import overall, read_prediction, score_folder
from pdnet.metrics.region_contour import COLUMNS
from pdnet.metrics.stability import clip_flows, mean_stability
from pdnet.report.figures import tile


def chosen_frames(
    clips: Sequence[Clip], count: int, given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Clip -> frame to show: those given, else the middle frame of the first `count` clips.

    Raises:
        InputError: a given clip or frame does not exist.
    """
    known = {clip.name: clip for clip in clips}
    if not given:
        return {clip.name: clip.frames[len(clip.frames) // 2] for clip in clips[:count]}
    for name, stem in given.items():
        if name not in known or stem not in known[name].frames:
            raise InputError(f"{name}/{stem}: no such annotated frame; clips: {', '.join(known)}")
    return dict(given)


def _mask(folder: Path, clip: Clip, stem: str, size: tuple[int, int]) -> np.ndarray:
    return read_prediction(folder / clip.name / f"{stem}.png", size, None)


def methods_figure(
    data: Path, methods: Mapping[str, Path], frames: Mapping[str, str], set_name: str = "val"
) -> Figure:
    """A row per chosen frame: frame, truth, then each method's errors.

    Args:
        data: working copy.
        methods: name -> folder of masks `<clip>/<frame>.png`; the first also gives the row held
            still.
        frames: clip -> frame.
        set_name: split.
    """
    clips = {clip.name: clip for clip in read_tree(data).clips(set_name)}
    # the first method's own first mask is held still: how much is tracking worth to it?
    still, rows = next(iter(methods.values())), []
    for name, stem in frames.items():
        clip = clips[name]
        frame, truth = read_frame(clip.frame(stem)), read_mask(clip.mask(stem))
        row = [frame, overlay_mask(frame, truth)]
        row += [
            overlay_errors(frame, _mask(folder, clip, stem, truth.shape), truth)
            for folder in methods.values()
        ]
        row.append(overlay_errors(frame, _mask(still, clip, clip.frames[0], truth.shape), truth))
        rows.append(row)
    titles = ["frame", "truth", *methods, HELD_STILL]
    labels = [f"{name}\n{stem}".replace("/", "\n") for name, stem in frames.items()]
    return tile(rows, titles, labels, height=1.8)


def methods_table(data: Path, methods: Mapping[str, Path], set_name: str = "val") -> pd.DataFrame:
    """J and F of each folder of masks in per cent, with temporal stability; the last row is the
    truth's stability.
    """
    clips = read_tree(data).clips(set_name)
    flows = {clip.name: clip_flows(clip) for clip in clips}
    rows = {}
    for name, folder in {**methods, "truth": None}.items():
        stability = mean_stability(clips, flows, folder)
        scores = (
            overall(score_folder(folder, data, set_name))
            if folder
            else dict.fromkeys(COLUMNS, float("nan"))
        )
        rows[name] = {c: round(100 * v, 1) for c, v in scores.items()}
        rows[name] |= {
            "warped IoU": round(100 * stability["warped_iou"], 1),
            "flicker": round(stability["flicker"], 1),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
