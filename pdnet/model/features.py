"""What a frozen encoder makes of a picture, kept on disk: variants and methods that stand on one
encoder look at the same frames, and compute them once between them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from pdnet.base.files import write_atomically
from pdnet.errors import InputError
from pdnet.model.device import kernels

GIB = 2**30
Maps = list[Tensor]


class KeptMaps:
    """Maps of one encoder by the content of its input, the same bits as without.

    Only of an encoder that does not learn and is in evaluation mode. What is damaged or cannot be
    written is computed: this is a memory, nothing hangs on it.

    Args:
        encoder: its weights decide, and so does what computes (processor, kernels, threads).
        folder: for the files; several encoders and processes may share it.
        limit: GiB that the folder may take; beyond that nothing more is kept.
    """

    def __init__(self, encoder: nn.Module, folder: Path, limit: float) -> None:
        digest = hashlib.sha256(json.dumps([repr(encoder), kernels()], sort_keys=True).encode())
        for name, value in encoder.state_dict().items():
            digest.update(name.encode())
            digest.update(_bytes(value))
        self.encoder, self.folder = digest.hexdigest(), folder
        self.room = limit * GIB - sum(file.stat().st_size for file in folder.glob("*.pt"))

    def of(self, image: Tensor, auxiliary: bool, compute: Callable[[], Maps]) -> Maps:
        """The maps of an input: from disk, else computed and kept.

        Args:
            image: (B, 3, H, W), normalised.
            auxiliary: whether the auxiliary heads' maps are among them.
            compute: gives them.
        """
        about = [self.encoder, image.shape, image.stride(), str(image.dtype), auxiliary]
        digest = hashlib.sha256(json.dumps(about).encode())
        digest.update(_bytes(image))
        file = self.folder / f"{digest.hexdigest()}.pt"
        try:
            # as they were, strides too: another order in memory is another order of sums
            return torch.load(file, map_location=image.device, weights_only=True)
        except Exception:  # on garbage torch raises whatever its first wrong byte leads to
            return self._keep(file, compute())

    def _keep(self, file: Path, maps: Maps) -> Maps:
        values = [one.detach() for one in maps]
        size = sum(one.nbytes for one in values)
        if size <= self.room:
            try:
                write_atomically(file, lambda path: torch.save(values, path))
                self.room -= size
            except InputError:  # a full disk
                self.room = 0
        return maps


def _bytes(value: Tensor) -> memoryview:
    return memoryview(value.detach().cpu().contiguous().numpy()).cast("B")
