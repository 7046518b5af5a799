"""What a training's libraries raise and a user can mend, as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pdnet.base.parameters_file import shown
from pdnet.errors import InputError

OURS = f"{InputError.__module__}.{InputError.__qualname__}: "
# how torch says on a CPU that memory is full; a GPU has an error of its own
CPU_MEMORY = "DefaultCPUAllocator"


@contextmanager
def one_line_failures() -> Iterator[None]:
    """Inside the block, errors of the loader's workers and of a full memory are `InputError`s.

    Raises:
        InputError: a worker found a bad file, was killed, or memory is full.
    """
    try:
        yield
    except (InputError, OSError) as error:
        if not str(error).startswith("Caught "):
            raise
        # torch hands a worker's whole traceback over as the text; what was said is its last line
        said = str(error).rstrip().splitlines()[-1]
        raise InputError(said.removeprefix(OURS)) from error
    except RuntimeError as error:
        if str(error).startswith("DataLoader worker"):
            raise InputError(
                "a process that loads batches was killed, perhaps for memory; set "
                "machine.loader_workers to 0"
            ) from error
        if isinstance(error, torch.OutOfMemoryError) or CPU_MEMORY in str(error):
            raise InputError(
                f"out of memory ({shown(error)}); lower train.batch_size or model.input_size, or "
                "set model.checkpointing"
            ) from error
        raise
