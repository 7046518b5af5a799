"""Backbones by name and their weights."""

from __future__ import annotations

import pytest
import torch

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


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda s: s.pop("conv1.weight"), "entry 'conv1.weight' is missing (1 in all)"),
        (lambda s: s.update({"conv1.weight": 3}), "'conv1.weight' is a int, not a tensor"),
        (lambda s: s.update({"bn1.bias": torch.zeros(65)}), "'bn1.bias' is (65,), not (64,)"),
        (lambda s: s["bn1.bias"].fill_(float("nan")), "'bn1.bias' has values that are not finite"),
    ],
)
def test_a_file_of_weights_that_does_not_fit_is_refused_by_entry(tmp_path, spoil, says):
    state = small().encoder.backbone.state_dict()
    spoil(state)
    torch.save(state, tmp_path / "w.pth")
    config = ModelConfig(backbone="resnet18", weights=str(tmp_path / "w.pth"))
    with pytest.raises(InputError, match="model.weights: ") as error:
        PDNet(config, pretrained=True)
    assert says in str(error.value)


def test_a_backbone_that_has_no_feature_maps_is_named():
    with pytest.raises(InputError, match="tresnet_l gives no feature maps"):
        small(backbone="tresnet_l")
