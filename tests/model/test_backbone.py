"""Backbones by name and their weights."""

from __future__ import annotations

import pytest
import torch

from pdnet.config import ModelConfig
from pdnet.errors import InputError
from pdnet.model import PDNet
from pdnet.official import network_from_state_dict
from tests.helpers import official_state


@pytest.fixture(scope="module")
def state():
    return official_state()


@pytest.fixture(scope="module")
def network(state):
    return network_from_state_dict(state).eval()


def small(**changes) -> PDNet:
    torch.manual_seed(0)
    values = {
        "backbone": "resnet18",
        "weights": "none",
        "channels": 16,
        "part_channels": 8,
        "attention_channels": 8,
    }
    return PDNet(ModelConfig(**{**values, "parts": 3, **changes})).eval()


def test_unknown_backbones_and_missing_weights():
    with pytest.raises(InputError, match="neither a torchvision ResNet nor a timm model"):
        small(backbone="resnet51")
    with pytest.raises(InputError, match="no file"):
        PDNet(ModelConfig(backbone="resnet18", weights="nowhere.pth"), pretrained=True)


def test_packaged_weights_are_loaded():
    network = PDNet(ModelConfig(backbone="tf_efficientnet_lite0", channels=16), pretrained=True)
    weight = network.encoder.backbone.body.conv_stem.weight
    assert (
        network.encoder.backbone.channels == (24, 40, 112, 320)
        and float(weight.detach().abs().max()) > 1
    )
