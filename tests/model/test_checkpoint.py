"""Checkpoints: a file alone rebuilds its network."""

from __future__ import annotations

import pytest
import torch

from pdnet.config import ModelConfig
from pdnet.errors import InputError
from pdnet.model import PDNet
from pdnet.model.checkpoint import load_network, save_network, take_encoder
from tests.helpers import small


def test_a_checkpoint_alone_rebuilds_its_network(tmp_path):
    network = small(parts=4, input_size=(64, 96))
    save_network(network, tmp_path / "n.safetensors")
    again = load_network(tmp_path / "n.safetensors")
    assert again.config == network.config
    with torch.no_grad():
        x = torch.rand(1, 3, 64, 96)
        torch.testing.assert_close(again(x, x).logits, network(x, x).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("content", [b"", b"rubbish", None])
def test_a_damaged_checkpoint_is_refused(cli, tmp_path, content):
    path = tmp_path / "n.safetensors"
    if content is not None:
        path.write_bytes(content)
    status, text = cli("segment", tmp_path, "--checkpoint", path)
    assert status == 2 and str(path) in text.replace("\n", "")


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
