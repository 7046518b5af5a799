"""The evaluator against the official one's numbers, and against a plain implementation of its steps."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdnet.data.images import read_mask
from pdnet.metrics.bits import Grid, boundary, dilate, pack
from pdnet.metrics.region_contour import frame_scores, statistics, tolerance
from tests.bench.plain_evaluator import plain_frame_scores
from tests.helpers import GOLDEN, ROOT, disc, make_tree, save_image

EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


def test_equals_the_official_numbers_in_every_figure(cli, tmp_path):
    status, text = cli("evaluate", GOLDEN / "Results", GOLDEN, "--out", tmp_path)
    assert status == 0, text
    ours = json.loads((tmp_path / "per-frame_results-val.json").read_text())
    assert set(ours) == set(EXPECTED)
    for clip, expected in EXPECTED.items():
        assert ours[clip]["frames"] == expected["frames"]
        for name, value in expected.items():
            if name != "frames" and value is not None:
                np.testing.assert_allclose(
                    ours[clip][name], value, atol=1e-9, err_msg=f"{clip} {name}"
                )


def test_decay_of_a_long_clip_uses_the_same_bins_without_the_cast(cli, tmp_path):
    cli("evaluate", GOLDEN / "Results", GOLDEN, "--out", tmp_path)
    ours = json.loads((tmp_path / "per-frame_results-val.json").read_text())["long-300-frames"]
    j = np.array(EXPECTED["long-300-frames"]["J"])
    edges = np.round(np.linspace(1, 298, 5) + 1e-10).astype(int) - 1
    assert ours["J-Decay"] == pytest.approx(
        j[edges[0] : edges[1] + 1].mean() - j[edges[3] : edges[4] + 1].mean()
    )


def test_writes_the_official_files(cli, tmp_path):
    cli("evaluate", GOLDEN / "Results", GOLDEN, "--out", tmp_path)
    lines = (tmp_path / "global_results-val.csv").read_text().splitlines()
    assert lines[0] == "J&F-Mean,J-Mean,J-Recall,J-Decay,F-Mean,F-Recall,F-Decay"
    assert all(len(value.split(".")[1]) == 6 for value in lines[1].split(","))
    rows = (tmp_path / "per-sequence_results-val.csv").read_text().splitlines()
    assert rows[0].startswith("Sequence,J&F-Mean") and len(rows) == 1 + len(EXPECTED)


@pytest.mark.parametrize("clip", ["dance-twirl", "breakdance"])
def test_equals_the_official_numbers_on_real_masks(clip):
    shared = ROOT.parent / "shared"
    truths = shared / "davis2016_people/Annotations/480p" / clip
    if not truths.is_dir():
        pytest.skip("the DAVIS masks are not part of the project")
    expected = json.loads((shared / "golden/expected.json").read_text())[clip]
    for stem, j, f in zip(expected["frames"], expected["J"], expected["F"], strict=True):
        ours = frame_scores(
            read_mask(truths / f"{stem}.png"),
            read_mask(shared / "golden/Results" / clip / f"{stem}.png"),
        )
        assert ours == pytest.approx((j, f), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 90),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]),
)
def test_equals_plain_steps_on_any_masks(height, width, seed, density):
    rng = np.random.default_rng(seed)
    truth = cv2.blur(rng.random((height, width)), (5, 5)) < density
    prediction = np.roll(truth, rng.integers(-3, 4, 2), (0, 1)) ^ (
        rng.random((height, width)) < 0.02
    )
    assert frame_scores(truth, prediction) == plain_frame_scores(truth, prediction)


@pytest.mark.parametrize("radius", [0, 1, 2, 5, 8, 13])
def test_dilation_is_the_disk(radius):
    rng = np.random.default_rng(radius)
    points = rng.random((40, 57)) < 0.01
    grid = Grid(40, 57, gap=radius)
    v, u = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    expected = cv2.dilate(
        points.astype(np.uint8), (u * u + v * v <= radius * radius).astype(np.uint8)
    )
    everywhere = pack(np.ones((40, 57), bool), grid)
    assert dilate(pack(points, grid), radius, grid) & everywhere == pack(expected > 0, grid)


def test_boundary_of_a_square():
    mask = np.zeros((6, 7), bool)
    mask[2:4, 2:5] = True
    expected = np.zeros((6, 7), bool)
    expected[1, 1:5] = expected[3, 1:5] = True  # one pixel up and left of the square, and inside it
    expected[2, [1, 4]] = True
    grid = Grid(6, 7, gap=1)
    assert boundary(pack(mask, grid), grid) == pack(expected, grid)


def test_known_values():
    a, b = disc((480, 854), (240, 400), 100), disc((480, 854), (240, 500), 100)
    assert frame_scores(a, a) == (1.0, 1.0)
    assert frame_scores(a, ~a)[0] == 0.0
    assert frame_scores(a, b)[0] == pytest.approx((a & b).sum() / (a | b).sum())
    assert tolerance(480, 854) == 8
    assert statistics(np.array([0.2, 0.6, 0.8, 1.0])) == (
        pytest.approx(0.65),
        0.75,
        pytest.approx(0.4 - 0.9),
    )


@pytest.fixture
def scored(tmp_path):
    tree = make_tree(tmp_path / "tree")
    for file in (tree / "Annotations/480p/b/three").iterdir():
        save_image(
            tmp_path / "predictions/b/three" / file.name, read_mask(file).astype(np.uint8) * 255
        )
    return tree, tmp_path / "predictions"


def test_perfect_predictions(cli, scored):
    tree, predictions = scored
    assert cli("evaluate", predictions, tree)[0] == 0
    assert (
        (predictions / "global_results-val.csv")
        .read_text()
        .splitlines()[1]
        .startswith("1.000000,1.000000,1.000000,0.")
    )


def bad_missing(tree, predictions):
    (predictions / "b/three/00010.png").unlink()


def bad_size(tree, predictions):
    save_image(predictions / "b/three/00010.png", np.zeros((10, 12), np.uint8))


def bad_grey(tree, predictions):
    save_image(
        predictions / "b/three/00010.png", np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)
    )


def bad_truncated(tree, predictions):
    file = predictions / "b/three/00010.png"
    save_image(file, np.random.default_rng(0).integers(0, 2, (48, 64), dtype=np.uint8) * 255)
    file.write_bytes(file.read_bytes()[:200])


def bad_empty_list(tree, predictions):
    (tree / "ImageSets/val.txt").write_text("")


def bad_clip_name(tree, predictions):
    (tree / "ImageSets/val.txt").write_text("b/nobody\n")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (bad_missing, "00010.png"),
        (bad_size, "12x10, its annotation 64x48"),
        (bad_grey, "--threshold"),
        (bad_truncated, "not a readable image"),
        (bad_empty_list, "missing or empty"),
        (bad_clip_name, "b/nobody: no annotations"),
    ],
)
def test_bad_input_is_refused_with_a_clear_line(cli, scored, spoil, says):
    spoil(*scored)
    status, text = cli("evaluate", scored[1], scored[0])
    assert status == 2 and says in text and text.count("\n") <= 3, text


def test_grey_with_a_threshold(cli, scored):
    bad_grey(*scored)
    assert cli("evaluate", scored[1], scored[0], "--threshold", 0.5)[0] == 0


def test_a_clip_of_two_frames_needs_its_first_and_last(cli, tmp_path):
    tree = make_tree(tmp_path / "tree", frames=2)
    predictions = tree / "Annotations/480p"
    status, text = cli("evaluate", predictions, tree, "--out", tmp_path)
    assert status == 2 and "--include-first-last" in text
    assert cli("evaluate", predictions, tree, "--out", tmp_path, "--include-first-last")[0] == 0
