"""Grid targets stand for the same points of the image as the network's corner-aligned features."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pdnet.losses.grid import on_grid
from pdnet.model.blocks import resize

HEIGHT, WIDTH, GRID = 224, 160, (14, 10)


def ramp(side: int) -> torch.Tensor:
    """The position of each pixel, as a share of the way from the first to the last."""
    return torch.linspace(0, 1, side)


def test_a_slope_has_its_value_at_every_node_as_in_the_networks_own_resizing():
    rows = ramp(HEIGHT)[:, None].expand(HEIGHT, WIDTH)[None, None]
    nodes = torch.linspace(0, 1, GRID[0])
    ours = on_grid(rows, GRID)[0, 0, :, 0]
    torch.testing.assert_close(ours, nodes, atol=0.5 / HEIGHT, rtol=0)
    torch.testing.assert_close(resize(rows, GRID)[0, 0, :, 0], nodes, atol=1e-5, rtol=0)
    area = F.interpolate(rows, size=GRID, mode="area")[0, 0, :, 0]
    assert (area - nodes).abs().max() * HEIGHT > 6, "area cells lie up to half a cell off"


@pytest.mark.parametrize("centre", [(50, 50), (112, 80), (175, 110)])
def test_a_disc_stays_where_it_is(centre):
    v, u = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    disc = ((v - centre[0]) ** 2 + (u - centre[1]) ** 2 < 36**2).float()[None, None]
    grid = on_grid(disc, GRID)[0, 0]
    rows = torch.linspace(0, HEIGHT - 1, GRID[0])[:, None]
    columns = torch.linspace(0, WIDTH - 1, GRID[1])[None]
    assert abs((grid * rows).sum() / grid.sum() - centre[0]) < 1.5
    assert abs((grid * columns).sum() / grid.sum() - centre[1]) < 1.5


def test_shares_stay_shares():
    mask = (torch.rand(2, 1, 64, 96) > 0.5).float()
    grid = on_grid(mask, (4, 6))
    assert grid.shape == (2, 1, 4, 6) and grid.min() >= 0 and grid.max() <= 1
    torch.testing.assert_close(on_grid(torch.ones(1, 1, 64, 96), (4, 6)), torch.ones(1, 1, 4, 6))
    assert on_grid(mask, (1, 1))[:, 0, 0, 0] == pytest.approx(mask.mean((1, 2, 3)))
