"""What a call costs, whatever the machine: tensors that are alive, multiply-accumulates."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

MIB = 2**20


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of tensors that are alive and were made inside the block; `peak` is the
    largest count.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Runs the operation and notes the storages it made."""
        # a view of what was there before the block, and what changed in place, are not made
        given = {storage._cdata for storage in _storages((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            if storage._cdata not in given:
                self._note(storage)
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key, storage.nbytes())

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    """Of the tensors in whatever an operation takes or gives."""
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def giga_macs(work: Callable[[], object]) -> float:
    """Multiply-accumulates of a call, in units of 10^9 (half of the counted floating-point
    operations).
    """
    # torch's counter does not know the attention of its own CPU path
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    formula = {attention: lambda query, key, value, *_, **__: sdpa_flop_count(query, key, value)}
    counter = FlopCounterMode(display=False, custom_mapping=formula)
    with counter:
        work()
    return counter.get_total_flops() / 2e9


def live_parameters(network: nn.Module, work: Callable[[], Tensor]) -> int:
    """Parameters that the result of a call depends on; the others are dead weight.

    Args:
        network: whose gradients are lost.
        work: a call whose result is differentiable.
    """
    network.zero_grad(set_to_none=True)
    with torch.enable_grad():
        work().sum().backward()
    alive = sum(p.numel() for p in network.parameters() if p.grad is not None)
    network.zero_grad(set_to_none=True)
    return alive
