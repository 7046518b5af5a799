"""Losses: portrait maps, parts, and their sums."""

from pdnet.losses.total import PDNetLoss

__all__ = ["PDNetLoss"]
