"""A clip in one pass: which references serve, and what is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pdnet.data.layout import read_tree
from pdnet.errors import InputError
from pdnet.inference.segment import (
    KEPT_MEMORIES,
    ClipSegmenter,
    clip_segmenter,
    reference_indices,
    walk,
)
from tests.helpers import small


@pytest.mark.parametrize(
    ("policy", "index", "references"),
    [
        ("first", 7, (0,)),
        ("first+previous_k", 7, (0, 2)),
        ("first+previous_k", 4, (0,)),
        ("every_n", 11, (0, 5, 10)),
        ("every_n", 10, (0, 5)),
        ("every_n", 0, (0,)),
        ("random", 0, (1, 2)),
    ],
)
def test_reference_policies(policy, index, references):
    count = 3 if policy == "random" else 20
    assert reference_indices(policy, index, count, k=5) == references


def test_random_references_are_the_same_for_all_frames_but_themselves():
    chosen = [reference_indices("random", i, 20, k=5, seed=1) for i in range(20)]
    assert all(len(set(references)) == 5 for references in chosen)
    assert all(i not in references for i, references in enumerate(chosen))
    often = max(set(chosen), key=chosen.count)
    assert all(len(set(often) - set(references)) <= 1 for references in chosen)


def test_every_n_keeps_the_first_frame_however_long_the_clip():
    references = reference_indices("every_n", 199, 200, k=5)
    assert references[0] == 0 and len(references) == KEPT_MEMORIES
    assert references[1:] == tuple(range(125, 199, 5))


def frames(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 40, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize("policy", ["first", "first+previous_k", "random", "every_n"])
def test_each_policy_segments_a_clip(policy):
    network, clip = small(input_size=(64, 64)), frames(8)

    def segmenter() -> ClipSegmenter:
        return ClipSegmenter(network, clip.__getitem__, len(clip), policy=policy, k=2)

    results = list(segmenter())
    assert len(results) == 8 and results[-1].probability.shape == (40, 60)
    alone = segmenter().segment(7)  # nothing kept before
    np.testing.assert_allclose(alone.probability, results[-1].probability, atol=1e-5)


def test_a_second_reference_is_not_encoded_again():
    network, clip, calls = small(input_size=(64, 64)), frames(20), []
    network.encoder.register_forward_hook(lambda *_: calls.append(1))
    list(ClipSegmenter(network, clip.__getitem__, len(clip), policy="first+previous_k", k=5))
    assert len(calls) == 21  # every frame once, and the first as the reference


def test_a_full_set_of_references_is_not_encoded_again():
    network, calls = small(input_size=(64, 64)), []
    clip = frames(2 * KEPT_MEMORIES + 8)  # at k = 2, eight frames more than fill the memory
    network.encoder.register_forward_hook(lambda *_: calls.append(1))
    list(ClipSegmenter(network, clip.__getitem__, len(clip), policy="every_n", k=2))
    assert len(calls) == len(clip) + 1  # every frame once, and the first as the reference


def test_a_walk_is_the_frames_of_the_clip_in_order(tree):
    network, clip = small(input_size=(64, 64)), read_tree(tree).clips("val")[0]
    how = {"policy": "first+previous_k", "k": 2}  # which frame it is decides its references
    seen = list(walk(clip_segmenter(network, clip, **how), clip))
    assert [one.stem for one in seen] == list(clip.frames)
    assert [one.index for one in seen] == [0, 1, 2, 3, 4]
    again = list(clip_segmenter(network, clip, **how))
    for one, other in zip(seen, again, strict=True):
        np.testing.assert_array_equal(one.found.probability, other.probability)
    some = list(walk(clip_segmenter(network, clip, **how), clip, clip.frames[2:3]))
    assert [one.index for one in some] == [2]


def test_an_output_that_is_no_number_is_refused_and_no_empty_mask():
    network = small(input_size=(64, 64))
    with torch.no_grad():
        network.head.bias.fill_(float("nan"))
    frame = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(InputError, match="frame 0: the network's output is not finite"):
        ClipSegmenter(network, lambda _: frame, 1).segment(0)
