"""Segmenters on the same frames: scores are the evaluator's, times are those of the masks alone."""

from __future__ import annotations

import json
import time

import cv2
import numpy as np
import pytest
import torch

from pdnet.config import checked
from pdnet.data.images import read_mask
from pdnet.data.layout import read_tree
from pdnet.errors import InputError
from pdnet.inference.peers import PeerNetwork, read_peer
from pdnet.inference.score import score_clip
from pdnet.inference.segment import clip_segmenter
from pdnet.inference.side_by_side import chosen_clips, our_way, peers_way, side_by_side, table
from pdnet.model.checkpoint import save_network
from tests.helpers import make_tree, small
from tests.onnx_files import write_onnx

RED = np.array([[1.0, 0.0, 0.0]])


@pytest.fixture
def bright(tmp_path):
    """A peer that finds `make_tree`'s disc: red is 200 and more on it, at most 89 elsewhere."""
    weight, bias = 40 * RED, np.array([-40 * 0.55])
    return write_onnx(
        tmp_path / "bright.onnx", weight, bias=bias, sides=(1, 3, 48, 64), ending="Sigmoid"
    )


def test_scores_are_those_of_the_evaluator(tmp_path, tree, bright):
    network, options = small(input_size=(64, 64)), checked("evaluate")
    clips = read_tree(tree).every_clip()
    peer = PeerNetwork(read_peer(f"bright={bright}"))
    ways = {"ours": our_way(network, options), "bright": peers_way(peer)}
    result = side_by_side(ways, clips)
    assert result["frames"] == 3 * 3  # of five frames each the first and last are left out
    for clip in clips:
        row = score_clip(clip_segmenter(network, clip), clip, 0.5, clip.scored_frames()).row()
        assert result["ways"]["ours"]["clips"][clip.name] == pytest.approx(
            {name: 100 * row[name] for name in ("J&F-Mean", "J-Mean", "F-Mean")}
        )
    # JPEG blurs the disc's rim; the rest of it is found, and nothing else
    assert result["ways"]["bright"]["J-Mean"] > 90
    text = table(result)
    assert text.index("bright") < text.index("ours") and "3 clip(s), 9 frames" in text


def test_each_clip_is_begun_with_its_own_first_frame(tree):
    begun = []

    def begin(first):
        begun.append(first)
        return lambda frame: np.zeros(frame.shape[:2], bool)

    clips = read_tree(tree).every_clip()
    side_by_side({"nothing": begin}, clips, frames=4)
    assert len(begun) == len(clips)
    for first, clip in zip(begun, clips, strict=True):
        assert np.array_equal(
            first, cv2.cvtColor(cv2.imread(str(clip.frame(clip.frames[0]))), cv2.COLOR_BGR2RGB)
        )


def test_a_frame_by_each_then_the_next(tree):
    seen = []

    def way(name):
        def mask(frame):
            seen.append(name)
            return np.zeros(frame.shape[:2], bool)

        return lambda _: mask

    clips = chosen_clips(read_tree(tree), ["a/one"])
    side_by_side({"first": way("first"), "second": way("second")}, clips, frames=3)
    assert seen == ["first", "second"] * 3


def test_the_first_and_the_last_frame_are_not_scored(tree):
    [clip] = chosen_clips(read_tree(tree), ["a/one"])

    def begin(_):
        truths = iter([read_mask(clip.mask(stem)) for stem in clip.frames])
        wrong = iter([True, False, False, True])
        return lambda _: next(truths) ^ next(wrong)

    way = side_by_side({"it": begin}, [clip], frames=4)["ways"]["it"]
    assert (way["J-Mean"], way["F-Mean"]) == (100, 100)


def test_the_first_frame_is_not_timed(tree):
    def begin(_):
        seconds = iter([0.3, 0.3, 0.0])

        def mask(frame):
            time.sleep(next(seconds))
            return np.zeros(frame.shape[:2], bool)

        return mask

    way = side_by_side({"it": begin}, read_tree(tree).clips("val"), frames=3)["ways"]["it"]
    assert 140 < way["wall_ms"] < 270  # the middle of 300 and next to none


def test_times_are_of_the_masks_alone_and_waiting_costs_no_cpu(tree):
    def slow(_):
        def mask(frame):
            time.sleep(0.02)
            return np.zeros(frame.shape[:2], bool)

        return mask

    def busy(first):
        def mask(frame):
            until = time.process_time() + 0.02
            while time.process_time() < until:
                pass
            return np.zeros(frame.shape[:2], bool)

        return mask

    clips = chosen_clips(read_tree(tree), ["a/one"])
    ways = side_by_side({"slow": slow, "busy": busy}, clips)["ways"]
    assert ways["slow"]["wall_ms"] >= 20 > 10 > ways["slow"]["cpu_ms"]
    assert ways["busy"]["cpu_ms"] >= 20


def test_one_thread_and_afterwards_as_many_as_before(tree):
    def way(_):
        def mask(frame):
            assert (torch.get_num_threads(), cv2.getNumThreads()) == (1, 1)
            return np.zeros(frame.shape[:2], bool)

        return mask

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(2)
    cv2.setNumThreads(2)
    try:
        side_by_side({"one": way}, read_tree(tree).clips("val"))
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (2, 2)
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def test_a_clip_too_short_or_unknown_and_a_mask_of_another_size_are_one_line(tmp_path):
    root = make_tree(tmp_path / "short", val=("b/three",), frames=2)
    nothing = {"nothing": lambda _: lambda frame: np.zeros(frame.shape[:2], bool)}
    with pytest.raises(InputError, match="b/three: 2 frame"):
        side_by_side(nothing, read_tree(root).clips("val"))
    with pytest.raises(InputError, match="no clip 'c/four'; known: b/three, a/one, a/two"):
        chosen_clips(read_tree(root), ["c/four"])
    root = make_tree(tmp_path / "tree")
    [clip] = read_tree(root).clips("val")
    path = clip.mask(clip.frames[1])
    cv2.imwrite(str(path), read_mask(path)[:-1].astype(np.uint8))
    with pytest.raises(InputError, match="of another size than its frame"):
        side_by_side(nothing, [clip])


def test_the_command_prints_a_table_and_writes_json(cli, tmp_path, tree, bright):
    save_network(small(input_size=(64, 64)), tmp_path / "ours.safetensors")
    given = ("bench", "peers", tree, "--checkpoint", tmp_path / "ours.safetensors")
    peer, out = f"bright={bright},threshold=0.5", tmp_path / "out.json"
    status, text = cli(*given, "--peer", peer, "--clip", "a/one", "--frames", 4, "-o", out)
    assert status == 0 and "frames/s (CPU)" in text and "1 clip(s), 2 frames scored" in text
    result = json.loads(out.read_text())
    assert set(result["ways"]) == {"PDNet", "bright"}
    assert result["ways"]["bright"]["cpu_ms"] > 0 and result["files"]["bright"] == str(bright)
    for peer, says in (("it=gone.onnx", "missing file"), ("PDNet=x.onnx", "the name is taken")):
        status, text = cli(*given, "--peer", peer)
        assert status == 2 and says in text and text.count("\n") == 1


def test_the_command_cuts_our_masks_as_the_checkpoint_says(cli, tmp_path, tree):
    values = []
    for threshold in (0.01, 0.99):
        note = {"segment": {"threshold": threshold}}
        save_network(small(input_size=(64, 64)), tmp_path / "ours.safetensors", note)
        out = tmp_path / "out.json"
        given = ("--checkpoint", tmp_path / "ours.safetensors", "-o", out)
        assert cli("bench", "peers", tree, *given)[0] == 0
        values.append(json.loads(out.read_text())["ways"]["PDNet"]["J-Mean"])
    assert values[0] != values[1]
