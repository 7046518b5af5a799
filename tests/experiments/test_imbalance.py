"""What is near a limb."""

from __future__ import annotations

import numpy as np

from pdnet.experiments.imbalance import LIMBS, near_limbs


def test_near_limbs():
    body = np.full((60, 60), -1)
    body[20:40, 20:24] = LIMBS[0]
    window = near_limbs(body, 5)
    assert window[30, 28] and not window[30, 34] and not near_limbs(np.zeros((9, 9), int), 2).any()
