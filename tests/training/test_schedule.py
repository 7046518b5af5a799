"""Learning rates and the order of steps."""

from __future__ import annotations

import pytest

from pdnet.config import load_config
from pdnet.training.schedule import decay, learning_rates, step_kinds
from tests.helpers import TINY, write_params


@pytest.fixture
def train(tmp_path):
    changes = {**TINY, "profile": "paper", "model.preset": "paper"}
    return load_config(write_params(tmp_path / "p.yaml", **changes)).train


def test_the_papers_rates_at_the_start(train):
    assert learning_rates(train, "image", iteration=0, total=100, epoch=0) == (2.5e-4, 0.0)
    assert learning_rates(train, "video", iteration=0, total=100, epoch=0) == (2.5e-5, 2.5e-3)


def test_rates_decay_by_the_power_and_are_halved_late(train):
    assert decay(train, 50, 100, 5) == pytest.approx(0.5**0.9)
    assert decay(train, 50, 100, 6) == pytest.approx(0.5 * 0.5**0.9)


def test_a_cosine_falls_to_nothing_and_a_warm_up_rises_to_all(train):
    cosine = train.model_copy(update={"schedule": "cosine", "late_factor": 1.0, "warmup": 4})
    assert [decay(cosine, i, 100, 9) for i in (0, 1, 25)] == pytest.approx(
        [0.25, 0.5, 0.853553], 1e-2
    )
    assert decay(cosine, 50, 100, 9) == pytest.approx(0.5)
    assert decay(cosine, 100, 100, 9) == pytest.approx(0.0)


def test_images_may_come_several_times_in_a_row(train):
    more = train.model_copy(update={"image_every": 1, "image_run": 3})
    assert step_kinds(more, 2, True) == [*["image"] * 3, "video"] * 2


def test_an_image_step_comes_before_every_two_video_steps(train):
    video = ["video", "video"]
    assert step_kinds(train, 5, True) == ["image", *video, "image", *video, "image", "video"]
    assert step_kinds(train, 3, False) == ["video"] * 3
