"""How frames of any size become the network's input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pdnet.config import checked
from pdnet.data.fit import frame_tensor, input_shape


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        ((480, 854), (256, 448)),
        ((854, 480), (448, 256)),
        ((100, 100), (256, 256)),
        ((20, 1000), (256, 1024)),  # four times the short side at most
    ],
)
def test_a_frame_keeps_its_aspect_on_sides_that_the_backbone_can_halve(frame, wanted):
    assert input_shape(checked("model", input_size=(256, 256), fit="aspect"), frame) == wanted


def test_stretched_frames_fill_the_input_whatever_their_shape():
    assert input_shape(checked("model", input_size=(224, 320)), (854, 480)) == (224, 320)


def test_a_frame_of_the_right_size_is_only_scaled_to_shares():
    frame = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    wanted = torch.from_numpy(frame).permute(2, 0, 1).float() / 255
    assert torch.equal(frame_tensor(frame, (32, 64)), wanted)
