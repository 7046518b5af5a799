"""What learned steps are held to, on maps whose error is known by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pdnet.losses.steps import naming_error, step_error


def picture() -> tuple[torch.Tensor, torch.Tensor]:
    """Steps (1, 2, 16, 16) in pixels and a mask: the left half is a person who moved by (8, -4)."""
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :8] = 1
    return mask * torch.tensor([8.0, -4.0]).view(1, 2, 1, 1), mask


def test_true_steps_in_tokens_cost_nothing():
    truth, mask = picture()
    found = torch.zeros(1, 2, 4, 4)
    found[..., :2] = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1)
    assert step_error(found, truth, mask) == 0


def test_of_others_than_people_nothing_is_asked():
    truth, mask = picture()
    found = torch.full((1, 2, 4, 4), 9.0)
    found[..., :2] = 0
    assert step_error(found, truth, mask) == pytest.approx(2**2 + 1)


def test_a_token_at_the_border_moved_as_what_it_shows_of_the_person():
    truth, mask = picture()
    truth, mask = truth.roll(2, 3), mask.roll(2, 3)  # half of a token is the person's
    found = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    assert step_error(found, truth, mask) == pytest.approx(0, abs=1e-10)


def test_nobody_in_the_picture_is_no_accident():
    nothing = torch.zeros(1, 2, 16, 16)
    assert step_error(torch.zeros(1, 2, 4, 4), nothing, nothing[:, :1]) == 0


def test_names_cost_nothing_where_they_are_right_and_chance_where_they_say_nothing():
    truth = torch.zeros(1, 3, 16, 16)
    truth[:, 1, :, :8] = 1
    sure = torch.full((1, 4, 4, 4), -50.0)
    sure[:, 2, :, :2], sure[:, 0, :, 2:] = 50.0, 50.0
    assert naming_error(sure, truth) < 1e-6
    assert naming_error(torch.zeros(1, 4, 4, 4), truth) == pytest.approx(2 * math.log(4))
