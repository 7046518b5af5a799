"""What variants are called, and which of them are compared."""

from __future__ import annotations

COMPARED = ("full", "one-part", "no-ipda")  # by the imbalance experiment
CONTROL = "unrelated"  # a reference frame of another scene: what the right one is worth
NAMES = {
    "full": "full, p = 5",
    "no-ipda": "without IPDA and fusion",
    "geometric": "geometric loss only",
    "geometric-area": "geometric and area loss",
    "one-part": "p = 1",
    "three-parts": "p = 3",
    "full-unrelated": "full, reference of another scene",
}
