"""Who is meant: drawn people who pass, meet, hide behind poles and leave."""

from __future__ import annotations

import numpy as np
import pytest

from pdnet.base.files import write_image
from pdnet.config import EvaluateConfig, checked
from pdnet.data.images import read_mask
from pdnet.data.layout import Clip, read_tree
from pdnet.errors import InputError
from pdnet.inference.people import PATIENCE, PEOPLE, Cutter, masks
from pdnet.inference.pictures import clip_row
from pdnet.inference.predict import predict_clips
from pdnet.inference.score import score_clip, validate
from pdnet.inference.segment import ClipSegmenter, Segmentation, clip_segmenter
from pdnet.inference.stills import image_scores
from pdnet.metrics.region_contour import frame_scores
from tests.helpers import small

SIZE = (200, 320)  # pieces join up to 4 pixels apart, a track reaches 10 pixels


def scene(*boxes: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> np.ndarray:
    """Probability 0.9 inside boxes of (top, left, bottom, right), else 0.1."""
    probability = np.full(size, 0.1, np.float32)
    for top, left, bottom, right in boxes:
        probability[top:bottom, left:right] = 0.9
    return probability


def only(*boxes: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> np.ndarray:
    return scene(*boxes, size=size) > 0.5


def followed(*frames: np.ndarray) -> list[np.ndarray]:
    people = Cutter("reference", threshold=0.5)
    return [people.mask(frame) for frame in frames]


PERSON, CROWD = (50, 100, 150, 140), (20, 200, 180, 300)


def test_all_is_the_cut_probability_bit_for_bit():
    noise = np.random.default_rng(0).random((4, *SIZE), np.float32)
    people = Cutter("all", threshold=0.3)
    for probability in noise:
        assert (people.mask(probability) == (probability > 0.3)).all()


def test_the_largest_piece_of_each_frame_stays():
    people = Cutter("largest", threshold=0.5)
    assert (people.mask(scene(PERSON, CROWD)) == only(CROWD)).all()
    assert (people.mask(scene(PERSON)) == only(PERSON)).all()
    assert not people.mask(scene()).any()


def test_pieces_a_few_pixels_apart_are_one_and_the_gap_stays_open():
    """Two halves of a person are larger together than the neighbour who is larger than either."""
    halves = ((40, 50, 140, 80), (40, 84, 140, 114))
    neighbour = (40, 200, 140, 240)
    assert (Cutter("largest", threshold=0.5).mask(scene(*halves, neighbour)) == only(*halves)).all()
    apart = ((40, 50, 140, 80), (40, 86, 140, 116))
    found = Cutter("largest", threshold=0.5).mask(scene(*apart, neighbour))
    assert (found == only(neighbour)).all()


def test_pixels_that_touch_at_a_corner_are_one_piece():
    """On frames so small that nothing is joined beyond the 8 neighbours."""
    steps = np.eye(20, dtype=np.float32)
    assert (Cutter("largest", threshold=0.5).mask(steps) == (steps > 0.5)).all()


def test_the_first_frames_largest_is_followed_past_a_larger_crowd():
    moving = [(50, left, 150, left + 40) for left in range(20, 140, 8)]
    frames = [scene(moving[0]), *(scene(box, CROWD) for box in moving[1:])]
    for box, mask in zip(moving, followed(*frames), strict=True):
        assert (mask == only(box)).all()


def test_a_person_behind_a_pole_stays_whole_and_a_neighbour_out():
    """The pole is wider than what joins pieces; the neighbour is within reach of the track."""
    split = ((50, 100, 150, 114), (50, 126, 150, 140))
    neighbour = (50, 146, 150, 180)
    _, behind = followed(scene(PERSON), scene(*split, neighbour))
    assert (behind == only(*split)).all()


def test_who_passes_behind_a_wide_post_comes_out_whole_on_the_other_side():
    """What comes out is beyond the track's reach; a neighbour there would be too much."""
    left, right, neighbour = (50, 100, 150, 110), (50, 152, 150, 168), (50, 152, 150, 190)
    _, behind = followed(scene(PERSON), scene(left, right))
    assert (behind == only(left, right)).all()
    _, behind = followed(scene(PERSON), scene(left, neighbour))
    assert (behind == only(left)).all()
    _, out, later = followed(scene(PERSON), scene(right), scene(right, CROWD))
    assert (out == only(right)).all() and (later == only(right)).all()


def test_who_came_close_and_parts_again_is_left_behind():
    alone, together = scene(PERSON, CROWD), scene(PERSON, (50, 140, 150, 200), CROWD)
    frames = [scene(PERSON), alone, *[together] * 4, alone]
    found = followed(*frames)
    assert (found[5] == (together > 0.5)).all(), "who is joined cannot be told apart"
    assert (found[-1] == only(PERSON)).all()


def test_a_lost_person_is_waited_for_and_then_the_largest_is_followed():
    elsewhere = scene((50, 250, 150, 280), (50, 10, 80, 20))
    found = followed(scene(PERSON), *[elsewhere] * (PATIENCE + 2))
    assert not any(mask.any() for mask in found[1 : PATIENCE + 1])
    assert all((mask == only((50, 250, 150, 280))).all() for mask in found[PATIENCE + 1 :])


def test_who_is_nearby_and_much_larger_is_nobody_who_came_back():
    """At once within the wider reach, and not taken before patience is over."""
    beside = (20, 154, 180, 300)
    found = followed(scene(PERSON), *[scene(beside)] * (PATIENCE + 1))
    assert not any(mask.any() for mask in found[1:-1])
    assert (found[-1] == only(beside)).all()


def test_who_comes_back_in_time_is_known_again():
    found = followed(scene(PERSON), *[scene(CROWD)] * PATIENCE, scene(PERSON, CROWD))
    assert (found[-1] == only(PERSON)).all()


def test_a_remnant_on_the_track_holds_nobody_up():
    remnant = (60, 110, 64, 114)  # less than a tenth of the person
    found = followed(scene(PERSON), *[scene(remnant, CROWD)] * (PATIENCE + 1))
    assert (found[1] == only(remnant)).all()
    assert (found[-1] == only(CROWD)).all()


def test_nobody_in_the_first_frames_means_the_first_somebody():
    found = followed(scene(), scene(), scene(PERSON), scene(PERSON, CROWD))
    assert not found[1].any() and (found[-1] == only(PERSON)).all()


def test_frames_may_change_their_size():
    doubled = tuple(2 * side for side in SIZE)
    large = tuple(tuple(2 * edge for edge in box) for box in (PERSON, CROWD))
    found = followed(scene(PERSON), scene(*large, size=doubled))
    assert (found[1] == only(large[0], size=doubled)).all()


@pytest.mark.parametrize("people", PEOPLE)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2)])
def test_any_size_is_a_frame(people, size):
    cut = Cutter(people, threshold=0.5)
    for value in (0.0, 1.0, 1.0, 0.0):
        assert (cut.mask(np.full(size, value, np.float32)) == (value > 0.5)).all()


@pytest.mark.parametrize("people", PEOPLE)
def test_a_mask_is_never_more_than_the_cut_probability(people):
    rng, cut = np.random.default_rng(1), Cutter(people, threshold=0.5)
    for _ in range(20):
        probability = rng.random((8, 12), np.float32).repeat(10, 0).repeat(10, 1)
        assert not (cut.mask(probability) & ~(probability > 0.5)).any()


def test_a_word_that_is_no_choice_is_refused():
    with pytest.raises(InputError, match="people 'most': expected all, largest, reference"):
        Cutter("most", threshold=0.5)


def test_the_choices_are_those_of_the_parameter():
    for people in PEOPLE:
        assert EvaluateConfig(people=people).people == people


@pytest.fixture
def crowded(tree, monkeypatch) -> Clip:
    """A clip whose network finds a person first, then a larger crowd beside."""
    clip = read_tree(tree).clips("val")[0]
    person, crowd = (10, 10, 30, 20), (5, 30, 45, 60)
    size = read_mask(clip.mask(clip.frames[0])).shape

    def drawn(_: ClipSegmenter, index: int, frame: np.ndarray | None = None) -> Segmentation:
        return Segmentation(scene(person, *([crowd] if index else []), size=size), None)

    monkeypatch.setattr(ClipSegmenter, "segment", drawn)
    return clip


WANTED = {"all": 200 + 1200, "largest": 1200, "reference": 200}  # pixels, of the last frame


@pytest.mark.parametrize("people", PEOPLE)
def test_a_frames_mask_is_the_same_alone_and_in_its_clip(crowded, people):
    segmenter = clip_segmenter(small(input_size=(64, 64)), crowded)
    how = {"threshold": 0.5, "people": people}
    whole = {seen.stem: mask for seen, mask in masks(segmenter, crowded, **how)}
    assert list(whole) == list(crowded.frames)
    for stem in crowded.frames:
        [(seen, mask)] = masks(segmenter, crowded, [stem], **how)
        assert seen.stem == stem and (mask == whole[stem]).all()
    assert whole[crowded.frames[-1]].sum() == WANTED[people]


@pytest.mark.parametrize("people", PEOPLE)
def test_files_scores_and_pictures_show_the_same_people(crowded, tmp_path, people):
    network, last = small(input_size=(64, 64)), crowded.frames[-1]
    options = EvaluateConfig(people=people)
    predict_clips(network, [crowded], tmp_path, options=options)
    files = {stem: read_mask(tmp_path / crowded.name / f"{stem}.png") for stem in crowded.frames}
    assert files[last].sum() == WANTED[people]
    truths = {stem: read_mask(crowded.mask(stem)) for stem in crowded.frames}
    segmenter = clip_segmenter(network, crowded)
    score = score_clip(segmenter, crowded, 0.5, [last], people=people)
    assert (score.j[0], score.f[0]) == frame_scores(files[last], truths[last])
    scored = crowded.scored_frames()
    means = validate(network, [crowded], threshold=0.5, frames=None, people=people)
    j = [frame_scores(files[stem], truths[stem])[0] for stem in scored]
    assert means["J-Mean"] == pytest.approx(np.mean(j))
    row = clip_row(network, crowded, len(crowded.frames) - 1, checked("evaluate", people=people))
    options = [checked("evaluate", people=one) for one in PEOPLE if one != people]
    others = [clip_row(network, crowded, 4, one) for one in options]
    assert all((row[2] != other[2]).any() for other in others)


def test_a_single_image_counts_everybody(tmp_path, monkeypatch):
    frame = np.zeros((*SIZE, 3), np.uint8)
    truth = only(PERSON, CROWD).astype(np.uint8) * 255
    image, mask = tmp_path / "s/img/1.png", tmp_path / "s/mask/1.png"
    write_image(image, frame)
    write_image(mask, truth)
    drawn = Segmentation(scene(PERSON, CROWD), None)
    monkeypatch.setattr(ClipSegmenter, "segment", lambda *_: drawn)
    network = small(input_size=(64, 64))
    assert image_scores(network, [(image, mask)], 0.5) == [1]
