"""Where torch computes, and that it computes the same each time."""

from __future__ import annotations

import os
import platform
import random
from pathlib import Path

import numpy as np
import torch

from pdnet.config import MachineConfig
from pdnet.errors import InputError


def choose_device(wanted: str = "auto") -> torch.device:
    """The device by its name; `auto` takes the first GPU where there is one, else the CPU.

    Raises:
        InputError: torch knows no such device, or this machine has none.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the second: a build without CUDA
        reason = str(error).splitlines()[0][:120]
        raise InputError(
            f"machine.device: '{wanted}' cannot be used ({reason}); try auto or cpu"
        ) from error
    return device


def take_machine(machine: MachineConfig) -> torch.device:
    """The device that the parameters name; on a CPU torch takes as many threads as they say.

    Raises:
        InputError: see `choose_device`.
    """
    # every stage that runs the network asks here: threads split the sums, so they reach the numbers
    if machine.threads:
        torch.set_num_threads(machine.threads)
    return choose_device(machine.device)


def kernels() -> dict[str, str]:
    """What decides the last digits on a CPU: the vector width that torch's, oneDNN's and MKL's
    kernels use, versions, threads, processor.
    """
    return {
        "torch": torch.__version__,
        "torch kernels": torch.backends.cpu.get_cpu_capability(),
        # another width sums in another order; both take the widest there is unless they are told
        "oneDNN limit": os.environ.get("ONEDNN_MAX_CPU_ISA", "none"),
        "MKL limit": os.environ.get("MKL_CBWR", "none"),
        "threads": str(torch.get_num_threads()),
        "machine": platform.machine(),
        "processor": _processor(),
    }


def _processor() -> str:
    """The processor's own name for itself, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    known = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {name.strip(): value.strip() for name, value in known.items()}
    names = ("model name", "cpu family", "model", "stepping")
    return " ".join(fields[name] for name in names if name in fields) or "unknown"


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch and asks torch for deterministic algorithms."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # a guard for debugging that costs time
    torch.utils.deterministic.fill_uninitialized_memory = False
