"""Ways to compute optical flow on the same frames: of a known motion the figures are known."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
import torch
from torchvision.models.optical_flow import raft_small

from pdnet.data.flow import dis
from pdnet.data.layout import read_tree
from pdnet.errors import InputError
from pdnet.inference.flow_bench import FlowWay, bench_flow, flow_ways, photometric_error, table
from pdnet.metrics.region_contour import region_similarity
from tests.helpers import disc, make_tree, save_image

SIZE, STEP = (96, 128), (3, -2)  # height and width; pixels to the right and down, a frame


def windows(frames: int) -> list[np.ndarray]:
    """Of a large smooth random texture that moves by `STEP`."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(noise, None, 2), None, 0, 255, cv2.NORM_MINMAX)
    starts = [(50 - i * STEP[1], 50 - i * STEP[0]) for i in range(frames)]
    return [texture[v : v + SIZE[0], u : u + SIZE[1]] for v, u in starts]


def discs(frames: int) -> list[np.ndarray]:
    """Masks that move with the texture."""
    return [disc(SIZE, (50 + i * STEP[1], 50 + i * STEP[0]), 20) for i in range(frames)]


@pytest.fixture
def clips(tmp_path):
    """One clip of four frames, without loss."""
    pairs = zip(windows(4), discs(4), strict=True)
    for number, (frame, mask) in enumerate(pairs):
        save_image(tmp_path / f"Keyframes/480p/moving/{number:05d}.png", frame)
        save_image(tmp_path / f"Annotations/480p/moving/{number:05d}.png", 255 * mask.astype("u1"))
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets/val.txt").write_text("moving\n")
    (tmp_path / "ImageSets/train.txt").write_text("")
    return read_tree(tmp_path).clips("val")


def the_motion(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.full((*SIZE, 2), STEP, np.float32)


def test_dis_follows_a_texture_and_the_wrong_sign_does_not(clips):
    """Beside the true motion, which leaves what comes in at the border and nothing else."""
    ways = {**flow_ways(), "truth": FlowWay(the_motion)}
    ways["backwards"] = FlowWay(lambda first, second: -dis()(first, second))
    ways["from the next"] = FlowWay(lambda first, second: dis()(second, first))
    rows = bench_flow(ways, clips)["ways"]
    assert list(rows) == list(ways) and len(rows) == 7
    rest = rows["no motion"]
    assert rows["truth"]["warped_iou"] == 1 and rest["warped_iou"] < 0.85
    assert rows["truth"]["photometric"] < 1 and rest["photometric"] > 20
    for name in ("DIS ultrafast", "DIS fast", "DIS medium"):
        assert rows[name]["photometric"] < rows["truth"]["photometric"] + 2, name
        assert rows[name]["warped_iou"] > 0.99, name
    for name in ("backwards", "from the next"):
        assert rows[name]["photometric"] > rest["photometric"], name
        assert rows[name]["warped_iou"] < rest["warped_iou"] - 0.05, name


def test_no_motion_is_the_frames_and_masks_as_they_are(clips):
    frames, masks = np.array(windows(4)).astype(int), discs(4)
    row = bench_flow({"rest": flow_ways()["no motion"]}, clips)["ways"]["rest"]
    assert row["photometric"] == pytest.approx(np.abs(frames[1:] - frames[:-1]).mean())
    overlaps = [region_similarity(a, b) for a, b in zip(masks[1:], masks[:-1], strict=True)]
    assert row["warped_iou"] == pytest.approx(np.mean(overlaps))


def test_every_pixel_counts_and_the_border_goes_on_outside():
    """Against whole pixels taken by hand."""
    frame, following = windows(2)
    v, u = np.indices(SIZE)
    right, down = STEP
    taken = following[np.clip(v + down, 0, SIZE[0] - 1), np.clip(u + right, 0, SIZE[1] - 1)]
    expected = np.abs(taken.astype(int) - frame).mean()
    flow = the_motion(frame, following)
    assert photometric_error(frame, following, flow) == pytest.approx(expected)
    inside = np.s_[2:, :-3]
    assert np.array_equal(taken[inside], frame[inside]) and expected > 0
    astray = photometric_error(frame, following, flow + 1000)
    assert astray == pytest.approx(np.abs(frame.astype(int) - following[-1, -1]).mean())


def test_a_pair_by_each_then_the_next_and_the_first_is_not_timed(clips):
    seen = []

    def way(name: str) -> FlowWay:
        seconds = iter([0.3, 0.3, 0.0])

        def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
            seen.append(name)
            assert (torch.get_num_threads(), cv2.getNumThreads()) == (1, 1)
            time.sleep(next(seconds))
            return the_motion(first, second)

        return FlowWay(estimate)

    rows = bench_flow({"first": way("first"), "second": way("second")}, clips)["ways"]
    assert seen == ["first", "second"] * 3
    for row in rows.values():
        assert 140 < row["wall_ms"] < 270  # the middle of 300 and next to none
        assert row["cpu_ms"] < 40  # waiting costs none


def test_random_weights_tell_the_speed_alone(clips):
    ways = flow_ways("small", "random")
    name = "RAFT small, random weights"
    result = bench_flow({name: ways[name], "truth": FlowWay(the_motion)}, clips, frames=3)
    row = result["ways"][name]
    assert row["cpu_ms"] > 0 and row["photometric"] is None and row["warped_iou"] is None
    first, _, _, footer = table(result).splitlines()[:4]
    assert "photometric warped IoU" in first and "1 clip(s), 2 pairs of frames" in footer
    cells = {line.rsplit(maxsplit=4)[0]: line.split()[-2:] for line in table(result).splitlines()}
    assert cells[name] == ["-", "-"] and cells["truth"][1] == "1.000"


def test_the_command_measures_dis_and_raft(cli, tree, tmp_path):
    torch.manual_seed(0)
    weights = tmp_path / "small.pth"
    torch.save(raft_small().state_dict(), weights)
    given = ("bench", "flow", tree, "--clip", "a/one", "--frames", 3)
    status, text = cli(*given, "--raft", "small", "--raft-weights", weights)
    assert status == 0 and "1 clip(s), 2 pairs of frames, one thread" in text
    rows = [line for line in text.splitlines() if line.startswith(("no motion", "DIS", "RAFT"))]
    names = [row.rsplit(maxsplit=4)[0] for row in rows]
    assert names == ["no motion", "DIS ultrafast", "DIS fast", "DIS medium", "RAFT small"]
    assert not any(" - " in row for row in rows)
    status, text = cli(*given)
    assert status == 0 and "DIS medium" in text and "RAFT" not in text


def test_the_help_has_an_example_and_says_what_is_read(cli):
    status, text = cli("bench", "flow", "--help")
    told = " ".join(text.split())
    assert status == 0 and "Example: pdnet bench flow data/480p --raft large" in told
    assert "annotations are read for the warped IoU, and for nothing else" in told


def test_wrong_input_is_one_line(cli, tree, tmp_path):
    wrong = {
        ("--raft", "huge"): "--raft huge: expected small, large or none",
        ("--raft-weights", "random"): "--raft-weights: of no network; give --raft small or large",
        ("--raft", "small", "--raft-weights", "gone.pth"): "weights 'gone.pth' cannot be had",
        ("--clip", "c/four"): "no clip 'c/four'",
    }
    for given, says in wrong.items():
        status, text = cli("bench", "flow", tree, *given)
        assert status == 2 and says in text and text.count("\n") == 1, text
    status, text = cli("bench", "flow", make_tree(tmp_path / "short", frames=2))
    assert status == 2 and "b/three: 2 frame(s), at least 3 are wanted" in text
    status, text = cli("bench", "flow", make_tree(tmp_path / "flat", size=(10, 40)))
    assert status == 2 and "b/three: frame is 40x10: DIS wants sides of 12 pixels" in text


def test_files_that_do_not_fit_are_one_line(clips):
    [clip] = clips
    ways, path = {"truth": FlowWay(the_motion)}, clip.mask(clip.frames[1])
    save_image(path, np.zeros((SIZE[0] - 1, SIZE[1]), np.uint8))
    with pytest.raises(InputError, match=r"00001\.png: of another size than its frame"):
        bench_flow(ways, clips)
    save_image(clip.frame(clip.frames[1]), np.zeros((SIZE[0] - 1, SIZE[1], 3), np.uint8))
    with pytest.raises(InputError, match=r"00001\.png: of another size than the frame before"):
        bench_flow(ways, clips)
