"""The average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pdnet.training.average import averaged


def test_the_average_is_the_formula_and_follows_the_statistics():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = averaged(network, decay=0.3)
    wanted = None
    for step in range(5):
        with torch.no_grad():
            network[0].weight.add_(1.0)
        network(torch.randn(4, 2))
        average.update_parameters(network)
        share = min(0.3, (1 + step) / (10 + step))
        now = torch.cat([network[0].weight.flatten(), network[1].running_mean]).detach().double()
        # the first one is a copy
        wanted = now if wanted is None else share * wanted + (1 - share) * now
    layers = average.module
    found = torch.cat([layers[0].weight.flatten(), layers[1].running_mean]).detach().double()
    assert torch.allclose(found, wanted, atol=1e-6)
    assert layers[1].num_batches_tracked == 5


def test_a_decay_near_one_forgets_the_start():
    network = nn.Linear(1, 1)
    average = averaged(network, decay=0.999)
    nn.init.zeros_(network.weight)
    average.update_parameters(network)
    nn.init.ones_(network.weight)
    for _ in range(100):
        average.update_parameters(network)
    assert average.module.weight.item() == pytest.approx(1.0, abs=1e-3)
