"""The same network for less work on a CPU, once nobody trains it any more.

What depends on the weights alone is computed beforehand: batch norms go into the convolutions
before them, and the one-sided padding of TensorFlow's strided convolutions, a copy of the largest
maps, goes into their kernels as zeros. A convolution and its activation are then one call of oneDNN
with weights in oneDNN's own order: what torch.compile would come to, without a compiler on the
user's machine. The logits differ by float noise. With EfficientNet-Lite0 at 256x448 one core takes
two thirds of the time.
"""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pdnet.model import PDNet

NOISE = 1e-3  # of the largest logit; a wrong fold differs by the logits' own size
TRIAL = (1, 3, 64, 96)  # of the picture on which both are compared
# Of inputs, for each of which the weights are held once more: windows from near differ in aspect,
# and the whole frame comes back now and again.
KEPT_SIZES = 8
# how oneDNN calls what it computes with a convolution, and that function's numbers
ACTIVATIONS = {nn.Identity: ("none", []), nn.ReLU: ("relu", []), nn.ReLU6: ("hardtanh", [0.0, 6.0])}


def folded(network: PDNet) -> PDNet:
    """A twin for inference on a CPU that gives the network's masks; the network stays as it is.

    Args:
        network: in evaluation mode.

    Returns:
        the twin, or the network itself where the twin says something else: a backbone whose modules
        run in another order than they are named in.
    """
    twin = copy.deepcopy(network).requires_grad_(False)
    for module in list(twin.modules()):
        _fold_norms(module)
    for module in list(twin.modules()):
        _one_call(module)
    twin = twin.eval().to(memory_format=torch.channels_last)
    return twin if _agree(network, twin) else network


def _fold_norms(module: nn.Module) -> None:
    """Merges each convolution among a module's children with the batch norm that follows it."""
    for (name, layer), (next_name, norm) in pairwise(list(module.named_children())):
        is_pair = isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        if is_pair and layer.out_channels == norm.num_features:
            setattr(module, name, fuse_conv_bn_eval(layer, norm))
            # timm's batch norms have their activation in them
            setattr(module, next_name, _Activation(getattr(norm, "act", nn.Identity())))


class _Activation(nn.Sequential):
    """What came out of a folded norm: it certainly runs next after the convolution."""


def _one_call(module: nn.Module) -> None:
    """Replaces the convolutions among a module's children, and the activations behind them."""
    children = list(module.named_children())
    for number, (name, layer) in enumerate(children):
        if not isinstance(layer, nn.Conv2d) or isinstance(module, Convolution):
            continue
        activation: nn.Module = nn.Identity()
        for next_name, following in children[number + 1 :]:
            # elsewhere a ReLU may stand here and run anywhere
            if isinstance(following, _Activation):
                following = following[0]
            elif not isinstance(module, nn.Sequential):
                break
            if type(following) not in ACTIVATIONS or not isinstance(activation, nn.Identity):
                break
            activation = following
            setattr(module, next_name, nn.Identity())
        setattr(module, name, Convolution(_padded_evenly(layer), activation))


class Convolution(nn.Module):
    """A convolution with its activation.

    Args:
        layer: whose weights are laid out for each size of input and kept for the last
            `KEPT_SIZES`: laying them out takes a third of what the network does.
        activation: one of `ACTIVATIONS`.
    """

    def __init__(self, layer: nn.Conv2d, activation: nn.Module) -> None:
        super().__init__()
        self.layer, self.activation = layer, activation
        self.how = (layer.padding, layer.stride, layer.dilation, layer.groups)
        # oneDNN knows zeros alone around a map, and has no double precision
        plain = type(layer) is nn.Conv2d and layer.padding_mode == "zeros"
        known = (
            plain and not isinstance(layer.padding, str) and torch.backends.mkldnn.is_available()
        )
        self.in_one_call = known and layer.weight.dtype == torch.float32
        # size of an input -> weight in oneDNN's order for it
        self._weights: dict[torch.Size, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, H', W')."""
        if not self.in_one_call:
            return self.activation(self.layer(x))
        x = x.contiguous(memory_format=torch.channels_last)
        name, numbers = ACTIVATIONS[type(self.activation)]
        return torch.ops.mkldnn._convolution_pointwise(
            x, self._weight_for(x.shape), self.layer.bias, *self.how, name, numbers, ""
        )

    def _weight_for(self, size: torch.Size) -> Tensor:
        if size not in self._weights:
            if len(self._weights) == KEPT_SIZES:
                del self._weights[next(iter(self._weights))]  # the oldest
            weight = self.layer.weight.contiguous(memory_format=torch.channels_last)
            # an order for another size is right too, but was measured four times slower
            order = torch.ops.mkldnn._reorder_convolution_weight
            self._weights[size] = order(weight, *self.how, size)
        return self._weights[size]


def _padded_evenly(layer: nn.Conv2d) -> nn.Conv2d:
    """A convolution of stride 2 that TensorFlow pads by one more after than before -> one that pads
    alike on all sides and whose kernel begins with a row and a column of zeros; others stay.

    The same on maps of even sides; an input's sides are multiples of the deepest stride, so all
    maps that are halved have these.
    """
    from timm.layers import Conv2dSame

    side = layer.kernel_size[0]
    odd = layer.kernel_size == (side, side) and side % 2 == 1
    halves = layer.stride == (2, 2) and layer.dilation == (1, 1)
    if not isinstance(layer, Conv2dSame) or not odd or not halves:
        return layer
    even = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        side + 1,
        stride=2,
        padding=(side - 1) // 2,
        groups=layer.groups,
        bias=layer.bias is not None,
    )
    even.weight = nn.Parameter(F.pad(layer.weight.detach(), (1, 0, 1, 0)), requires_grad=False)
    even.bias = layer.bias
    return even


@torch.inference_mode()
def _agree(network: PDNet, twin: PDNet) -> bool:
    """True where both say the same of a picture of noise."""
    # a generator of its own: nobody's seed is moved
    noise = torch.rand(TRIAL, generator=torch.Generator().manual_seed(0))
    picture = network.encoder.normalise(noise)
    logits, others = (
        one.segment(picture, one.encode_reference(picture)).logits for one in (network, twin)
    )
    apart = (logits - others).abs().max()
    # false, too, where one is no number
    return bool(apart <= NOISE * logits.abs().max())
