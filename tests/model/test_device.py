"""Threads and device are those of the parameters, in whatever stage."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pdnet.config import MachineConfig, load_config
from pdnet.errors import InputError
from pdnet.model.device import take_machine
from tests.helpers import ROOT


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 3])
def test_threads_are_those_of_the_parameters(count):
    assert take_machine(MachineConfig(threads=count, device="cpu")) == torch.device("cpu")
    assert torch.get_num_threads() == count


def test_no_number_leaves_torch_its_own_choice():
    torch.set_num_threads(3)
    take_machine(MachineConfig(threads=0, device="cpu"))
    assert torch.get_num_threads() == 3


def test_the_profile_of_the_published_numbers_fixes_its_threads():
    assert load_config(ROOT / "params.yaml").machine.threads == 2


def test_every_stage_that_runs_a_network_asks_the_parameters():
    files = [*Path(ROOT / "pdnet/stages").glob("*.py"), ROOT / "pdnet/experiments/variants.py"]
    loading = [f for f in files if "load_network(" in f.read_text()]
    assert loading and all("take_machine(config.machine)" in f.read_text() for f in loading)


def test_an_unknown_device_is_one_line():
    with pytest.raises(InputError, match=r"machine.device: 'abacus' cannot be used"):
        take_machine(MachineConfig(device="abacus"))
