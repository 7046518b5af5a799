"""What a call costs, against costs that are known; how fast it is, as far as that can be told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pdnet.config import FlowConfig, checked
from pdnet.data.flow import dis
from pdnet.data.layout import read_tree
from pdnet.inference.cost import MIB, PeakMemory, giga_macs, live_parameters
from pdnet.inference.speed import measure_speed
from pdnet.sources.flow import compute_flow
from tests.helpers import make_tree, small

FLOAT = 4  # bytes


@torch.no_grad()
def test_the_macs_of_a_convolution_are_those_by_hand():
    layer = nn.Conv2d(3, 8, 3, padding=1, stride=2)
    # kernels of 3 x 3 x 3, eight of them, at 5 x 6 places
    expected = 3 * 3 * 3 * 8 * 5 * 6
    assert giga_macs(lambda: layer(torch.zeros(1, 3, 10, 12))) == pytest.approx(expected / 1e9)
    grouped = nn.Conv2d(4, 8, 1, groups=2)
    both = giga_macs(lambda: grouped(torch.zeros(2, 4, 3, 3)))
    assert both == pytest.approx(2 * 2 * 8 * 9 / 1e9), "of both items, each with half the inputs"


@torch.no_grad()
def test_the_macs_of_attention_count_on_its_own_path_too():
    query, keys = torch.zeros(1, 3, 20, 8), torch.zeros(1, 3, 50, 8)
    work = giga_macs(lambda: F.scaled_dot_product_attention(query, keys, keys))
    # products with the keys and the sum of the values, of three heads
    assert work == pytest.approx(2 * 3 * 20 * 50 * 8 / 1e9)


def test_peak_memory_is_the_most_that_is_alive_at_once():
    with PeakMemory() as memory:
        first, second = torch.zeros(1000), torch.zeros(500)
        del first
        third = torch.zeros(200)
    assert memory.peak == FLOAT * 1500 and memory.now == FLOAT * 700
    del second, third
    assert memory.now == 0, "what goes after the block is not alive either"


def test_a_view_and_a_change_in_place_take_no_memory():
    with PeakMemory() as memory:
        made = torch.zeros(30, 20)
        kept = [made.t(), made[3:], made.view(600), made.add_(1)]
    assert memory.peak == FLOAT * 600 and len(kept) == 4


def test_what_was_there_before_is_not_counted_whoever_looks_at_it():
    before = torch.zeros(30, 20)
    with PeakMemory() as memory:
        kept = [before.t(), before[3:], before.flatten(), before.mul_(2)]
    assert memory.peak == 0 and len(kept) == 4
    with PeakMemory() as memory:
        made = before + 1
    assert memory.peak == FLOAT * made.numel()


@torch.no_grad()
@pytest.mark.parametrize("interaction", ["ipda", "cosnet"])
def test_the_references_memory_is_not_counted_again(interaction):
    network = small(interaction=interaction, input_size=(64, 64))
    x = torch.zeros(1, 3, 64, 64)
    memory = network.encode_reference(x)
    with PeakMemory() as counted:
        output = network.segment(x, memory)
        del output
    assert counted.peak > 0 and counted.now == 0, "nothing that was made is left"


def test_memory_is_told_in_mebibytes():
    with PeakMemory() as memory:
        torch.zeros(2**20)
    assert memory.peak / MIB == FLOAT


def test_live_parameters_are_those_that_reach_the_result():
    network = nn.ModuleDict({"used": nn.Linear(3, 2), "idle": nn.Linear(5, 7)})
    network["idle"].weight.grad = torch.ones(7, 5)  # of earlier
    x = torch.ones(1, 3)
    with torch.no_grad():
        assert live_parameters(network, lambda: network["used"](x)) == 3 * 2 + 2
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize(
    ("interaction", "with_flow"),
    [("ipda", False), ("none", False), ("cosnet", False), ("hfan", True)],
)
def test_the_speed_with_flow_is_told_of_what_looks_at_flow_alone(tmp_path, interaction, with_flow):
    data = make_tree(tmp_path / "480p", train=(), frames=3)
    compute_flow(data, tmp_path / "flow", FlowConfig(preset="ultrafast"), workers=1)
    network = small(interaction=interaction, input_size=(64, 64))
    calls = []

    def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        calls.append((first.shape, second.shape))
        return dis("ultrafast")(first, second)

    clip = read_tree(data).clips("val")[0]
    options = checked("evaluate", fps_frames=3)
    said = measure_speed(network, clip, options, estimate=estimate)
    assert ("fps_with_flow" in said) == bool(calls) == with_flow
    assert set(calls) <= {((48, 64, 3), (48, 64, 3))}
    assert said["fps_model"] > 0 and said["fps_end_to_end"] > 0
    assert said["frame"] == said["input"].replace("64x64", "64x48") == "64x48"
    assert "fps_with_flow" not in measure_speed(network, clip, options)
