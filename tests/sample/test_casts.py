"""Casts: people and figures that nothing but motion tells apart."""

from __future__ import annotations

import numpy as np
import pytest

from pdnet.base.manifest import bring
from pdnet.data.images import read_labels, read_mask
from pdnet.data.layout import problems, read_tree
from pdnet.data.skeleton import JOINTS
from pdnet.sample.casts import LONGEST, SOONEST, cast, cast_unit, training_frames
from pdnet.sample.scene import FPS, Scene, SceneScript

SEED = 7


def with_camera(camera: str, kind: str = "eval") -> SceneScript:
    """A cast whose camera moves so."""
    for index in range(100):
        script = cast(kind, index, seed=SEED)
        if script.camera == camera:
            return script
    raise AssertionError(camera)


def joints(frame) -> np.ndarray:
    return np.array([[member[name] for name in JOINTS] for member in frame.joints])


@pytest.mark.parametrize("camera", ["still", "hand"])
def test_figures_stay_in_the_scene_and_people_do_not(camera):
    script = with_camera(camera)
    scene = Scene(script)
    first, later = scene.render(0), scene.render(30)
    linear, shift = first.camera[:, :2], first.camera[:, 2]
    rest = (joints(first) - shift) @ np.linalg.inv(linear).T
    expected = rest @ later.camera[:, :2].T + later.camera[:, 2]
    steps = np.linalg.norm(joints(later) - expected, axis=-1).max(1)
    alive = np.array([person.alive for person in script.people])
    np.testing.assert_allclose(steps[~alive], 0, atol=1e-9)
    assert (steps[alive] > 0.5).all()
    moved = np.linalg.norm(joints(later) - joints(first), axis=-1).max(1)
    assert (moved[~alive] > 1).all() == (camera == "hand")


def test_a_figure_looks_as_the_person_would_at_its_moment():
    """Pixel by pixel: what is alive differs from what is not in its motion alone."""
    script = with_camera("hand")
    index = next(i for i, person in enumerate(script.people) if not person.alive)
    people = list(script.people)
    figure = people[index].model_copy(update={"moment": 20 / FPS})
    people[index] = figure
    dead = Scene(script.model_copy(update={"people": list(people)}))
    people[index] = figure.model_copy(update={"alive": True, "moves": "all"})
    alive = Scene(script.model_copy(update={"people": list(people)}))
    still, moving = dead.render(20), alive.render(20)
    np.testing.assert_array_equal(still.colour, moving.colour)
    np.testing.assert_array_equal(still.labels + still.figures, moving.labels + moving.figures)
    assert (still.labels != moving.labels).any()
    assert (dead.render(35).colour != alive.render(35).colour).any()


def test_of_every_cast_somebody_lives_and_somebody_does_not():
    for index in range(200):
        alive = [person.alive for person in cast("train", index, seed=SEED).people]
        assert any(alive) and not all(alive)


def test_looks_places_and_order_do_not_depend_on_who_lives():
    rows = []
    for index in range(1500):
        people = cast("train", index, seed=SEED).people
        rows += [
            (p.alive, p.height, *p.at, p.moment, p.board, p.holds, i / (len(people) - 1))
            for i, p in enumerate(people)
        ]
    table = np.array(rows, float)
    alive, looks = table[:, 0] > 0, table[:, 1:]
    assert 0.48 < alive.mean() < 0.52
    gap = looks[alive].mean(0) - looks[~alive].mean(0)
    error = looks.std(0) * np.sqrt(1 / alive.sum() + 1 / (~alive).sum())
    assert (np.abs(gap) < 4 * error).all(), gap / error


def test_a_cast_is_what_its_kind_and_number_say():
    assert cast("held", 3, seed=SEED) == cast("held", 3, seed=SEED)
    seeds = {cast(kind, 3, seed=SEED).seed for kind in ("train", "held", "eval")}
    assert len(seeds) == 3
    assert cast("eval", 3, seed=SEED).split == "val" and cast("held", 3, seed=SEED).split == "train"


def test_a_training_cast_is_a_first_frame_and_two_later_ones():
    for index in range(50):
        first, *later = training_frames(index, seed=SEED)
        assert first == 0 and len(set(later)) == 2
        assert min(later) >= SOONEST and max(later) < LONGEST


def test_rendered_casts_are_a_sound_tree_with_figures_apart(tmp_path):
    units = [cast_unit("train", 0, seed=SEED), cast_unit("eval", 0, seed=SEED)]
    for name in ("train", "val"):
        (tmp_path / "ImageSets").mkdir(exist_ok=True)
        kind = "train" if name == "train" else "eval"
        (tmp_path / f"ImageSets/{name}.txt").write_text(f"{kind}/00000\n")
    for unit in units:
        unit.make(tmp_path, *unit.given)
    tree = read_tree(tmp_path)
    assert problems(tree) == []
    assert len(tree.clips("train")[0].frames) == 3
    assert tree.clips("val")[0].frames == tuple(f"{i:05d}" for i in range(0, LONGEST, 5))
    for clip in tree.every_clip():
        assert len(clip.joints()) == 1
        for stem in clip.frames:
            people, figures = read_labels(clip.parts(stem)), read_labels(clip.figures(stem))
            mask = read_mask(clip.mask(stem)) > 0
            assert ((people > 0) == mask).all() and not (mask & (figures > 0)).any()
            assert mask.any() and (figures > 0).any()


def test_rendering_twice_makes_nothing_anew(tmp_path):
    units = [cast_unit("train", 1, seed=SEED)]
    assert bring(tmp_path / "raw", units, "render", workers=1).kept == 0
    assert bring(tmp_path / "raw", units, "render", workers=1).made == 0
