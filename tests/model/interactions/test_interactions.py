"""The compared methods' interactions: alone, in the network, and what each of them looks at."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pdnet.config import LOOK_AT_FLOW, LossConfig
from pdnet.config import Interaction as Named
from pdnet.errors import InputError
from pdnet.inference.segment import ClipSegmenter
from pdnet.inference.stills import still_mask
from pdnet.losses import PDNetLoss
from pdnet.model import PDNet
from pdnet.model.checkpoint import load_network, save_network
from pdnet.model.interactions import INTERACTIONS
from pdnet.model.interactions.base import Interaction, PairInteraction, attend
from tests.helpers import small

PAIRED = sorted(name for name, made in INTERACTIONS.items() if made.looks_at == "reference")
BESIDE_FLOW = sorted(name for name, made in INTERACTIONS.items() if made.looks_at == "flow")
# AGNN's references send each other messages besides
AVERAGED = [name for name in PAIRED if issubclass(INTERACTIONS[name], PairInteraction)]
CHANNELS, MOTION = 16, 8
# odd, a row, a column, a single point: whatever a crop or a phone's frame comes to
GRIDS = [(7, 9), (5, 5), (1, 6), (6, 1), (1, 1)]


def lived_in(module: nn.Module) -> nn.Module:
    """A module whose batch norms are not at their start, where they would do nothing."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.2, 0.5)
    return module


def interaction(name: str) -> Interaction:
    torch.manual_seed(0)
    return lived_in(INTERACTIONS[name](CHANNELS, MOTION)).eval()


def maps(count: int, grid: tuple[int, int] = (7, 9), batch: int = 2) -> tuple[Tensor, ...]:
    """Maps as the encoder gives them: non-negative, some of them 0."""
    drawn = torch.Generator().manual_seed(1)
    return torch.randn(count, batch, CHANNELS, *grid, generator=drawn).relu().unbind()


def motion(made: Interaction, target: Tensor, *others: Tensor) -> Tensor:
    """Motion features from the target's map and the references' (or the flow's)."""
    if made.looks_at == "flow":
        return made(target, (), *others)
    return made(target, [made.remember(other) for other in others], None)


def apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).detach().abs().max())


def test_all_but_agnn_average_what_their_references_tell():
    assert AVERAGED == ["concat", "cosnet", "f2net", "imcnet"]


def test_the_parameters_name_every_interaction_and_what_looks_at_flow():
    assert set(get_args(Named)) == {*INTERACTIONS, "ipda", "none"}
    assert sorted(LOOK_AT_FLOW) == BESIDE_FLOW
    assert {*PAIRED, *BESIDE_FLOW} == set(INTERACTIONS)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("name", INTERACTIONS)
def test_motion_features_are_non_negative_and_lie_on_the_targets_grid(name, grid):
    made = interaction(name)
    with torch.no_grad():
        found = motion(made, *maps(2, grid))
    assert found.shape == (2, MOTION, *grid)
    assert found.isfinite().all() and found.min() >= 0 and found.max() > 0


@pytest.mark.parametrize("size", [(1.0, 1e3), (1e3, 1.0), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
@pytest.mark.parametrize("name", INTERACTIONS)
def test_maps_that_are_large_or_empty_give_finite_features(name, size):
    made, (target, other) = interaction(name), maps(2)
    with torch.no_grad():
        assert motion(made, size[0] * target, size[1] * other).isfinite().all()


@pytest.mark.parametrize("name", INTERACTIONS)
def test_every_parameter_learns(name):
    """None is excused: biases that a softmax or a batch norm takes back were left out."""
    made = interaction(name).train()
    found = motion(made, *maps(2))
    # a plain sum is what a batch norm holds constant
    (found * torch.rand(found.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    for entry, parameter in made.named_parameters():
        assert parameter.grad is not None, entry
        assert parameter.grad.isfinite().all(), entry
        # single precision leaves about 1e-7 of what cancels out
        assert parameter.grad.abs().max() > 1e-6, entry


@pytest.mark.parametrize("name", INTERACTIONS)
def test_the_gradient_reaches_the_target_and_what_it_is_compared_with(name):
    made = interaction(name).train()
    target, other = (x.requires_grad_() for x in maps(2))
    found = motion(made, target, other)
    (found * torch.rand(found.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    for x in (target, other):
        assert x.grad.isfinite().all()
        # every item's, and not by way of the batch's statistics alone
        assert (x.grad.abs().amax((1, 2, 3)) > 1e-5).all()


@pytest.mark.parametrize("name", INTERACTIONS)
def test_what_it_looks_at_changes_the_result_and_what_it_does_not_look_at_cannot(name):
    made, (target, other, another) = interaction(name), maps(3)
    nothing = torch.full_like(target, torch.nan)
    with torch.no_grad():
        found = motion(made, target, other)
        # far above rounding, which stays below 1e-6 here (the double precision's test)
        assert apart(motion(made, target, another), found) > 1e-4
        assert apart(motion(made, another, other), found) > 1e-2
        if made.looks_at == "flow":
            assert torch.equal(made(target, [(nothing,)], other), found)
        else:
            assert torch.equal(made(target, [made.remember(other)], nothing), found)


@pytest.mark.parametrize("name", INTERACTIONS)
def test_double_precision_gives_the_same(name):
    made, (target, other) = interaction(name), maps(2, (15, 15))
    twin = copy.deepcopy(made).double()
    with torch.no_grad():
        exact = motion(twin, target.double(), other.double())
        assert exact.dtype == torch.float64
        assert apart(motion(made, target, other), exact) < 1e-4 * exact.max()


@pytest.mark.parametrize("name", INTERACTIONS)
def test_half_precision_gives_nearly_the_same_and_learns(name):
    made, (target, other) = interaction(name), maps(2)
    with torch.no_grad():
        exact = motion(made, target, other)
    with torch.autocast("cpu", torch.bfloat16):
        found = motion(made, target, other)
    # eight binary digits through about ten layers
    assert apart(found.float(), exact) < 0.1 * exact.max()
    found.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in made.parameters())


@pytest.mark.parametrize("name", INTERACTIONS)
def test_the_items_of_a_batch_do_not_see_each_other(name):
    made, (target, other) = interaction(name), maps(2)
    with torch.no_grad():
        together = motion(made, target, other)
        alone = [motion(made, target[i : i + 1], other[i : i + 1]) for i in range(2)]
    assert apart(together, torch.cat(alone)) < 1e-5


@pytest.mark.parametrize("name", PAIRED)
def test_the_order_of_the_references_does_not_matter(name):
    """AGNN averages messages, the others what each reference tells."""
    made, (target, *others) = interaction(name), maps(4)
    with torch.no_grad():
        found = motion(made, target, *others)
        assert apart(motion(made, target, *reversed(others)), found) < 1e-5
        for left in range(3):
            fewer = others[:left] + others[left + 1 :]
            assert apart(motion(made, target, *fewer), found) > 1e-5, "each of them counts"


@pytest.mark.parametrize("name", AVERAGED)
def test_a_reference_twice_tells_no_more_than_once(name):
    made, (target, other) = interaction(name), maps(2)
    with torch.no_grad():
        found = motion(made, target, other)
        assert apart(motion(made, target, other, other), found) < 1e-5


def test_attention_is_a_weighted_mean_place_by_place():
    drawn = torch.Generator().manual_seed(3)
    queries = torch.randn(2, 4, 2, 3, generator=drawn)
    keys = torch.randn(2, 4, 3, 5, generator=drawn)
    values = torch.randn(2, 6, 3, 5, generator=drawn)
    gathered = attend(queries, keys, values)
    assert gathered.shape == (2, 6, 2, 3)
    for b, row, column in np.ndindex(2, 2, 3):
        weights, mean = [], torch.zeros(6)
        for i, j in np.ndindex(3, 5):
            weights.append(torch.dot(queries[b, :, row, column], keys[b, :, i, j]).exp())
            mean += weights[-1] * values[b, :, i, j]
        assert apart(gathered[b, :, row, column], mean / sum(weights)) < 1e-5


def test_attention_to_equal_keys_is_the_plain_mean_and_to_a_loud_one_its_value():
    queries, values = torch.ones(1, 2, 1, 1), torch.arange(6.0).view(1, 1, 2, 3)
    keys = torch.ones(1, 2, 2, 3)
    assert attend(queries, keys, values).item() == pytest.approx(2.5)
    keys[0, :, 1, 0] = 100
    assert attend(queries, keys, values).item() == pytest.approx(3)


def test_attention_sees_the_reference_as_a_set_and_a_convolution_sees_its_places():
    target, other = maps(2)
    order = torch.randperm(63, generator=torch.Generator().manual_seed(4))
    shuffled = other.flatten(2)[:, :, order].view_as(other)
    for name, sees_places in (("cosnet", False), ("concat", True)):
        made = interaction(name)
        with torch.no_grad():
            difference = apart(motion(made, target, shuffled), motion(made, target, other))
        assert difference > 1e-2 if sees_places else difference < 1e-5, name


def test_concatenation_matches_nothing():
    """What moved further than its two 3x3 convolutions reach is not found; COSNet finds it."""
    target, other = maps(2, (9, 9))
    seen, far = (4, 4), (0, 0)
    moved = other.clone()
    moved[..., far[0], far[1]] *= 3
    for name, reaches in (("concat", False), ("cosnet", True)):
        made = interaction(name)
        with torch.no_grad():
            both = [motion(made, target, x)[..., seen[0], seen[1]] for x in (other, moved)]
        assert torch.equal(*both) != reaches, name


# in the network


@pytest.fixture(scope="module", params=sorted(INTERACTIONS))
def network(request) -> PDNet:
    """A network with each of them, in evaluation mode; no test here changes it."""
    made = small(interaction=request.param, input_size=(64, 96))
    # not the backbone's: what it gives would grow beyond all measure
    lived_in(made.interaction)
    return made


def exact(network: PDNet) -> PDNet:
    """In double precision: drawn weights make small differences, far above its rounding."""
    return copy.deepcopy(network).double()


def images(count: int, size: tuple[int, int] = (64, 96), batch: int = 1) -> Sequence[Tensor]:
    return torch.rand(count, batch, 3, *size, generator=torch.Generator().manual_seed(5)).unbind()


@pytest.mark.parametrize("size", [(64, 96), (75, 101)], ids=str)
def test_segment_equals_the_pairwise_forward(network, size):
    target, reference, flow = images(3, size)
    with torch.no_grad():
        whole = network(target, reference, flow=flow)
        memory = network.encode_reference(reference)
        cached = network.segment(target, memory, flow)
    assert whole.logits.shape == (1, 1, *size) and whole.parts is None
    assert apart(whole.logits, cached.logits) < 1e-5
    assert apart(whole.motion, cached.motion) < 1e-5
    assert (memory is None) == (network.looks_at == "flow")
    assert len(whole.auxiliary_logits) == 4 and cached.auxiliary_logits == []
    with torch.no_grad():
        own = network.encoder(target)[1]
    # a batch of both, where flow is looked at, sums in another order
    for logits, expected in zip(whole.auxiliary_logits, own, strict=True):
        assert logits.shape == whole.logits.shape and apart(logits, expected) < 1e-4


def test_the_mask_depends_on_what_the_network_looks_at_and_on_nothing_else(network):
    twin = exact(network)
    target, reference, flow, other = (x.double() for x in images(4))
    with torch.no_grad():
        found = twin(target, reference, flow=flow).logits
        by_reference = apart(twin(target, other, flow=flow).logits, found)
        by_flow = apart(twin(target, reference, flow=other).logits, found)
    looks, ignores = by_flow, by_reference
    if network.looks_at == "reference":
        looks, ignores = by_reference, by_flow
    assert ignores == 0 and looks > 1e-9


def test_the_frames_of_a_batch_do_not_see_each_other(network):
    target, reference, flow = images(3, batch=2)
    with torch.no_grad():
        together = network(target, reference, flow=flow)
        for i in range(2):
            target_i, reference_i, flow_i = (x[i : i + 1] for x in (target, reference, flow))
            alone = network(target_i, reference_i, flow=flow_i)
            assert apart(together.logits[i : i + 1], alone.logits) < 1e-4
            for one, own in zip(together.auxiliary_logits, alone.auxiliary_logits, strict=True):
                assert apart(one[i : i + 1], own) < 1e-4


def test_joined_references_are_both_looked_at(network):
    twin = exact(network)
    target, *references = (x.double() for x in images(4))
    if network.looks_at != "reference":
        assert twin.encode_reference(references[0]) is None
        return
    with torch.no_grad():
        first, second, other = (twin.encode_reference(x) for x in references)
        joined = first.joined(second)
        assert joined.states == (*first.states, *second.states)
        found = twin.segment(target, joined).motion
        assert apart(twin.segment(target, second.joined(first)).motion, found) < 1e-12
        for fewer in (first, second, first.joined(other), other.joined(second)):
            assert apart(twin.segment(target, fewer).motion, found) > 1e-9


def test_a_checkpoint_alone_rebuilds_the_network_bit_by_bit(network, tmp_path):
    path = tmp_path / "n.safetensors"
    save_network(network, path)
    again = load_network(path)
    assert again.config == network.config and not again.training
    before, after = network.state_dict(), again.state_dict()
    assert list(before) == list(after)
    for name, value in before.items():
        assert torch.equal(value, after[name]), name


def test_a_clip_is_segmented_and_without_its_flow_refused_in_one_line(network):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (3, 40, 60, 3), dtype=np.uint8)
    flows = rng.normal(size=(3, 20, 30, 2)).astype(np.float32)
    how = {"policy": "first+previous_k", "k": 1}
    segmenter = ClipSegmenter(network, frames.__getitem__, 3, flow=flows.__getitem__, **how)
    for found in segmenter:
        assert found.probability.shape == (40, 60) and found.part_masks is None
        assert found.probability.min() >= 0 and found.probability.max() <= 1
    if network.looks_at == "reference":
        assert len(list(ClipSegmenter(network, frames.__getitem__, 3, **how))) == 3
        return
    with pytest.raises(InputError, match=r"looks at optical flow.*\(stage `flow`\)$") as error:
        ClipSegmenter(network, frames.__getitem__, 3, **how)
    said = str(error.value)
    assert "\n" not in said and f"'{network.config.interaction}'" in said


def test_a_still_is_its_own_reference_and_rests(network):
    frame, seen = np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8), []
    watch = network.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        mask = still_mask(network, frame, 0.5)
    finally:
        watch.remove()
    assert mask.shape == (50, 70) and mask.dtype == bool
    assert still_mask(network, frame, 0.0).all() and not still_mask(network, frame, 1.0).any()
    if network.looks_at == "reference":
        reference, target = seen
        assert torch.equal(reference, target)
        return
    ((_, colours),) = seen
    white = network.encoder.normalise(torch.ones(1, 3, 64, 96))
    assert torch.equal(colours, white[0])


def step(network: PDNet) -> tuple[PDNet, dict[str, Tensor]]:
    """A copy of the network in training mode, and its losses of two pairs of frames."""
    target, reference, flow = images(3, batch=2)
    loss = PDNetLoss(LossConfig(feature_weights="none"), parts=3, has_parts=network.has_parts)
    trained = copy.deepcopy(network).train()
    truths = {"mask": target[:, :1].round(), "reference_mask": reference[:, :1].round()}
    output = trained(target, reference, flow=flow)
    return trained, loss.video_step(output, target=target, reference=reference, **truths)


def test_the_references_auxiliary_logits_are_trained_where_there_is_a_reference(network):
    trained, found = step(network)
    assert set(found) - {"reference"} == {"final", "auxiliary", "total"}
    assert ("reference" in found) == (network.looks_at == "reference")
    if "reference" not in found:
        return
    found["reference"].backward()
    for head in trained.encoder.heads:
        assert head.weight.grad.abs().max() > 0
    # of the reference alone: neither the motion nor the mask is in it
    assert trained.head.weight.grad is None
    assert all(parameter.grad is None for parameter in trained.interaction.parameters())


def test_a_step_reaches_every_parameter_of_the_network(network):
    trained, found = step(network)
    found["total"].backward()
    for name, parameter in trained.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
