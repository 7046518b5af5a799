"""A state file is restored whole or not at all, and what is wrong with it is one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pdnet.errors import InputError
from pdnet.training.state import Progress, load_state, save_state

EPOCHS, STEPS = 3, 4


def parts() -> tuple[dict[str, nn.Module], torch.optim.SGD]:
    """Two small modules and an optimiser that has momentum."""
    torch.manual_seed(0)
    modules = {"network": nn.Linear(2, 3), "loss": nn.Linear(3, 1)}
    parameters = [p for module in modules.values() for p in module.parameters()]
    optimiser = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    modules["loss"](modules["network"](torch.ones(1, 2))).sum().backward()
    optimiser.step()
    return modules, optimiser


def load(path: Path, modules: dict[str, nn.Module], optimiser: torch.optim.SGD) -> Progress | None:
    how = {"modules": modules, "optimiser": optimiser, "epochs": EPOCHS, "steps": STEPS}
    return load_state(path, "this one", **how)


@pytest.fixture
def saved(tmp_path) -> Path:
    rows = [{"step": i, "epoch": i // STEPS, "kind": "video", "total": 0.5} for i in range(6)]
    tables = {"history": rows, "validation": [{"epoch": 0}]}
    progress = Progress(fingerprint="this one", epoch=1, step=2, **tables)
    modules, optimiser = parts()
    save_state(tmp_path / "training.pt", progress, modules=modules, optimiser=optimiser)
    return tmp_path / "training.pt"


def everything(modules: dict[str, nn.Module], optimiser: torch.optim.SGD) -> list[torch.Tensor]:
    tensors = [value for module in modules.values() for value in module.state_dict().values()]
    tensors += [values["momentum_buffer"] for values in optimiser.state.values()]
    return [torch.get_rng_state(), *(value.clone() for value in tensors)]


def test_what_was_saved_comes_back(saved):
    modules, optimiser = parts()
    wanted = everything(modules, optimiser)
    torch.rand(5)
    for parameter in [*modules["network"].parameters(), *modules["loss"].parameters()]:
        parameter.data.zero_()
        optimiser.state[parameter]["momentum_buffer"].zero_()
    progress = load(saved, modules, optimiser)
    assert (progress.epoch, progress.step, len(progress.history)) == (1, 2, 6)
    assert progress.history[0] == {"step": 0, "epoch": 0, "kind": "video", "total": 0.5}
    found = everything(modules, optimiser)
    assert all(torch.equal(a, b) for a, b in zip(found[1:], wanted[1:], strict=True))


def progress_with(**values: object) -> Callable[[dict], object]:
    return lambda state: state["progress"].update(values)


DAMAGE: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda s: s.clear(), "which training it belongs to"),
    (lambda s: s.update(progress=[1]), "which training it belongs to"),
    (lambda s: s["progress"].pop("step") and s["progress"].pop("fingerprint"), "which training"),
    (progress_with(fingerprint=3), "which training it belongs to"),
    (lambda s: s["progress"].pop("history"), "its tables of 0 and 1 rows are not those of epoch 1"),
    (progress_with(more=1), "progress.more"),
    (progress_with(step=999), "epoch 1, step 999 is beyond a training of 3 epochs of 4 steps"),
    (progress_with(step=-1), "progress.step"),
    (progress_with(step="1"), "progress.step"),
    (progress_with(step=True), "progress.step"),
    (progress_with(epoch=3, step=0), "epoch 3, step 0 is beyond"),
    (progress_with(history=[]), "its tables of 0 and 1 rows"),
    (progress_with(history=3), "progress.history"),
    (lambda s: s.pop("torch"), "torch: field required"),
    (lambda s: s.update(torch=torch.zeros(3)), "RNG state"),
    (lambda s: s.update(torch=torch.zeros(3, dtype=torch.uint8)), "RNG state"),
    (lambda s: s.update(torch=None), "torch"),
    (lambda s: s.pop("cuda"), "cuda"),
    (lambda s: s.update(more=1), "more"),
    (lambda s: s.pop("modules"), "modules"),
    (lambda s: s["modules"].pop("loss"), "it has the modules ['network']"),
    (lambda s: s["modules"].update(network=[]), "modules.network"),
    (
        lambda s: s["modules"].update(network={"renamed": torch.zeros(1)}),
        "network: entry 'weight' is missing",
    ),
    (lambda s: s["modules"]["network"].update(more=torch.zeros(1)), "network: entry 'more'"),
    (
        lambda s: s["modules"]["network"].update(weight=torch.zeros(1)),
        "network: entry 'weight' is (1,), not (3, 2)",
    ),
    (lambda s: s["modules"]["loss"]["bias"].fill_(torch.nan), "loss: entry 'bias' has values"),
    (lambda s: s.pop("optimiser"), "optimiser"),
    (lambda s: s["optimiser"]["param_groups"].clear(), "other groups of parameters"),
    (lambda s: s["optimiser"]["param_groups"][0].update(momentum=0.1), "or other options"),
    (lambda s: s["optimiser"]["state"].update({9: {"momentum_buffer": None}}), "a parameter 9 of"),
    (
        lambda s: s["optimiser"]["state"][0].update(momentum_buffer=torch.zeros(1)),
        "momentum_buffer of parameter 0' is (1,), not (3, 2)",
    ),
    (
        lambda s: s["optimiser"]["state"].update({0: {"exp_avg": torch.zeros(3, 2)}}),
        "its optimiser keeps ['exp_avg'], not ['momentum_buffer']",
    ),
]


@pytest.mark.parametrize(("spoil", "says"), DAMAGE)
def test_a_state_changed_by_hand_is_one_line_and_changes_nothing(saved, spoil, says):
    state = torch.load(saved, weights_only=True)
    spoil(state)
    torch.save(state, saved)
    modules, optimiser = parts()
    before = everything(modules, optimiser)
    with pytest.raises(InputError, match="delete it to start anew") as error:
        load(saved, modules, optimiser)
    text = str(error.value)
    assert says.lower() in text.lower() and "\n" not in text and len(text) < 400 + len(str(saved))
    after = everything(modules, optimiser)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04", b"\x80\x02]q\x00."])
def test_a_file_of_another_kind_is_one_line(saved, content):
    saved.write_bytes(content)
    with pytest.raises(InputError, match=r"training\.pt: damaged training state \(.+\); delete it"):
        load(saved, *parts())


def test_another_training_starts_anew(saved):
    state = torch.load(saved, weights_only=True)
    state["progress"]["fingerprint"] = "another"
    torch.save(state, saved)
    assert load(saved, *parts()) is None


def test_the_state_of_another_version_starts_anew_whatever_else_it_holds(saved):
    torch.save({"progress": {"fingerprint": "of other code"}, "gone": 1}, saved)
    assert load(saved, *parts()) is None
