"""Checkpoints: a file alone rebuilds its network."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pdnet.config import ModelConfig
from pdnet.errors import InputError
from pdnet.model import PDNet
from pdnet.model.checkpoint import (
    load_mean,
    load_network,
    read_header,
    save_network,
    take_encoder,
    take_network,
    weights_hash,
)
from tests.helpers import small


def test_a_checkpoint_alone_rebuilds_its_network(tmp_path):
    network = small(parts=4, input_size=(64, 96))
    save_network(network, tmp_path / "n.safetensors")
    again = load_network(tmp_path / "n.safetensors")
    assert again.config == network.config
    with torch.no_grad():
        x = torch.rand(1, 3, 64, 96)
        torch.testing.assert_close(again(x, x).logits, network(x, x).logits, rtol=1e-4, atol=1e-5)


def test_half_precision_is_half_the_size_and_loads_in_single(tmp_path):
    network = small(input_size=(64, 64))
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    save_network(network, whole)
    save_network(network, half, {"terms": "none"}, half=True)
    assert half.stat().st_size < 0.51 * whole.stat().st_size
    assert read_header(half)["terms"] == "none" and "weights" not in read_header(whole)
    stored, again = load_file(half), load_network(half).state_dict()
    for name, value in network.state_dict().items():
        assert again[name].dtype == value.dtype, name
        # what half precision is: the nearest of its values, for integers the value
        rounded = value.half() if value.is_floating_point() else value
        assert torch.equal(stored[name], rounded), name
        assert torch.equal(again[name], rounded.to(value.dtype)), name


def test_the_hash_of_weights_knows_no_header_and_every_value(tmp_path):
    network, path = small(input_size=(64, 64)), tmp_path / "n.safetensors"
    save_network(network, path)
    first = weights_hash(path)
    save_network(network, path, {"a parameter of later days": 0})
    assert weights_hash(path) == first
    with torch.no_grad():
        last = list(network.parameters())[-1]
        last[0] = torch.nextafter(last[0], torch.tensor(9.0))
    save_network(network, path)
    assert weights_hash(path) != first


def test_half_precision_again_is_the_same_file(tmp_path):
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    save_network(small(input_size=(64, 64)), first, half=True)
    save_network(load_network(first), second, half=True)
    assert first.read_bytes() == second.read_bytes()


def test_a_value_beyond_half_precision_is_refused_and_nothing_is_written(tmp_path):
    network, path = small(input_size=(64, 64)), tmp_path / "n.safetensors"
    with torch.no_grad():
        network.head.bias.fill_(65504)  # the largest there is
    save_network(network, path, half=True)
    before = path.read_bytes()
    with torch.no_grad():
        network.head.bias.fill_(-70000)
    with pytest.raises(
        InputError, match=r"entry 'head\.bias' reaches 7e\+04, half precision only 6"
    ):
        save_network(network, path, half=True)
    assert path.read_bytes() == before


def test_a_checkpoint_has_the_umasks_rights(tmp_path):
    before = os.umask(0o022)
    try:
        save_network(small(input_size=(64, 64)), tmp_path / "n.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "n.safetensors").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ("float16", "'encoder.laterals.0.0.weight' is of torch.float32, not torch.float16"),
        ("float64", "weights of 'float64'; known: float32, float16"),
        (["float16"], "weights of ['float16']"),
    ],
)
def test_weights_are_of_the_precision_that_the_header_says(tmp_path, weights, says):
    model = small(input_size=(64, 64)).config.model_dump(mode="json")
    about = {"format": "pdnet-1", "model": model, "weights": weights}
    with pytest.raises(InputError) as error:
        load_network(written(tmp_path / "n.safetensors", about, lambda state: None))
    assert says in str(error.value)


@pytest.mark.parametrize("content", [b"", b"rubbish", None])
def test_a_damaged_checkpoint_is_refused(cli, tmp_path, content):
    path = tmp_path / "n.safetensors"
    if content is not None:
        path.write_bytes(content)
    status, text = cli("segment", tmp_path, "--checkpoint", path)
    assert status == 2 and str(path) in text.replace("\n", "")


def written(path: Path, header: object, spoil: Callable[[dict[str, Tensor]], object]) -> Path:
    """A checkpoint with another header (a text, as it is) and spoilt weights."""
    save_network(small(input_size=(64, 64)), path)
    state = load_file(path)
    spoil(state)
    text = header if isinstance(header, str) else json.dumps(header)
    save_file(state, path, metadata={"pdnet": text})
    return path


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("[1]", "no PDNet checkpoint (format [1])"),
        ("5", "no PDNet checkpoint (format 5)"),
        ("null", "no PDNet checkpoint (format None)"),
        ("{", "header is not readable"),
        ("[" * 10**5, "header is not readable"),
        ("9" * 5000, "header is not readable"),
        (json.dumps({"format": "x" * 10**5}), "no PDNet checkpoint"),
    ],
)
def test_a_header_of_another_kind_is_refused(tmp_path, header, says):
    path = written(tmp_path / "n.safetensors", header, lambda state: None)
    with pytest.raises(InputError) as error:
        load_network(path)
    text = str(error.value)
    assert says in text and str(path) in text and len(text) < 400 + len(str(path))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (None, "no parameters of a model"),
        ([], "no parameters of a model"),
        ("text", "no parameters of a model"),
        ({"attention_channels": 2**62}, "model: attention_channels = 4611686018427387904"),
        ({"input_size": [0, 0]}, "model: input_size.0 = 0"),
        ({"input_size": [-1, 64]}, "model: input_size.0 = -1"),
        ({"input_size": [100_000, 64]}, "model: input_size.0 = 100000"),
        ({"input_size": None}, "model: input_size = None"),
        ({"section": 1}, "unknown parameter 'section'"),
        (
            {"channels": 1024},
            "'encoder.laterals.0.0.weight' is (16, 64, 1, 1), not (1024, 64, 1, 1)",
        ),
        ({"backbone": "hf-hub:someone/something"}, "neither a torchvision ResNet nor a timm"),
        ({"backbone": "local-dir:/tmp"}, "neither a torchvision ResNet nor a timm"),
        ({"backbone": "tresnet_l"}, "gives no feature maps"),
        # 800 million values, of which the file has none
        ({"backbone": "regnety_1280"}, "is missing"),
    ],
)
def test_a_header_that_makes_no_network_is_refused(tmp_path, model, says):
    path = tmp_path / "n.safetensors"
    known = small(input_size=(64, 64)).config.model_dump(mode="json")
    about = {"format": "pdnet-1", "model": known | model if isinstance(model, dict) else model}
    with pytest.raises(InputError) as error:
        load_network(written(path, about, lambda state: None))
    text = str(error.value)
    assert says in text and f"{path}: damaged checkpoint" in text and "\n" not in text, text


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda s: s.pop("head.bias"), "entry 'head.bias' is missing"),
        (lambda s: s.update(more=torch.zeros(1)), "entry 'more' is unknown"),
        (lambda s: s.update({"head.bias": torch.zeros(2)}), "'head.bias' is (2,), not (1,)"),
        (
            lambda s: s.update({"head.bias": torch.zeros(1, dtype=torch.float16)}),
            "'head.bias' is of torch.float16, not torch.float32",
        ),
        (lambda s: s["head.weight"].fill_(float("nan")), "'head.weight' has values that are not"),
        (
            lambda s: s["head.bias"].fill_(float("inf")),
            "'head.bias' has values that are not finite",
        ),
        (
            lambda s: s["fusion.expand.1.running_var"].fill_(-1),
            "'fusion.expand.1.running_var' has negative variances",
        ),
    ],
)
def test_weights_that_would_give_empty_masks_are_refused_by_name(cli, tmp_path, spoil, says):
    about = {"format": "pdnet-1", "model": small(input_size=(64, 64)).config.model_dump()}
    path = written(tmp_path / "n.safetensors", about, spoil)
    (tmp_path / "frames").mkdir()
    out = tmp_path / "masks"
    status, text = cli("segment", tmp_path / "frames", "--checkpoint", path, "--out", out)
    assert status == 2 and says in text and "Traceback" not in text, text
    assert not out.exists()


def test_loading_draws_no_random_numbers_beside_the_networks_own(tmp_path):
    """A frozen encoder is loaded before the loss draws its basis: draws here move the weights."""
    network = small(input_size=(64, 64))
    save_network(network, tmp_path / "n.safetensors")
    torch.manual_seed(1)
    PDNet(network.config)
    before = torch.get_rng_state()
    torch.manual_seed(1)
    load_network(tmp_path / "n.safetensors")
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("changes", [{"fusion": "add"}, {"channels": 32}, {"backbone": "resnet34"}])
def test_another_encoder_is_not_taken_over_even_where_its_shapes_fit(tmp_path, changes):
    values = {"backbone": "resnet18", "weights": "none", "channels": 16}
    values |= {"part_channels": 8, "attention_channels": 8}
    path = tmp_path / "start.safetensors"
    save_network(PDNet(ModelConfig(**values)), path)
    take_encoder(PDNet(ModelConfig(**values)), path)
    with pytest.raises(
        InputError, match=r"train\.start: .* has the encoder \('resnet18', 16, 'mul"
    ):
        take_encoder(PDNet(ModelConfig(**{**values, **changes})), path)


def test_a_whole_network_is_taken_over_at_another_size_of_input(tmp_path):
    path = tmp_path / "start.safetensors"
    save_network(small(input_size=(64, 64)), path)
    torch.manual_seed(1)
    network = PDNet(small(input_size=(96, 96)).config)
    take_network(network, path)
    wanted = small().state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in network.state_dict().items())
    with pytest.raises(
        InputError, match=r"train\.start: .* differs in model\.parts, model\.fusion"
    ):
        take_network(small(parts=4, fusion="add"), path)


def test_the_mean_of_checkpoints_is_that_of_their_weights(tmp_path):
    paths = [tmp_path / f"{name}.safetensors" for name in "abc"]
    networks = []
    for seed, path in enumerate(paths):
        network = small(input_size=(64 + 32 * seed, 64))
        torch.manual_seed(seed)
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand_like(value))
        save_network(network, path)
        networks.append(network.state_dict())
    mean = load_mean(paths)
    assert mean.config.input_size == (64, 64) and not mean.training
    for name, value in mean.state_dict().items():
        if value.is_floating_point():
            wanted = sum(state[name].double() for state in networks) / 3
            assert torch.allclose(value.double(), wanted, atol=1e-6), name
    alone = load_mean(paths[:1]).state_dict()
    assert all(torch.equal(value, networks[0][name]) for name, value in alone.items())
    save_network(small(parts=4), paths[1])
    with pytest.raises(InputError, match=r"b\.safetensors differs from .*a\.safetensors in model"):
        load_mean(paths)
