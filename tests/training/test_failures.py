"""Errors of torch that a user can mend are one line."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from pdnet.base.parallel import START_METHOD
from pdnet.errors import InputError
from pdnet.training.failures import one_line_failures


class Failing(Dataset):
    """Its one sample cannot be had."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        if self.error is None:
            os.kill(os.getpid(), signal.SIGKILL)
        raise self.error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (InputError("a/00005.jpg: truncated JPEG"), "a/00005.jpg: truncated JPEG"),
        (OSError(24, "Too many open files"), "OSError: [Errno 24] Too many open files"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_workers_error_is_what_it_said(error, says, workers):
    how = {"multiprocessing_context": START_METHOD} if workers else {}
    with pytest.raises((InputError, OSError)) as found, one_line_failures():
        next(iter(DataLoader(Failing(error), num_workers=workers, **how)))
    assert str(found.value) == (says if workers else str(error))


def test_a_killed_worker_is_one_line():
    loader = DataLoader(Failing(None), num_workers=1, multiprocessing_context=START_METHOD)
    says = r"was killed, .* set machine\.loader_workers to 0"
    with pytest.raises(InputError, match=says), one_line_failures():
        next(iter(loader))


def test_a_full_memory_is_one_line():
    says = r"out of memory .* lower train\.batch_size"
    with pytest.raises(InputError, match=says), one_line_failures():
        torch.empty(10**15)


def test_what_nobody_can_mend_stays_as_it_is():
    with pytest.raises(RuntimeError, match="a bug"), one_line_failures():
        raise RuntimeError("a bug")
