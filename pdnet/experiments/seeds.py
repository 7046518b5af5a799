"""The trainings of one variant or method with several seeds, side by side where there is room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from pdnet.base.parallel import cores, each
from pdnet.config import Config, MachineConfig
from pdnet.model.device import choose_device

Result = TypeVar("Result")


def with_each_seed(
    work: Callable[[tuple[int, Config]], Result], configs: Mapping[int, Config], what: str
) -> dict[int, Result]:
    """Seed -> what `work` makes of (seed, parameters); as many at a time as `side_by_side` says.

    No number depends on how many there are: each has the threads that its parameters say.
    """
    first = next(iter(configs.values()))
    workers = side_by_side(first.machine)
    results = each(work, list(configs.items()), what, workers=workers, unit="seed")
    return dict(zip(configs, results, strict=True))


def side_by_side(machine: MachineConfig) -> int:
    """How many trainings keep a CPU's cores busy with `machine.threads` each, at most
    `machine.workers`; a GPU has one at a time, and so has a torch that chooses its threads itself.
    """
    if not machine.threads or choose_device(machine.device).type != "cpu":
        return 1
    fit = max(1, cores() // machine.threads)
    return min(machine.workers or fit, fit)
