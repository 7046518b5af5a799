"""Parts follow the picture."""

from __future__ import annotations

import numpy as np
import torch

from pdnet.losses.equivariance import draw_warps, equivariance, warp

STILL = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])


def parts() -> torch.Tensor:
    hard = torch.zeros(1, 2, 16, 16)
    hard[:, 0, :8], hard[:, 1, 8:] = 1, 1
    return hard


def test_parts_that_follow_cost_nothing_and_those_that_stay_do():
    upside_down = -STILL
    portrait = torch.ones(1, 1, 16, 16)
    followed = warp(parts(), upside_down)
    assert equivariance(followed, parts(), portrait, upside_down) < 1e-4
    assert equivariance(parts(), parts(), portrait, upside_down) > 5


def test_beyond_the_picture_and_off_the_portrait_nothing_counts():
    warps = torch.tensor([[[1.0, 0, 1.0], [0, 1, 0]]])  # half of it leaves the picture
    wrong = parts().flip(1)
    portrait = torch.zeros(1, 1, 16, 16)
    portrait[..., :6] = 1  # what leaves
    assert equivariance(wrong, parts(), portrait, warps) == 0
    assert equivariance(wrong, parts(), torch.ones(1, 1, 16, 16), warps) > 5


def test_the_picture_itself_gets_no_gradient():
    own = torch.rand(1, 2, 8, 8, requires_grad=True)
    warped = torch.rand(1, 2, 8, 8, requires_grad=True)
    equivariance(warped, own, torch.ones(1, 1, 8, 8), STILL).backward()
    assert own.grad is None and warped.grad.abs().sum() > 0


def test_warps_come_from_their_generator_and_differ():
    first, again = (draw_warps(np.random.default_rng(3), 4) for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert first.shape == (4, 2, 3) and len(first.flatten(1).unique(dim=0)) == 4
