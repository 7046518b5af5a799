"""Table 5: the same network with other reference frames at test time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pdnet.config import EvaluateConfig
from pdnet.data.layout import read_tree
from pdnet.experiments.imbalance import clip_after
from pdnet.experiments.measure import measure_clip
from pdnet.experiments.names import CONTROL
from pdnet.inference.segment import clip_segmenter
from pdnet.inference.speed import milliseconds_in_turn
from pdnet.metrics.stability import clip_flows
from pdnet.model import PDNet

POLICIES = ("first", "first+previous_k", "every_n", "random")


def reference_policies(
    network: PDNet, data: Path, *, options: EvaluateConfig, seed: int
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Scores every policy, and a control whose reference shows an unrelated clip.

    Args:
        network: in evaluation mode.
        data: working copy.
        options: of prediction and scoring.
        seed: of random references.

    Returns:
        a row per policy and clip (J, F, J&F, stability), and milliseconds per frame of the first
        clip by each policy but the control, see `milliseconds_in_turn`.
    """
    tree = read_tree(data)
    clips = {clip.name: clip for clip in tree.clips(options.set)}
    flows = {name: clip_flows(clip) for name, clip in clips.items()}
    others = clips
    if len(clips) == 1:  # nothing unrelated among them
        others = clips | {clip.name: clip for clip in tree.clips("train")}
    rows: list[dict[str, Any]] = []
    how = {"k": options.reference_k, "seed": seed}
    # of the first clip alone: policies differ in work per frame, not per clip
    first = next(iter(clips.values()))
    speed = milliseconds_in_turn(
        {policy: clip_segmenter(network, first, policy=policy, **how) for policy in POLICIES}
    )
    for policy in POLICIES:
        for name, clip in clips.items():
            segmenter = clip_segmenter(network, clip, policy=policy, **how)
            measured = measure_clip(segmenter, clip, flows[name], options)
            rows.append({"policy": policy, **measured.row(name)})
    for name, clip in clips.items():
        segmenter = clip_segmenter(network, clip_after(name, others))
        measured = measure_clip(segmenter, clip, flows[name], options)
        rows.append({"policy": CONTROL, **measured.row(name)})
    return rows, speed
