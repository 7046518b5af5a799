"""S-measure and mean absolute error: somebody else's numbers, the edges, what mirroring keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdnet.metrics.saliency import absolute_error, structure_measure

SIZE = (37, 53)
Y, X = np.mgrid[: SIZE[0], : SIZE[1]]
INSIDE, AT_THE_CORNER = (Y - 15) ** 2 + (X - 30) ** 2 < 90, (Y - 2) ** 2 + (X - 50) ** 2 < 200
# what another order of the sums makes of about 2000 numbers, and much more
ROUNDING = 1e-12


def on(size: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    truth = np.zeros(size, bool)
    truth[rows, columns] = True
    return truth


def blurred(truth: np.ndarray) -> np.ndarray:
    """A probability that follows the truth, with waves over it."""
    y, x = np.mgrid[: truth.shape[0], : truth.shape[1]]
    return np.clip(0.8 * truth + 0.1 * np.sin(0.9 * x + 0.4 * y) + 0.1, 0, 1)


@pytest.mark.parametrize(
    ("truth", "expected"),
    [(INSIDE, 0.9142416786392092), (AT_THE_CORNER, 0.7573122563651042)],
    ids=["inside", "corner"],
)
def test_the_structure_measure_is_pysodmetrics(truth, expected):
    """PySODMetrics 1.6.2 on the same maps."""
    assert structure_measure(blurred(truth), truth) == pytest.approx(expected, abs=ROUNDING)


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_the_measures_stay_in_their_range_and_a_perfect_map_is_best(seed):
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 20, 2)
    truth = rng.random(size) < rng.random()
    probability = rng.random(size)
    found = structure_measure(probability, truth)
    assert 0 <= found < 1 and 0 < absolute_error(probability, truth) <= 1
    # a little is added below each fraction; of a map of few pixels it is a larger share
    assert structure_measure(truth.astype(float), truth) == pytest.approx(1, abs=1e-9)
    assert absolute_error(truth.astype(float), truth) == 0


def test_a_truth_without_two_sides_asks_for_the_mean_alone():
    probability = blurred(INSIDE)
    empty, full = np.zeros(SIZE, bool), np.ones(SIZE, bool)
    mean = probability.mean()
    assert structure_measure(probability, empty) == pytest.approx(1 - mean)
    assert structure_measure(probability, full) == pytest.approx(mean)
    for truth in (empty, full):
        assert structure_measure(truth.astype(float), truth) == 1
        assert structure_measure(1 - truth.astype(float), truth) == 0


@pytest.mark.parametrize("truth", [INSIDE, AT_THE_CORNER], ids=["inside", "corner"])
def test_the_complement_is_worse_than_the_truth_and_what_is_between_lies_between(truth):
    strengths = [1.0, 0.75, 0.5, 0.25, 0.0]
    maps = [share * truth + (1 - share) * ~truth for share in strengths]
    for measure, sign in ((structure_measure, -1), (absolute_error, 1)):
        values = [sign * measure(probability, truth) for probability in maps]
        assert values == sorted(values) and values[0] < values[-1]
    assert structure_measure(maps[-1], truth) == 0 and absolute_error(maps[-1], truth) == 1


def test_the_structure_measure_by_hand():
    """One half everywhere, of a truth that is the left half."""
    truth = on((4, 4), slice(None), slice(0, 2))
    # of object and background alike: 2 * 0.5 / (0.25 + 1 + 0)
    likeness = 0.8
    # the centre, row 1.5 and column 0.5, is rounded to even and passed by one: rows 0-2 and 3,
    # columns 0 and 1-3. Both quarters of column 0 are flat in both maps (1), the others are flat
    # in one (0)
    regions = 4 / 16
    expected = 0.5 * likeness + 0.5 * regions
    assert structure_measure(np.full((4, 4), 0.5), truth) == pytest.approx(expected)


def test_the_absolute_error_by_hand():
    probability = np.array([[0.0, 0.5], [1.0, 0.25]], np.float32)
    truth = np.array([[False, True], [True, True]])
    # 0, a half, 0 and three quarters
    assert absolute_error(probability, truth) == pytest.approx(1.25 / 4)
    assert absolute_error(truth.astype(np.float32), truth) == 0
    assert absolute_error(1 - truth.astype(np.float32), truth) == 1


def test_single_precision_is_summed_in_double():
    probability = np.full((480, 854), 0.1, np.float32)
    truth = np.zeros(probability.shape, bool)
    assert absolute_error(probability, truth) == pytest.approx(float(np.float32(0.1)), rel=1e-12)
    # about 1e-7 of rounding in the map itself
    single = structure_measure(blurred(INSIDE).astype(np.float32), INSIDE)
    assert single == pytest.approx(structure_measure(blurred(INSIDE), INSIDE), abs=1e-6)


@pytest.mark.parametrize("truth", [INSIDE, AT_THE_CORNER], ids=["inside", "corner"])
def test_rows_and_columns_are_treated_alike(truth):
    probability = blurred(truth)
    turned = structure_measure(probability.T, truth.T)
    assert turned == pytest.approx(structure_measure(probability, truth), abs=ROUNDING)


def test_mirroring_keeps_the_value_where_it_keeps_the_quarters():
    """They meet behind the pixel of the rounded centre. A centre between two pixels, the upper one
    even, in a picture of even sides is rounded towards 0 both ways, so the cut is the same.
    """
    truth = on((40, 60), slice(9, 17), slice(21, 37))  # its centre: (12.5, 28.5)
    probability = blurred(truth)
    value = structure_measure(probability, truth)
    for mirror in (np.fliplr, np.flipud, lambda array: array[::-1, ::-1]):
        mirrored = structure_measure(mirror(probability), mirror(truth))
        assert mirrored == pytest.approx(value, abs=ROUNDING)


@pytest.mark.parametrize("truth", [INSIDE, AT_THE_CORNER], ids=["inside", "corner"])
@pytest.mark.parametrize("mirror", [np.fliplr, np.flipud])
def test_mirroring_elsewhere_moves_the_cut_by_a_row_or_column(truth, mirror):
    """So the object's half stays and the regions' half, of weight a half, changes a little."""
    probability = blurred(truth)
    value = structure_measure(probability, truth)
    mirrored = structure_measure(mirror(probability), mirror(truth))
    assert mirrored != pytest.approx(value, abs=1e-4), "then it could be claimed"
    assert mirrored == pytest.approx(value, abs=0.03)
    error = absolute_error(mirror(probability), mirror(truth))
    assert error == pytest.approx(absolute_error(probability, truth), abs=ROUNDING)


def test_a_single_pixel_and_the_last_one_have_quarters_too():
    for place in ((0, 0), (4, 6), (0, 6), (2, 3)):
        truth = np.zeros((5, 7), bool)
        truth[place] = True
        assert structure_measure(truth.astype(float), truth) == pytest.approx(1, abs=1e-9)
        found = structure_measure(np.full((5, 7), 0.5), truth)
        assert np.isfinite(found) and 0 < found < 1
