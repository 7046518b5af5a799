"""Training: resume is exact, a kill loses nothing, image steps touch what they should."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from pdnet.config import load_config
from pdnet.errors import InputError
from pdnet.model.checkpoint import load_network
from pdnet.training.loop import Stopped, Training
from pdnet.training.schedule import decay, learning_rates, step_kinds
from tests.helpers import TINY, make_tree, save_image, write_params


@pytest.fixture
def data(tmp_path):
    tree = make_tree(tmp_path / "data", frames=6)
    rng = np.random.default_rng(1)
    for i in range(4):
        save_image(
            tree / f"Images/x/img/{i}.jpg", rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        )
        save_image(
            tree / f"Images/x/mask/{i}.png", (rng.random((48, 64)) > 0.5).astype(np.uint8) * 255
        )
    return tree


def config(tmp_path, **changes):
    return load_config(write_params(tmp_path / "p.yaml", **{**TINY, **changes}))


def history(folder: Path) -> list[dict]:
    return list(csv.DictReader((folder / "history.csv").open()))


def test_training_lowers_the_loss_and_leaves_what_it_promises(tmp_path, data):
    chosen = config(tmp_path, train__epochs=4, train__steps_per_epoch=8)
    path = Training(chosen, data, tmp_path / "models").fit()
    video = [float(r["final"]) for r in history(tmp_path / "models") if r["kind"] == "video"]
    assert np.mean(video[-8:]) < 0.8 * np.mean(video[:8])
    assert load_network(path).config == chosen.model
    rows = list(csv.DictReader((tmp_path / "models/validation.csv").open()))
    assert (
        len(rows) == 4
        and 0 <= float(rows[-1]["J&F-Mean"]) <= 1
        and float(rows[-1]["live_parts"]) >= 1
    )


def test_the_same_seed_gives_the_same_file_and_another_one_does_not(tmp_path, data):
    first = Training(config(tmp_path), data, tmp_path / "a").fit().read_bytes()
    assert Training(config(tmp_path), data, tmp_path / "b").fit().read_bytes() == first
    assert (tmp_path / "a/history.csv").read_bytes() == (tmp_path / "b/history.csv").read_bytes()
    assert Training(config(tmp_path, seed=1), data, tmp_path / "c").fit().read_bytes() != first


def test_a_signal_saves_and_resuming_is_exact(tmp_path, data):
    whole = Training(config(tmp_path), data, tmp_path / "whole").fit()
    broken = Training(config(tmp_path), data, tmp_path / "broken")
    steps, original = [], broken._log_step

    def interrupt(row, seconds):
        original(row, seconds)
        steps.append(row)
        if len(steps) == 3:  # in the middle of the first epoch
            os.kill(os.getpid(), signal.SIGINT)

    broken._log_step = interrupt
    with pytest.raises(Stopped, match="step 3 of"):
        broken.fit()
    resumed = Training(config(tmp_path), data, tmp_path / "broken")
    assert resumed.progress.step == 3 and resumed.run.run_id == broken.run.run_id
    assert resumed.fit().read_bytes() == whole.read_bytes()
    assert history(tmp_path / "broken") == history(tmp_path / "whole")


def test_kill_9_then_the_same_command_resumes(tmp_path, data):
    params = write_params(
        tmp_path / "p.yaml", **{**TINY, "train.epochs": 4, "train.steps_per_epoch": 4}
    )
    command = [
        sys.executable,
        "-m",
        "pdnet.cli",
        "train",
        "--params",
        str(params),
        "--data",
        str(data),
        "--out",
    ]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    running = subprocess.Popen(
        [*command, str(tmp_path / "killed")], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    state = tmp_path / "killed/state/training.pt"
    deadline = time.monotonic() + 120
    while not state.exists() and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.02)
    running.kill()
    running.wait()
    assert state.exists() and not (tmp_path / "killed/pdnet.safetensors").exists()
    second = subprocess.run(
        [*command, str(tmp_path / "killed")], check=True, capture_output=True, text=True
    )
    assert "resuming at epoch" in second.stderr
    assert history(tmp_path / "killed") == history(tmp_path / "whole")
    assert (tmp_path / "killed/pdnet.safetensors").read_bytes() == (
        tmp_path / "whole/pdnet.safetensors"
    ).read_bytes()


def test_other_parameters_start_anew(tmp_path, data):
    Training(config(tmp_path), data, tmp_path / "m")._save()
    assert Training(config(tmp_path, model__parts=2), data, tmp_path / "m").progress.history == []


def weights(training, heads: bool):
    names = [
        n for n, _ in training.network.named_parameters() if ("encoder.backbone." in n) != heads
    ]
    return torch.cat(
        [dict(training.network.named_parameters())[n].detach().flatten().clone() for n in names]
    )


@pytest.mark.parametrize(
    ("mode", "heads_move"), [("ours", False), ("official", True), ("all", True)]
)
def test_what_an_image_step_moves(tmp_path, data, mode, heads_move):
    training = Training(
        config(tmp_path, train__image_steps=mode, train__workers=0), data, tmp_path / mode
    )
    video, image = (next(training._batches(kind)) for kind in ("video", "image"))
    training.model.train()
    training._step("video", video, 0)  # so that there is momentum
    norms = [n.running_mean.clone() for n in training.head_norms]
    heads, backbone = weights(training, True), weights(training, False)
    training._step("image", image, 0)
    between = weights(training, True)
    assert not torch.equal(weights(training, False), backbone)
    assert torch.equal(between, heads) == (mode != "all")  # a rate of 0, or no gradient
    frozen = all(
        torch.equal(a, n.running_mean) for a, n in zip(norms, training.head_norms, strict=True)
    )
    assert frozen == (mode == "ours")
    state = training._raw_optimiser().state[training.network.head.weight]["momentum_buffer"]
    before = state.clone()
    training._step("image", image, 0)
    assert (
        torch.equal(before, state) != heads_move
    )  # the authors' leak: momentum takes the image's gradient in


def test_learning_rates(tmp_path):
    train = config(tmp_path, profile="paper", **{"model.preset": "paper"}).train
    assert learning_rates(train, "image", 0, 100, 0) == (2.5e-4, 0.0)
    assert learning_rates(train, "video", 0, 100, 0) == (2.5e-5, 2.5e-3)
    assert decay(train, 50, 100, 6) == pytest.approx(0.5 * 0.5**0.9) and decay(
        train, 50, 100, 5
    ) == pytest.approx(0.5**0.9)
    assert step_kinds(train, 5, True) == [
        "image",
        "video",
        "video",
        "image",
        "video",
        "video",
        "image",
        "video",
    ]
    assert step_kinds(train, 3, False) == ["video"] * 3


def test_a_holdout_that_is_no_training_clip_is_named(tmp_path, data):
    with pytest.raises(InputError, match="'b/three' is no training clip"):
        Training(config(tmp_path, train__holdout=["b/three"]), data, tmp_path / "m")
    with pytest.raises(InputError, match="none is left"):
        Training(config(tmp_path, train__holdout=["a/one", "a/two"]), data, tmp_path / "m")


def test_a_tracking_failure_never_costs_a_training(tmp_path, data, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/nowhere/mlflow.db")
    with pytest.warns(UserWarning, match="goes on untracked"):
        path = Training(config(tmp_path), data, tmp_path / "m").fit()
    assert path.is_file()


def test_a_full_disk_is_one_line_and_keeps_the_last_state(tmp_path, data):
    params = write_params(tmp_path / "p.yaml", **TINY)
    limit = "import resource,runpy,sys; resource.setrlimit(resource.RLIMIT_FSIZE,(100000,100000)); sys.argv=sys.argv[1:]; "
    command = [
        sys.executable,
        "-c",
        limit + "runpy.run_module('pdnet.cli',run_name='__main__')",
        "pdnet",
        "train",
    ]
    command += ["--params", str(params), "--data", str(data), "--out", str(tmp_path / "m")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (
        done.returncode == 2
        and "cannot be written" in done.stderr
        and "Traceback" not in done.stderr
    )
    assert not list((tmp_path / "m/state").glob("*")), "half a file was left"


def test_a_dying_part_is_warned_about_and_logged(tmp_path, data, capfd):
    training = Training(
        config(tmp_path, train__epochs=1, train__steps_per_epoch=1), data, tmp_path / "m"
    )
    branch = training.network.decoupling.branches[2]
    with (
        torch.no_grad()
    ):  # the first of three parts gets a logit of its own from its features' offset
        branch[1].bias[:8] = 100.0
        training.network.decoupling.head.weight[:] = 1.0
    training.fit()
    assert "1 of 3 parts are alive" in capfd.readouterr().err
    row = next(csv.DictReader((tmp_path / "m/validation.csv").open()))
    assert float(row["live_parts"]) == 1 and float(row["area_variance"]) > 0.3
    assert {"entropy", "centre_spread", "basis_cosine"} <= set(row)


def test_training_in_half_precision(tmp_path, data):
    chosen = config(tmp_path, train__precision="bf16-mixed", model__checkpointing=True)
    path = Training(chosen, data, tmp_path / "m").fit()
    assert all(np.isfinite(float(r["total"])) for r in history(tmp_path / "m"))
    assert next(load_network(path).parameters()).dtype == torch.float32


def test_a_frozen_encoder_is_taken_over_and_stays(tmp_path, data):
    start = Training(config(tmp_path, train__epochs=1), data, tmp_path / "start").fit()
    chosen = config(
        tmp_path, train__start=str(start), train__freeze_encoder=True, train__image_steps="none"
    )
    after = load_network(Training(chosen, data, tmp_path / "after").fit())
    before = load_network(start)
    theirs, ours = before.encoder.state_dict(), after.encoder.state_dict()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    assert not torch.equal(before.head.weight, after.head.weight)
    with pytest.raises(
        InputError, match=r"train\.start: .* has the encoder \('resnet18', 16, 'multiply'\)"
    ):
        Training(
            config(tmp_path, train__start=str(start), model__channels=32), data, tmp_path / "other"
        )
