"""Attention is told from colours alone where things went."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pdnet.losses.correspondence import (
    FINE_PATCH,
    PATCH,
    correspondence,
    looks,
    near_correspondence,
)
from pdnet.model.motion import REACH

GRID = (4, 6)


def picture() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(2, 3, GRID[0] * PATCH * 2, GRID[1] * PATCH * 2)


def shift(by: int) -> torch.Tensor:
    """Attention that looks `by` tokens to the left, on a ring."""
    n = GRID[0] * GRID[1]
    columns = torch.arange(n).view(GRID).roll(by, 1).flatten()
    return torch.eye(n)[columns].expand(2, 1, 3, n, n)


def test_the_right_places_cost_nothing_and_others_do():
    reference = picture()
    target = reference.roll(PATCH * 2, 3)  # right by a token
    assert correspondence(shift(1), target, reference, GRID) < 1e-10
    assert correspondence(shift(0), target, reference, GRID) > 0.5


def test_to_look_everywhere_costs_one_at_any_contrast():
    n = GRID[0] * GRID[1]
    everywhere = torch.full((2, 1, 3, n, n), 1 / n)
    for contrast in (1.0, 0.5):
        image = picture() * contrast
        cost = correspondence(everywhere, image, image, GRID)
        torch.testing.assert_close(cost, torch.tensor(1.0), atol=0.02, rtol=0)


@pytest.mark.parametrize("step", [(0, 3), (-2, 1), (REACH, -REACH)])
def test_near_the_right_places_cost_nothing_and_others_do(step):
    torch.manual_seed(0)
    height, width = 16, 20
    reference = torch.rand(2, 3, FINE_PATCH * height, FINE_PATCH * width)
    # the same thing lies `step` tokens away; beyond the border is black
    edge = FINE_PATCH * REACH
    down, right = (FINE_PATCH * (REACH + steps) for steps in step)
    seen = F.pad(reference, (edge, edge, edge, edge))[..., down:, right:]
    target = seen[..., : FINE_PATCH * height, : FINE_PATCH * width]
    window = torch.zeros(2, (2 * REACH + 1) ** 2, height, width)
    window[:, (REACH + step[0]) * (2 * REACH + 1) + REACH + step[1]] = 1
    assert near_correspondence(window, target, reference) < 1e-10
    assert near_correspondence(window.roll(1, 1), target, reference) > 0.5


def test_a_token_looks_as_its_cells_do():
    image = torch.zeros(1, 3, 32, 48)
    image[:, 0, :8, 8:16] = 1  # the second token, red
    tokens = looks(image, GRID)
    assert tokens.shape == (1, 48, *GRID)
    assert tokens[0, :, 0, 1].sum() == PATCH**2 and tokens.sum() == PATCH**2
