"""The evaluator against the official numbers, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pdnet.data.images import read_mask
from pdnet.metrics.region_contour import frame_scores
from tests.helpers import GOLDEN, ROOT, make_tree, save_image

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
