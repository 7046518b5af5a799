"""The same network, compiled by OpenVINO for the processor that is there.

What depends on the weights alone is computed once (batch norms go into convolutions), and what
follows a convolution runs with it. The logits differ by float noise. With EfficientNet-Lite0 at
288x512 one core takes half of PyTorch's time.
"""

from __future__ import annotations

import copy
import warnings
from collections import OrderedDict
from dataclasses import fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pdnet.model import PDNet
from pdnet.model.ipda import Memory, Parts
from pdnet.model.pdnet import Output

if TYPE_CHECKING:
    from openvino import InferRequest

KEPT_SHAPES = 4  # of inputs, each compiled for itself; a folder may mix frames of several sizes


def compiled(network: PDNet) -> PDNet:
    """A twin for inference on a CPU whose `segment` gives the network's logits and parts, and no
    more; the network stays as it is.

    The first frame of each size takes a second or two: it is compiled for.

    Args:
        network: in evaluation mode, single precision, on the CPU.
    """
    twin = copy.copy(network)
    twin.segment = _Segment(network)
    return twin


class _Segment:
    """`PDNet.segment` of a network, compiled."""

    def __init__(self, network: PDNet) -> None:
        self._network = network
        # least recently used first
        self._requests: OrderedDict[tuple[torch.Size, ...], InferRequest] = OrderedDict()

    def __call__(self, frame: Tensor, memory: Memory | None) -> Output:
        given = (frame.contiguous(), *_tensors(memory))
        shapes = tuple(tensor.shape for tensor in given)
        if shapes not in self._requests:
            self._requests[shapes] = _request(self._network, given)
            while len(self._requests) > KEPT_SHAPES:
                self._requests.popitem(last=False)
        self._requests.move_to_end(shapes)
        found = self._requests[shapes].infer([tensor.numpy() for tensor in given])
        return _output(tuple(torch.from_numpy(array) for array in found.values()))


class _Flat(nn.Module):
    """`PDNet.segment` from tensors to tensors, as compilers know functions."""

    def __init__(self, network: PDNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, frame: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        output = self.network.segment(frame, _memory(memory))
        # not the large maps, which nobody asks for and which cost to hand out
        return (output.logits, *_tensors(output.parts))


def _tensors(group: Memory | Parts | None) -> tuple[Tensor, ...]:
    """A group's tensors in the order of its fields, those that are None left out."""
    if group is None:
        return ()
    values = (getattr(group, field.name) for field in fields(group))
    return tuple(value for value in values if value is not None)


def _memory(tensors: tuple[Tensor, ...]) -> Memory | None:
    """Keys, values and the token mask if there is one; nothing without IPDA."""
    if not tensors:
        return None
    return Memory(*tensors) if len(tensors) == 3 else Memory(*tensors, token_mask=None)


def _output(tensors: tuple[Tensor, ...]) -> Output:
    logits, *parts = tensors
    return Output(logits, None, None, Parts(*parts) if parts else None, [])


def _request(network: PDNet, given: tuple[Tensor, ...]) -> InferRequest:
    """What runs a network on tensors of these shapes, with as many threads as torch has."""
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # tensors made in inference mode cannot be traced
    examples = tuple(tensor.clone() for tensor in given)
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        # tracing is deprecated, but what follows it is several times slower; sizes become fixed,
        # which is what is wanted
        warnings.simplefilter("ignore")
        trace = torch.jit.trace(_Flat(network).eval(), examples, check_trace=False)
        # not by openvino.convert_model: that reports its use to its makers
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(trace, example_input=examples)
        model = frontend.convert(frontend.load(decoder))
    model.reshape({number: list(one.shape) for number, one in enumerate(examples)})
    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
        # some processors would compute in half precision
        "INFERENCE_PRECISION_HINT": "f32",
    }
    return openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
