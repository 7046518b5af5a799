"""The evaluator against the official numbers, and what it refuses."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from pdnet.data.images import read_mask
from pdnet.errors import InputError
from pdnet.metrics.evaluator import read_prediction, score_folder
from pdnet.metrics.region_contour import frame_scores
from tests.bench.plain_evaluator import plain_frame_scores
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


def bad_twins(tree, predictions):
    shutil.copy(predictions / "b/three/00010.png", predictions / "b/three/00010.PNG")


def bad_twin_annotations(tree, predictions):
    bad_twins(tree, tree / "Annotations/480p")


def bad_loop(tree, predictions):
    (predictions / "b/three/00010.png").unlink()
    (predictions / "b/three/00010.png").symlink_to(predictions / "b/three/00010.png")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (bad_missing, "00010.png"),
        (bad_size, "12x10, its annotation 64x48"),
        (bad_grey, "--threshold"),
        (bad_truncated, "00010.png: truncated PNG"),
        (bad_empty_list, "missing or empty"),
        (bad_clip_name, "b/nobody: no annotations"),
        (bad_twins, "00010.PNG and 00010.png are one frame"),
        (bad_twin_annotations, "00010.PNG and 00010.png are one frame"),
        (bad_loop, "00010.png: cannot be read"),
    ],
)
def test_bad_input_is_refused_with_a_clear_line(cli, scored, spoil, says):
    spoil(*scored)
    status, text = cli("evaluate", scored[1], scored[0])
    assert status == 2 and says in text and text.count("\n") <= 3, text
    assert text.splitlines()[-1].startswith(("error: ", str(scored[1]))), text  # no bar after it
    assert not list(scored[1].glob("*.csv"))


def test_grey_with_a_threshold(cli, scored):
    bad_grey(*scored)
    assert cli("evaluate", scored[1], scored[0], "--threshold", 0.5)[0] == 0


def palette(mask: np.ndarray) -> Image.Image:
    picture = Image.fromarray(mask.astype(np.uint8))
    picture.putpalette([0, 0, 0, 224, 224, 192])
    return picture


def colour(mask: np.ndarray) -> Image.Image:
    return Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).convert("RGBA")


MASKS = {
    "one bit": Image.fromarray,
    "palette": palette,
    "colour": colour,
    "0/1": lambda mask: Image.fromarray(mask.astype(np.uint8)),
    "0/255": lambda mask: Image.fromarray(mask.astype(np.uint8) * 255),
    "0/1 in 16 bits": lambda mask: Image.fromarray(mask.astype(np.uint16)),
    "0/65535": lambda mask: Image.fromarray(mask.astype(np.uint16) * 65535),
}


@pytest.mark.parametrize("options", [{}, {"threshold": 0.5}, {"threshold": 1.0}, {"nonzero": True}])
@pytest.mark.parametrize("kind", MASKS)
def test_a_sound_mask_scores_as_itself_however_it_is_stored(scored, kind, options):
    tree, predictions = scored
    for file in (predictions / "b/three").iterdir():
        MASKS[kind](read_mask(file)).save(file)
    score = score_folder(predictions, tree, **options)["b/three"]
    assert (score.j == 1).all() and (score.f == 1).all()


SHARES = np.linspace(0, 1, 48 * 64).reshape(48, 64)


@pytest.mark.parametrize(("full", "dtype"), [(255, np.uint8), (65535, np.uint16)])
def test_grey_is_cut_at_the_threshold_of_its_own_scale(tmp_path, full, dtype):
    Image.fromarray((SHARES * full).round().astype(dtype)).save(tmp_path / "x.png")
    for threshold in (0.0, 0.25, 0.9):
        mask = read_prediction(tmp_path / "x.png", (48, 64), threshold)
        expected = (SHARES * full).round() > threshold * full
        assert np.array_equal(mask, expected)
    with pytest.raises(InputError, match="grey values .*--threshold 0.5.*--foreground nonzero"):
        read_prediction(tmp_path / "x.png", (48, 64))


@pytest.mark.parametrize(
    ("values", "threshold", "share"),
    [
        ((0, 128), 0.75, 0.5),  # two values, one of them 0: a mask
        ((128, 128), 0.75, 0),  # one other value alone: grey
        ((128, 128), 0.25, 1),
        ((1, 1), 0.75, 1),  # one value of a mask alone: all foreground
        ((255, 255), 0.75, 1),
        ((100, 200), 0.5, 0.5),  # two values, none of them 0: grey
        ((0, 0), 0.0, 0),
    ],
)
def test_what_counts_as_a_mask_and_what_as_grey(tmp_path, values, threshold, share):
    save_image(tmp_path / "x.png", np.repeat(np.array([values], np.uint8), 4, 0))
    assert read_prediction(tmp_path / "x.png", (4, 2), threshold).mean() == share


def test_a_faint_picture_among_grey_ones_is_no_mask(cli, scored):
    tree, predictions = scored
    bad_grey(tree, predictions)
    faint = read_mask(tree / "Annotations/480p/b/three/00005.png").astype(np.uint8)
    save_image(predictions / "b/three/00005.png", faint)
    status, text = cli("evaluate", predictions, tree, "--threshold", 0.5)
    assert status == 2 and "00005.png: a mask, or faint grey as" in text, text


def test_several_palette_indices_are_no_shares_to_cut(cli, scored):
    tree, predictions = scored
    picture = Image.fromarray(np.repeat(np.arange(48, dtype=np.uint8)[:, None] % 3, 64, 1))
    picture.putpalette(list(range(9)))
    picture.save(predictions / "b/three/00010.png")
    for given in ((), ("--threshold", 0.5)):
        status, text = cli("evaluate", predictions, tree, *given)
        assert status == 2 and "--foreground nonzero" in text, text
    assert cli("evaluate", predictions, tree, "--foreground", "nonzero")[0] == 0


def test_foreground_nonzero_counts_as_the_official_evaluator_does(cli, scored):
    tree, predictions = scored
    bad_grey(*scored)
    assert cli("evaluate", predictions, tree, "--foreground", "nonzero")[0] == 0
    ours = json.loads((predictions / "per-frame_results-val.json").read_text())["b/three"]
    truth = read_mask(tree / "Annotations/480p/b/three/00010.png")
    cast = np.asarray(Image.open(predictions / "b/three/00010.png")).astype(bool)
    assert (ours["J"][1], ours["F"][1]) == plain_frame_scores(cast, truth)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--threshold", 0.5, "--foreground", "nonzero"), "without --foreground nonzero"),
        (("--foreground", "all"), "--foreground all: expected binary or nonzero"),
    ],
)
def test_a_bad_option_is_one_line(cli, scored, options, says):
    status, text = cli("evaluate", scored[1], scored[0], *options)
    assert status == 2 and says in text and text.count("\n") == 1, text


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_that_is_no_share_is_refused(scored, threshold):
    with pytest.raises(InputError, match=r"expected a share in 0\.\.1"):
        score_folder(scored[1], scored[0], threshold=threshold)


def test_predictions_may_be_called_png_in_any_case(cli, scored):
    for file in (scored[1] / "b/three").iterdir():
        file.rename(file.with_suffix(".PNG"))
    assert cli("evaluate", scored[1], scored[0])[0] == 0


def test_a_clip_of_two_frames_needs_its_first_and_last(cli, tmp_path):
    tree = make_tree(tmp_path / "tree", frames=2)
    predictions = tree / "Annotations/480p"
    status, text = cli("evaluate", predictions, tree, "--out", tmp_path)
    assert status == 2 and "--include-first-last" in text
    assert cli("evaluate", predictions, tree, "--out", tmp_path, "--include-first-last")[0] == 0
