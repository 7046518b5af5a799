"""Backbones by name and their weights."""

from __future__ import annotations

import pytest

from pdnet.config import ModelConfig
from pdnet.errors import InputError
from pdnet.model import PDNet
from tests.helpers import small


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
