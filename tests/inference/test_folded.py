"""The twin for inference: the same masks, nothing left to fold, the network untouched."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pdnet.inference import folded as module
from pdnet.inference.folded import Convolution, folded
from pdnet.model import PDNet
from pdnet.model.blocks import batch_norms
from tests.helpers import small


def lived_in(**changes: object) -> PDNet:
    """A network whose batch norms are those of no fresh one: a fold that forgets a term shows."""
    network = small(input_size=(64, 96), **changes)
    rng = torch.Generator().manual_seed(1)
    for norm in batch_norms(network):
        for tensor in (norm.weight.data, norm.running_var):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=rng))
        for tensor in (norm.bias.data, norm.running_mean):
            tensor.copy_(0.2 * torch.randn(tensor.shape, generator=rng))
    return network


KINDS = [
    {"backbone": "resnet18"},
    {"backbone": "tf_efficientnet_lite0"},
    {"backbone": "resnet18", "interaction": "none"},
    {"backbone": "resnet18", "part_activation": "softmax_background", "fusion": "add"},
]


@pytest.mark.parametrize("changes", KINDS, ids=lambda changes: "-".join(changes.values()))
def test_the_twin_says_the_same(changes):
    """In double precision, where what is left of a difference is a fault."""
    network = lived_in(**changes).double()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    twin = folded(network)
    assert twin is not network and not batch_norms(twin)
    frame, reference = torch.rand(2, 1, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        ours, theirs = (
            one.segment(frame, one.encode_reference(reference)) for one in (network, twin)
        )
    torch.testing.assert_close(theirs.logits / ours.logits.std(), ours.logits / ours.logits.std())
    if network.has_parts:
        torch.testing.assert_close(theirs.parts.masks, ours.parts.masks)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("activation", [nn.Identity(), nn.ReLU(), nn.ReLU6()])
@pytest.mark.parametrize(
    "how",
    [
        {"kernel_size": 1},
        {"kernel_size": 3, "padding": 1, "bias": False},
        {"kernel_size": 1, "groups": 5},
        {"kernel_size": 4, "padding": 1, "stride": 2, "groups": 20},
        {"kernel_size": 3, "padding": 2, "dilation": 2},
        {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
        {"kernel_size": 3, "padding": "same"},
    ],
    ids=str,
)
def test_one_call_is_the_convolution_and_its_activation(how, activation):
    """At sizes that come and go, and whatever the order in memory."""
    torch.manual_seed(0)
    layer = nn.Conv2d(20, 10 if how.get("groups", 1) < 20 else 20, **how).requires_grad_(False)
    twin = Convolution(layer, activation)
    for shape in ((1, 20, 8, 14), (1, 20, 16, 6), (2, 20, 8, 14), (1, 20, 8, 14)):
        x = 4 * torch.randn(shape)
        expected = activation(layer.double()(x.double())).float()
        layer.float()
        for one in (x, x.contiguous(memory_format=torch.channels_last)):
            torch.testing.assert_close(twin(one), expected, rtol=1e-4, atol=1e-4)


def test_weights_are_kept_for_the_last_sizes_alone():
    layer = nn.Conv2d(3, 4, 3).requires_grad_(False)
    twin = Convolution(layer, nn.Identity())
    sizes = [(1, 3, 8, 8 + more) for more in range(module.KEPT_SIZES + 2)]
    for shape in (*sizes, sizes[0]):
        x = torch.randn(shape)
        torch.testing.assert_close(twin(x), layer(x), rtol=1e-4, atol=1e-4)
    assert list(twin._weights) == [torch.Size(shape) for shape in (*sizes[3:], sizes[0])]


def test_float32_goes_in_one_call_and_differs_by_noise():
    network = lived_in(backbone="tf_efficientnet_lite0")
    twin = folded(network)
    layers = [layer for layer in twin.modules() if isinstance(layer, Convolution)]
    assert layers and all(layer.in_one_call for layer in layers)
    # each ReLU of the backbone and of our blocks is in one, so that nothing is left to do
    assert {type(layer) for layer in twin.modules() if "ReLU" in type(layer).__name__} == {
        type(layer.activation) for layer in layers
    } - {nn.Identity}
    x = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        ours, theirs = (one.segment(x, one.encode_reference(x)).logits for one in (network, twin))
    assert (ours - theirs).abs().max() < 1e-4 * ours.abs().max()


@pytest.mark.parametrize("side", [3, 5, 7])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("shape", [(32, 32), (2, 64), (30, 18)])
def test_zeros_in_the_kernel_are_tensorflows_padding(side, groups, shape):
    from timm.layers import Conv2dSame

    torch.manual_seed(0)
    layer = Conv2dSame(4, 8, side, stride=2, groups=groups).double()
    x = torch.randn(2, 4, *shape, dtype=torch.float64)
    torch.testing.assert_close(module._padded_evenly(layer).double()(x), layer(x))


@pytest.mark.parametrize("more", [{"stride": 1}, {"stride": 2, "dilation": 2}, {"stride": 3}])
def test_other_paddings_stay_as_they_are(more):
    from timm.layers import Conv2dSame

    layer = Conv2dSame(4, 8, 3, **more)
    assert module._padded_evenly(layer) is layer


def test_a_twin_that_says_something_else_is_not_taken(monkeypatch):
    """Modules may run in another order than they are named in; a fold is then wrong."""
    network = lived_in()
    wrong = nn.Conv2d(16, 1, 3, padding=1)

    def twist(layer: nn.Module) -> None:
        if isinstance(layer, PDNet):
            layer.head = wrong

    monkeypatch.setattr(module, "_fold_norms", twist)
    assert folded(network) is network


def test_nobodys_seed_is_moved():
    network = lived_in()
    before = torch.get_rng_state()
    folded(network)
    assert torch.equal(before, torch.get_rng_state())
