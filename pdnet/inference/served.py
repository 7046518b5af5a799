"""A checkpoint as MLflow's models are called: frames of a clip in, masks out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pdnet.config import EvaluateConfig
from pdnet.errors import InputError
from pdnet.inference.shipped import cutting_of
from pdnet.inference.side_by_side import our_way
from pdnet.model import PDNet
from pdnet.model.checkpoint import load_network, read_header


class ClipModel:
    """What `mlflow.pyfunc.load_model` calls.

    Args:
        network: in evaluation mode.
        cutting: how probabilities become masks.
    """

    def __init__(self, network: PDNet, cutting: EvaluateConfig) -> None:
        self.network, self.cutting = network, cutting

    def predict(self, frames: np.ndarray, params: dict[str, Any] | None = None) -> np.ndarray:
        """The masks of a clip, whose first frame is the reference.

        Args:
            frames: (N, H, W, 3) uint8 RGB, in order.
            params: MLflow's; none is known.

        Returns:
            (N, H, W) uint8, 0 or 255.

        Raises:
            InputError: no frames of this form, or the network looks at optical flow.
        """
        frames = np.asarray(frames)
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
            raise InputError(
                f"frames are {frames.shape} {frames.dtype}; expected (N, H, W, 3) uint8 RGB"
            )
        mask = our_way(self.network, self.cutting)(frames[0])
        masks = np.stack([mask(frame) for frame in frames])
        return masks.astype(np.uint8) * 255


def _load_pyfunc(path: str) -> ClipModel:
    """MLflow's way in: `path` is the checkpoint."""
    checkpoint = Path(path)
    cutting = cutting_of(read_header(checkpoint), checkpoint)
    return ClipModel(load_network(checkpoint), cutting)
