"""The working copy's optical flow: what is made, when it is made anew, what a kill leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from pdnet.base.ledger import files_of
from pdnet.base.manifest import Brought, vouch
from pdnet.config import FlowConfig, load_config
from pdnet.data.flow import dis, flow_colours, read_flow
from pdnet.data.images import read_frame
from pdnet.data.layout import read_tree
from pdnet.errors import InputError
from pdnet.sources.flow import compute_flow, reduced
from tests.helpers import ROOT, TINY, make_tree, save_image, write_params

FRAMES = 4
CLIPS = ("a/one", "a/two", "b/three")
FAST = FlowConfig(preset="ultrafast")
STEP = 1 / 128  # the files' rounding, in pixels


@pytest.fixture
def data(tmp_path) -> Path:
    return make_tree(tmp_path / "480p", frames=FRAMES)


def computed(data: Path, config: FlowConfig = FAST, *, wanted: bool = True) -> Brought:
    # where `Clip.flow` looks
    return compute_flow(data, data.parent / "flow", config, wanted=wanted, workers=1)


def content(data: Path) -> dict[str, bytes]:
    out = data.parent / "flow"
    return {path: (out / path).read_bytes() for path in sorted(files_of(out))}


def frame(data: Path, clip: str, number: int) -> Path:
    return data / "Keyframes/480p" / clip / f"{5 * number:05d}.jpg"


def test_every_annotated_frame_has_one_file_of_its_own_and_nothing_else_is_there(data):
    # a frame in between, which no mask belongs to
    save_image(data / "Frames/480p/a/one/00002.jpg", np.zeros((48, 64, 3), np.uint8))
    assert computed(data) == Brought(made=3 * FRAMES, kept=0, removed=0)
    expected = [f"{clip}/{5 * i:05d}.png" for clip in CLIPS for i in range(FRAMES)]
    assert list(content(data)) == expected
    vouch(data.parent / "flow")
    for clip in read_tree(data).every_clip():
        for stem in clip.frames:
            assert read_flow(clip.flow(stem)).shape == (48, 64, 2)


def test_each_frame_flows_to_the_next_and_the_last_has_the_backward_flow_turned(data):
    computed(data, FlowConfig(preset="medium"))
    (clip,) = read_tree(data).clips("val")
    frames = [read_frame(clip.frame(stem)) for stem in clip.frames]
    flows = [read_flow(clip.flow(stem)) for stem in clip.frames]
    estimate = dis("medium")
    for i in range(FRAMES - 1):
        assert np.abs(flows[i] - estimate(frames[i], frames[i + 1])).max() <= STEP
    backward = estimate(frames[-1], frames[-2])
    assert np.abs(flows[-1] + backward).max() <= STEP
    assert np.abs(backward).max() > 1, "something moves: the sign is seen"


def test_the_number_of_threads_does_not_change_a_flow(data):
    frames = [read_frame(frame(data, "a/one", i)) for i in range(2)]
    before, flows = cv2.getNumThreads(), []
    try:
        for threads in (1, 2, 5):
            cv2.setNumThreads(threads)
            flows.append(dis("medium")(*frames))
    finally:
        cv2.setNumThreads(before)
    assert np.array_equal(flows[0], flows[1]) and np.array_equal(flows[0], flows[2])


def test_nothing_is_there_when_nobody_looks_at_flow(data):
    assert computed(data, wanted=False) == Brought(made=1, kept=0, removed=0)
    said = {"about.txt": b"nothing that is run looks at optical flow\n"}
    assert content(data) == said
    assert computed(data) == Brought(made=3 * FRAMES, kept=0, removed=1)
    assert computed(data, wanted=False) == Brought(made=1, kept=0, removed=3 * FRAMES)
    assert content(data) == said


def test_a_second_run_makes_none(data, monkeypatch):
    computed(data)
    before = content(data)
    monkeypatch.setattr("pdnet.sources.flow.estimator", None)  # whoever asks fails
    assert computed(data) == Brought(made=0, kept=3 * FRAMES, removed=0)
    assert content(data) == before


def test_a_changed_frame_makes_its_clips_flow_anew_and_no_others(data):
    computed(data)
    before = content(data)
    path = frame(data, "a/two", 1)
    save_image(path, np.roll(cv2.imread(str(path)), 3, 1))
    # whoever is before and after it may flow otherwise: the clip is made as a whole
    assert computed(data) == Brought(made=FRAMES, kept=2 * FRAMES, removed=0)
    after = content(data)
    changed = [name for name in before if before[name] != after[name]]
    assert changed == ["a/two/00000.png", "a/two/00005.png"]


def test_a_clip_that_came_or_went_makes_no_others_flow_anew(data):
    computed(data)
    (data / "ImageSets/train.txt").write_text("a/one\n")
    assert computed(data) == Brought(made=0, kept=2 * FRAMES, removed=FRAMES)
    assert not (data.parent / "flow/a/two").exists()
    (data / "ImageSets/train.txt").write_text("a/one\na/two\n")
    assert computed(data) == Brought(made=FRAMES, kept=2 * FRAMES, removed=0)


def test_a_file_that_was_spoilt_or_lost_is_made_again(data):
    computed(data)
    before = content(data)
    (data.parent / "flow/a/one/00005.png").write_bytes(b"rubbish")
    (data.parent / "flow/b/three/00010.png").unlink()
    assert computed(data).kept == FRAMES
    assert content(data) == before


@pytest.mark.parametrize(
    ("change", "anew"),
    [
        ({"preset": "fast"}, True),
        ({"short_side": 32}, True),
        ({"weights": "of_raft.pth"}, False),
    ],
)
def test_what_decides_a_flow_makes_it_anew_and_nothing_else_does(data, change, anew):
    computed(data)
    again = computed(data, FlowConfig(**{"preset": "ultrafast", **change}))
    assert again.made == (3 * FRAMES if anew else 0)


def test_a_damaged_frame_is_one_line_and_what_was_made_stays(data):
    path = frame(data, "a/one", 2)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"a/one/00010\.jpg: truncated JPEG") as error:
        computed(data)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="not finished"):
        vouch(data.parent / "flow")
    path.write_bytes(whole)
    # `val` comes first: it was done
    assert computed(data).kept == FRAMES
    vouch(data.parent / "flow")


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ((48, 60), "^a/two: frame 1 of a clip is 60x48, the one before 64x48$"),
        ((8, 64), "^a/two: frame 1 of a clip is 64x8, the one before 64x48$"),
    ],
)
def test_frames_that_do_not_fit_each_other_are_one_line_with_their_clip(data, size, says):
    save_image(frame(data, "a/two", 1), np.zeros((*size, 3), np.uint8))
    with pytest.raises(InputError, match=says):
        computed(data)


def test_frames_too_small_for_the_method_are_one_line_with_their_clip(tmp_path):
    data = make_tree(tmp_path / "480p", train=("a/one",), val=(), frames=2, size=(8, 30))
    with pytest.raises(InputError, match="^a/one: frame is 30x8: DIS wants sides of 12 pixels"):
        computed(data)


def test_a_strangers_file_is_refused_and_kept(data):
    mine = data.parent / "flow/a/one/mine.png"
    save_image(mine, np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match=r"mine\.png: nothing here made it"):
        computed(data)
    assert list(content(data)) == ["a/one/mine.png"]


KILLED = """
import os, signal, sys
from pathlib import Path
from pdnet.config import FlowConfig
from pdnet.sources import flow

write, written = flow.write_flow, []

def write_and_die(path, value):
    if len(written) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(path)
    write(path, value)

flow.write_flow = write_and_die
data = Path(sys.argv[1])
flow.compute_flow(data, data.parent / "flow", FlowConfig(preset="ultrafast"), workers=1)
"""


def test_killed_half_way_it_goes_on_and_ends_as_if_it_had_not_been(data, tmp_path):
    # in the middle of the second clip
    command = [sys.executable, "-c", KILLED, str(data), str(FRAMES + 2)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(content(data)) == FRAMES + 2
    with pytest.raises(InputError, match="not finished"):
        vouch(data.parent / "flow")
    # a clip is a unit: the half one is made again
    assert computed(data) == Brought(made=2 * FRAMES, kept=FRAMES, removed=0)
    vouch(data.parent / "flow")
    whole = make_tree(tmp_path / "other/480p", frames=FRAMES)
    computed(whole)
    assert content(data) == content(whole)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"flow__method": "farneback"}, r"flow\.method"),
        ({"flow__preset": "slow"}, r"flow\.preset"),
        ({"flow__short_side": 0}, r"flow\.short_side"),
        ({"flow__speed": 3}, r"flow\.speed"),
    ],
)
def test_an_unknown_parameter_is_refused_by_its_name(tmp_path, change, says):
    with pytest.raises(InputError, match=says) as error:
        load_config(write_params(tmp_path / "p.yaml", **{**TINY, **change}))
    assert "\n" not in str(error.value)


def test_weights_of_raft_that_are_missing_are_one_line_before_anything_is_made(data):
    config = FlowConfig(method="raft_small", weights=str(data / "nowhere.pth"))
    with pytest.raises(InputError, match=r"nowhere\.pth") as error:
        computed(data, config)
    assert "\n" not in str(error.value)
    assert not (data.parent / "flow").exists()


def test_half_the_size_has_half_the_motion():
    flow = np.full((80, 120, 2), [4, -6], np.float32)
    small = reduced(flow, 40)
    assert small.shape == (40, 60, 2) and small.dtype == np.float32
    np.testing.assert_allclose(small, np.full((40, 60, 2), [2, -3]), rtol=1e-6)
    # what is that small already stays, and is not enlarged
    assert reduced(flow, 80) is flow and reduced(flow, 240) is flow


@pytest.mark.parametrize("size", [(48, 65), (65, 48)])
def test_each_direction_shrinks_by_its_own_factor(size):
    """The long side is rounded up: 65 becomes 44, not 43 1/3."""
    small = reduced(np.ones((*size, 2), np.float32), 32)
    expected = {48: 32, 65: 44}
    assert small.shape[:2] == tuple(expected[side] for side in size)
    right, down = expected[size[1]] / size[1], expected[size[0]] / size[0]
    np.testing.assert_allclose(small.reshape(-1, 2).mean(0), [right, down], rtol=1e-4)


def test_what_is_kept_small_looks_like_what_was_computed(tmp_path):
    data = make_tree(tmp_path / "480p", train=("a/one",), val=(), frames=2, size=(96, 128))
    kept = {}
    for short_side in (96, 48):
        computed(data, FlowConfig(short_side=short_side))
        (clip,) = read_tree(data).clips("train")
        kept[short_side] = read_flow(clip.flow(clip.frames[0]))
    assert kept[48].shape == (48, 64, 2)
    grown = 2 * cv2.resize(kept[48], (128, 96))
    likeness = np.corrcoef(grown.ravel(), kept[96].ravel())[0, 1]
    assert likeness > 0.9
    assert flow_colours(kept[48]).shape == (48, 64, 3)
