"""What the explorer keeps of a clip is what the network, the evaluator and the attention say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pdnet.config import EvaluateConfig
from pdnet.data.images import read_mask
from pdnet.data.layout import read_tree
from pdnet.inference.people import masks
from pdnet.inference.segment import clip_segmenter
from pdnet.metrics.region_contour import frame_scores
from pdnet.report.clip_outputs import (
    LONG_SIDE,
    Kept,
    gaze,
    read_clip,
    run_network,
    shown_size,
    surest_pixel,
)
from tests.helpers import make_tree, small

CUTTING = EvaluateConfig(threshold=0.5, people="all")


@pytest.fixture
def clip(tmp_path):
    [clip] = read_tree(make_tree(tmp_path / "tree")).clips("val")
    return clip


@pytest.fixture
def pictures(clip):
    return read_clip(clip)


def test_scores_are_the_evaluators_of_the_masks_that_are_scored(clip, pictures):
    network = small()
    outputs = run_network(network, pictures, CUTTING)
    scored = list(masks(clip_segmenter(network, clip), clip, threshold=0.5))
    assert len(scored) == len(outputs.j) == len(clip.frames)
    for index, (seen, mask) in enumerate(scored):
        expected = frame_scores(mask, read_mask(clip.mask(seen.stem)))
        assert (outputs.j[index], outputs.f[index]) == expected
        assert np.array_equal(outputs.masks[index], mask), "a small frame is shown as it is"
        assert np.array_equal(outputs.part_masks[index], seen.found.part_masks)


def test_where_a_pixel_looks_is_the_attention_of_its_place(pictures):
    network = small()
    outputs = run_network(network, pictures, CUTTING)
    parts = outputs.parts[2]
    h, w = parts.masks.shape[-2:]
    weights, own = gaze(outputs, 2, (1.5 / w, 0.5 / h))
    with torch.inference_mode():
        every = network.attention.weights(parts, outputs.memory)[0, 0]
    assert np.allclose(weights.reshape(3, -1), every[:, 1].numpy())
    assert np.allclose(weights.sum((1, 2)), 1, atol=1e-5)
    assert np.allclose(own, parts.masks[0, :, 0, 1].numpy())
    # a click on the very edge is inside
    assert gaze(outputs, 2, (1.0, 1.0))[0].shape == (3, h, w)


def test_the_surest_pixel_has_the_largest_saliency(pictures):
    outputs = run_network(small(), pictures, CUTTING)
    x, y = surest_pixel(outputs, 1)
    saliency = outputs.parts[1].saliency_logits[0, 0]
    h, w = saliency.shape
    assert saliency[int(y * h), int(x * w)] == saliency.max()


def test_a_network_without_parts_has_none_and_progress_is_told(pictures):
    told = []
    report = lambda done, count: told.append((done, count))  # noqa: E731
    outputs = run_network(small(interaction="none"), pictures, CUTTING, report)
    assert not outputs.part_masks and not outputs.parts and outputs.attention is None
    assert told == [(i + 1, 5) for i in range(5)]


def test_a_clip_is_shown_at_the_long_side_and_without_bodies_that_nobody_drew(pictures):
    assert shown_size(np.zeros((1080, 1920, 3))) == (round(1080 * LONG_SIDE / 1920), LONG_SIDE)
    assert shown_size(np.zeros((48, 64, 3))) == (48, 64)
    assert len(pictures.frames) == len(pictures.truths) == len(pictures.flows) == 5
    assert not pictures.bodies
    assert not pictures.flows[0].any() and pictures.flows[0].shape == (12, 16, 2)


def test_what_was_used_longest_ago_goes_first():
    kept, made = Kept(limit=25), []

    def value(name: str) -> str:
        return kept.get(name, lambda: made.append(name) or name, lambda _: 10)

    for name in ("a", "b", "a", "c"):
        assert value(name) == name
    assert len(kept) == 2 and kept.nbytes == 20
    value("a")
    assert made == ["a", "b", "c"], "a was used after b, so b went"
    value("b")
    assert made == ["a", "b", "c", "b"]
    assert kept.get("huge", lambda: "huge", lambda _: 100) == "huge" and len(kept) == 1
