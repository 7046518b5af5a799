"""J and F of a network on clips: which frames, and that the network is left as it was."""

from __future__ import annotations

import numpy as np
import pytest

from pdnet.data.images import read_mask
from pdnet.data.layout import read_tree
from pdnet.inference.score import score_clip, spread, validate
from pdnet.inference.segment import clip_segmenter
from pdnet.metrics.region_contour import frame_scores
from tests.helpers import small


def test_frames_are_spread_from_the_first_to_the_last():
    frames = [f"{i:05d}" for i in range(10)]
    assert spread(frames, None) == spread(frames, 10) == tuple(frames)
    assert spread(frames, 4) == ("00000", "00003", "00006", "00009")


def test_scores_are_those_of_the_cut_probability(tree):
    network, clip = small(input_size=(64, 64)), read_tree(tree).clips("val")[0]
    chosen = clip.scored_frames()
    score = score_clip(clip_segmenter(network, clip), clip, 0.4, chosen)
    segmenter = clip_segmenter(network, clip)
    for i, stem in enumerate(chosen):
        cut = segmenter.segment(clip.frames.index(stem)).probability > 0.4
        assert (score.j[i], score.f[i]) == frame_scores(cut, read_mask(clip.mask(stem)))


@pytest.mark.parametrize("training", [True, False])
def test_validation_leaves_the_mode_and_the_norms_alone(tree, training):
    network = small(input_size=(64, 64)).train(training)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    means = validate(network, read_tree(tree).clips("val"), threshold=0.5, frames=2)
    assert network.training is training
    assert all((value == before[name]).all() for name, value in network.state_dict().items())
    assert means["J&F-Mean"] == pytest.approx((means["J-Mean"] + means["F-Mean"]) / 2)
    assert all(np.isfinite(v) and 0 <= v <= 1 for v in means.values())
