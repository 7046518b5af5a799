"""What the study of motion measures of a network: on casts, on everybody in them, and on the
imbalance series.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pdnet.config import EvaluateConfig
from pdnet.data.images import read_labels
from pdnet.data.layout import Clip, read_tree
from pdnet.data.skeleton import PARTS_PER_PERSON
from pdnet.data.true_motion import read_truth
from pdnet.experiments.alive import Found
from pdnet.experiments.imbalance import limb_scores
from pdnet.experiments.measure import ClipMeasures, measure_clip
from pdnet.experiments.names import level_of, scene_of
from pdnet.experiments.part_motion import OF_NETWORK
from pdnet.experiments.record import rounded
from pdnet.experiments.variants import Flows, Rows
from pdnet.inference.people import masks
from pdnet.inference.segment import ClipSegmenter, clip_segmenter, walk
from pdnet.metrics.calibration import BINS, calibration_error, overlap_curve
from pdnet.model import PDNet
from pdnet.model.pdnet import Output

CURVE = range(5, BINS, 5)  # thresholds in per cent that are recorded
SMALLEST = 0.002  # of the frame: of less nobody can tell who it is


class EncoderHead(nn.Module):
    """The encoder's finest auxiliary head by itself, for `ClipSegmenter`: what looks alone say."""

    looks_at = "nothing"

    def __init__(self, network: PDNet) -> None:
        super().__init__()
        self.encoder, self.config = network.encoder, network.config

    def segment(self, frame: Tensor, memory: None, flow: Tensor | None = None) -> Output:
        """See `PDNet.segment`."""
        appearance, auxiliary = self.encoder(frame, auxiliary=True)
        return Output(auxiliary[0], appearance, None, None, [])


def measure(network: PDNet, data: Path, options: EvaluateConfig, flows: Flows) -> Rows:
    """Everything that is measured of a network on the casts: `clips`, `curves` and `members`, in
    shares.
    """
    rows: Rows = {"clips": [], "curves": [], "members": []}
    clips = read_tree(data).clips(options.set)
    for index, clip in enumerate(clips):
        how = {"clip": clip, "flows": flows.of(clip), "options": options}
        own = measure_clip(clip_segmenter(network, clip), **how)
        row = {**own.row(clip.name), **own.parts, **own.alive}
        rows["members"] += member_rows(clip_segmenter(network, clip), clip)
        row["calibration_error"] = calibration_error(own.probabilities.sum(0))
        if network.looks_at == "reference":
            other = clips[(index + 1) % len(clips)]
            row |= _named(measure_clip(clip_segmenter(network, other), **how), "unrelated")
        row |= _named(measure_clip(clip_segmenter(EncoderHead(network), clip), **how), "head")
        rows["clips"].append(rounded(row))
        curve = overlap_curve(own.probabilities).mean(0)
        for percent in CURVE:
            point = {"clip": clip.name, "threshold": percent / 100, "J": float(curve[percent])}
            rows["curves"].append(rounded(point))
    return rows


def member_rows(segmenter: ClipSegmenter, clip: Clip) -> list[dict[str, Any]]:
    """How much of a person everybody is to a network: a row a person or figure and scored frame,
    with the mean probability on his pixels, and whether he has moved since the first frame.
    """
    rows, truth = [], read_truth(clip)
    for seen in walk(segmenter, clip, clip.scored_frames()):
        labels = read_labels(clip.parts(seen.stem)) + read_labels(clip.figures(seen.stem))
        members, moved = (labels.astype(int) - 1) // PARTS_PER_PERSON, truth.moved(seen.stem)
        for member in range(len(truth.alive)):
            inside = (labels > 0) & (members == member)
            if inside.mean() < SMALLEST:
                continue
            probability = float(seen.found.probability[inside].mean())
            about = {"clip": clip.name, "frame": seen.stem, "member": member}
            about |= {"alive": bool(truth.alive[member]), "moved": bool(moved[member])}
            rows.append(rounded(about | {"probability": probability}))
    return rows


def measure_series(network: PDNet, series: Path, options: EvaluateConfig) -> list[dict[str, Any]]:
    """What is found as the arms move ever faster: a row a clip of the series, in pixels and shares
    (`frame_counts`, `limb_scores`).
    """
    rows, how = [], {"threshold": options.threshold, "people": options.people}
    for clip in read_tree(series).clips("val"):
        row = {"scene": scene_of(clip.name), "level": level_of(clip.name)}
        segmenter, found = clip_segmenter(network, clip), Found(clip)
        for seen, mask in masks(segmenter, clip, **how):
            found.add(seen, mask)
        row |= limb_scores(segmenter, clip, **how) | found.measures()
        rows.append(rounded(row))
    return rows


def _named(measured: ClipMeasures, prefix: str) -> dict[str, float]:
    """J&F, what is found of whom, and steps of limbs, under names of their own."""
    kept = {"J&F": measured.row("")["J&F"]}
    for name in ("people_found", "figures_taken", *OF_NETWORK):
        if name in measured.alive:
            kept[name] = measured.alive[name]
    return {f"{prefix} {name}": value for name, value in kept.items()}
