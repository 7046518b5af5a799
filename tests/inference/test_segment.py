"""A clip in one pass: which references serve, and what is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pdnet.data.flow import flow_colours, write_flow
from pdnet.data.layout import read_tree
from pdnet.errors import InputError
from pdnet.inference.segment import (
    KEPT_MEMORIES,
    ClipSegmenter,
    clip_segmenter,
    reference_indices,
    walk,
)
from tests.helpers import make_tree, small


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


def seen_by(segmenter: ClipSegmenter) -> list[torch.Tensor]:
    """What the encoder gets while a clip is segmented."""
    seen = []
    encoder = segmenter.network.encoder
    watch = encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        list(segmenter)
    finally:
        watch.remove()
    return seen


def test_a_network_that_looks_at_flow_is_refused_without_it_in_one_line():
    network, clip = small(interaction="hfan", input_size=(64, 64)), frames(2)
    with pytest.raises(InputError, match=r"'hfan' looks at optical flow.*stage `flow`") as error:
        ClipSegmenter(network, clip.__getitem__, len(clip))
    assert "\n" not in str(error.value)


def test_flow_in_any_resolution_is_seen_in_the_pixels_of_the_input():
    """Colours tell directions, and how fast compared with the fastest of the frame: both change
    where a frame's aspect is lost.
    """
    network, clip = small(interaction="fsnet", input_size=(64, 64)), frames(1)
    for size in ((40, 60), (20, 30), (160, 240)):
        # down as much as right, in pixels of the file
        flow = np.full((*size, 2), 3, np.float32)
        segmenter = ClipSegmenter(network, clip.__getitem__, 1, flow=[flow].__getitem__)
        ((_, colours),) = seen_by(segmenter)
        # 40x60 into 64x64: down counts for more
        grown = np.full((64, 64, 2), [64 / 60, 64 / 40], np.float32)
        white = torch.from_numpy(flow_colours(grown)).permute(2, 0, 1)[None] / 255
        assert torch.allclose(colours, network.encoder.normalise(white)[0], atol=0.03)


def test_a_clip_of_a_tree_brings_its_flow(tmp_path):
    clip = read_tree(make_tree(tmp_path / "480p", frames=3)).clips("val")[0]
    network = small(interaction="matnet", input_size=(64, 64))
    for stem in clip.frames:
        write_flow(clip.flow(stem), np.full((24, 32, 2), [2, 0], np.float32))
    seen = list(walk(clip_segmenter(network, clip), clip))
    assert [one.stem for one in seen] == list(clip.frames)
    first = seen[1].found.probability
    write_flow(clip.flow(clip.frames[1]), np.full((24, 32, 2), [-2, 0], np.float32))
    again = list(walk(clip_segmenter(network, clip), clip))
    assert not np.array_equal(again[1].found.probability, first), "its own flow is looked at"
    np.testing.assert_array_equal(again[2].found.probability, seen[2].found.probability)


def test_a_clip_whose_flow_is_missing_is_one_line_that_names_what_to_run(tree):
    network, clip = (
        small(interaction="amcnet", input_size=(64, 64)),
        read_tree(tree).clips("val")[0],
    )
    says = r"flow/b/three/00000\.png: missing; `dvc repro flow` makes the optical flow$"
    with pytest.raises(InputError, match=says) as error:
        list(clip_segmenter(network, clip))
    assert "\n" not in str(error.value)


def test_the_flow_is_not_asked_for_where_nobody_looks_at_it(tree):
    clip = read_tree(tree).clips("val")[0]  # there is none
    for interaction in ("ipda", "none", "concat"):
        network = small(interaction=interaction, input_size=(64, 64))
        assert len(list(clip_segmenter(network, clip))) == len(clip.frames)


def test_a_reference_of_an_interaction_is_encoded_once():
    """It keeps no parts: a later reference costs a pass of its own, the first one a single one."""
    network, clip = small(interaction="cosnet", input_size=(64, 64)), frames(8)

    # frames 3 to 7 look back two, at 1 to 5, besides the first
    for policy, references in (("first", 1), ("first+previous_k", 1 + 5)):
        segmenter = ClipSegmenter(network, clip.__getitem__, len(clip), policy=policy, k=2)
        assert len(seen_by(segmenter)) == len(clip) + references
