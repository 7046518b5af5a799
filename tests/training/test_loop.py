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
from safetensors.torch import load_file

from pdnet.base.lock import only_writer
from pdnet.base.tracking import Run
from pdnet.config import Config, load_config
from pdnet.errors import InputError
from pdnet.inference.segment import clip_segmenter
from pdnet.model.checkpoint import load_network
from pdnet.sources.flow import compute_flow
from pdnet.training.interrupt import Stopped
from pdnet.training.loop import Training
from tests.helpers import TINY, make_tree, rendered_cast, save_image, write_params


@pytest.fixture
def data(tmp_path) -> Path:
    tree = make_tree(tmp_path / "data", frames=6)
    rng = np.random.default_rng(1)
    for i in range(4):
        picture = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        save_image(tree / f"Images/x/img/{i}.jpg", picture)
        mask = (rng.random((48, 64)) > 0.5).astype(np.uint8) * 255
        save_image(tree / f"Images/x/mask/{i}.png", mask)
    return tree


def config(tmp_path: Path, **changes: object) -> Config:
    return load_config(write_params(tmp_path / "p.yaml", **{**TINY, **changes}))


def history(folder: Path) -> list[dict]:
    with (folder / "history.csv").open() as stream:
        return list(csv.DictReader(stream))


def validation(folder: Path) -> list[dict]:
    with (folder / "validation.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_training_lowers_the_loss_and_leaves_what_it_promises(tmp_path, data):
    chosen = config(tmp_path, train__epochs=4, train__steps_per_epoch=8)
    path = Training(chosen, data, tmp_path / "models").fit()
    rows = history(tmp_path / "models")
    video = [float(row["final"]) for row in rows if row["kind"] == "video"]
    assert np.mean(video[-8:]) < 0.8 * np.mean(video[:8])
    assert load_network(path).config == chosen.model
    assert not (tmp_path / "models/state/training.pt").exists(), "nobody needs it any more"
    epochs = validation(tmp_path / "models")
    assert len(epochs) == 4 and float(epochs[-1]["live_parts"]) >= 1
    assert 0 <= float(epochs[-1]["J&F-Mean"]) <= 1


def test_true_joints_and_body_parts_teach_steps(tmp_path):
    data = tmp_path / "casts"
    clip = rendered_cast(data, kind="train")
    learned = {
        "model.preset": "ours",
        "model.steps": "learned",
        "loss.steps": 1.0,
        "loss.body_parts": 1.0,
        "train.targets": "later",
        "train.image_steps": "none",
        "train.holdout": [],
        "train.optimiser": "adamw",
        "train.lr_video_heads": 0.003,
        "train.lr_video_backbone": 0.001,
    }
    chosen = config(tmp_path, **learned, train__epochs=2, train__steps_per_epoch=16)
    path = Training(chosen, data, tmp_path / "models").fit()
    for term in ("steps", "body_parts"):
        costs = [float(row[term]) for row in history(tmp_path / "models")]
        assert np.mean(costs[-10:]) < 0.7 * np.mean(costs[:10]), term
    steps = clip_segmenter(load_network(path), clip).segment(2).part_steps
    assert np.isfinite(steps).all() and np.abs(steps).max() > 0.005


@pytest.mark.parametrize("freeze", [False, True])
def test_a_training_goes_on_from_a_whole_network_or_from_its_encoder(tmp_path, data, freeze):
    start = Training(config(tmp_path), data, tmp_path / "first").fit()
    wanted = load_file(start)
    for part in ("network", "encoder"):
        how = {"train__start": str(start), "train__start_part": part}
        chosen = config(tmp_path, train__freeze_encoder=freeze, **how)
        network = Training(chosen, data, tmp_path / part).network
        taken = {
            name
            for name, value in network.state_dict().items()
            if value.is_floating_point() and torch.equal(value, wanted[name])
        }
        encoder = {name for name in wanted if name.startswith("encoder.") and "num_b" not in name}
        assert encoder <= taken
        whole = part == "network"
        assert ("head.weight" in taken, "attention.query.weight" in taken) == (whole, whole)


def test_tables_hold_nothing_that_differs_from_run_to_run(tmp_path, data):
    for name in ("a", "b"):
        Training(config(tmp_path), data, tmp_path / name).fit()
    for name in ("history.csv", "validation.csv", "summary.json", "pdnet.safetensors"):
        first, second = (tmp_path / run / name for run in "ab")
        assert first.read_bytes() == second.read_bytes(), name


def test_another_seed_gives_another_network(tmp_path, data):
    first = Training(config(tmp_path), data, tmp_path / "a").fit().read_bytes()
    assert Training(config(tmp_path, seed=1), data, tmp_path / "b").fit().read_bytes() != first


RICH = {
    "train.optimiser": "adamw",
    "train.schedule": "cosine",
    "train.accumulate": 2,
    "train.ema": 0.9,
    "train.image_reference": "mixed",
    "train.image_steps": "all",
    "train.colour": 0.4,
    "train.sample_weights": {"a/one": 0.7, "x": 2},
    "train.holdout_images": 0.3,
}


@pytest.mark.parametrize("changes", [{}, RICH], ids=["paper", "rich"])
def test_a_signal_saves_and_resuming_is_exact(tmp_path, data, monkeypatch, capsys, changes):
    whole = Training(config(tmp_path, **changes), data, tmp_path / "whole").fit()
    steps, original = [], Run.metrics

    def interrupt(run, step, **values):
        original(run, step, **values)
        steps.append(step)
        if len(steps) == 3:  # in the middle of the first epoch
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Run, "metrics", interrupt)
    broken = Training(config(tmp_path, **changes), data, tmp_path / "broken")
    with pytest.raises(Stopped, match="step 3 of"):
        broken.fit()
    resumed = Training(config(tmp_path, **changes), data, tmp_path / "broken")
    assert resumed.fit().read_bytes() == whole.read_bytes()
    assert "resuming at epoch 0, step 3" in capsys.readouterr().err
    assert resumed.run_id == broken.run_id
    assert history(tmp_path / "broken") == history(tmp_path / "whole")


def test_the_average_of_the_weights_is_what_is_saved_and_validated(tmp_path, data):
    training = Training(config(tmp_path, **RICH), data, tmp_path / "m")
    saved = load_file(training.fit())
    average, last = training.modules["average"].module.state_dict(), training.network.state_dict()
    assert all(torch.equal(saved[name], value) for name, value in average.items())
    assert not all(torch.equal(saved[name], value) for name, value in last.items())
    row = validation(tmp_path / "m")[-1]
    assert {"J-images", "J-images/x", "J&F-Mean"} <= set(row)


def test_accumulated_batches_make_the_step_of_their_mean(tmp_path, data):
    """With frozen statistics, so that a batch norm does not see how the pictures were grouped."""
    values = {"train.image_steps": "none", "train.crop": 0.0, "loss.bce_weight": "none"}
    moved = []
    for batch_size, accumulate in ((4, 1), (2, 2)):
        how = {"train.batch_size": batch_size, "train.accumulate": accumulate}
        how |= {"loss.parts": 0.0}  # the parts' losses are no means over pictures
        training = Training(config(tmp_path, **values, **how), data, tmp_path / str(accumulate))
        training.network.eval()
        training.step("video", training.batches("video"))
        moved.append(training.network.head.weight.detach().clone())
    assert torch.allclose(*moved, atol=1e-6)


def interrupted(chosen: Config, data: Path, out: Path, monkeypatch) -> None:
    """Stops a training after its first step."""
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Run, "metrics", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
        Training(chosen, data, out).fit()


@pytest.mark.parametrize(
    "change",
    [
        {"machine__threads": 1},
        {"machine__loader_workers": 1},
        {"train__validate_every": 2},
        {"train__validation_threshold": 0.6},
        {"evaluate__threshold": 0.3},
        {"report__best_worst": 1},
    ],
)
def test_what_cannot_change_the_weights_keeps_an_interrupted_training(
    tmp_path, data, monkeypatch, capsys, change
):
    interrupted(config(tmp_path), data, tmp_path / "m", monkeypatch)
    Training(config(tmp_path, **change), data, tmp_path / "m").fit()
    assert "resuming at epoch 0, step 1" in capsys.readouterr().err


def test_what_changes_the_weights_starts_anew(tmp_path, data, monkeypatch, capsys):
    interrupted(config(tmp_path), data, tmp_path / "m", monkeypatch)
    Training(config(tmp_path, model__parts=2), data, tmp_path / "m").fit()
    assert "resuming" not in capsys.readouterr().err


def test_kill_9_then_the_same_command_resumes(tmp_path, data):
    longer = {"train.epochs": 4, "train.steps_per_epoch": 4}
    params = write_params(tmp_path / "p.yaml", **TINY | longer)
    command = [sys.executable, "-m", "pdnet.cli", "train", "--params", str(params)]
    command += ["--data", str(data), "--out"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    running = subprocess.Popen([*command, str(killed)], **quiet)
    state, deadline = killed / "state/training.pt", time.monotonic() + 120
    while not state.exists() and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.02)
    running.kill()
    running.wait()
    assert state.exists() and not (killed / "pdnet.safetensors").exists()
    again = [*command, str(killed)]
    second = subprocess.run(again, check=True, capture_output=True, text=True)
    assert "resuming at epoch" in second.stderr
    assert history(killed) == history(whole)
    checkpoints = [(folder / "pdnet.safetensors").read_bytes() for folder in (killed, whole)]
    assert checkpoints[0] == checkpoints[1]


def children(parent: int) -> list[int]:
    """Processes that a process started and that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (name) state ppid ...
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone ends a process with its parent")
def test_a_killed_training_leaves_no_loading_process_behind(tmp_path, data):
    params = write_params(tmp_path / "p.yaml", **TINY, machine__loader_workers=2)
    command = [sys.executable, "-m", "pdnet.cli", "train", "--params", str(params)]
    command += ["--data", str(data), "--out", str(tmp_path / "models")]
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    running = subprocess.Popen(command, **quiet)
    deadline, started = time.monotonic() + 120, []
    while len(started) < 3 and time.monotonic() < deadline and running.poll() is None:
        started = children(running.pid)  # two workers, and multiprocessing's own
        time.sleep(0.01)
    # while they import torch, before torch's own watch over the parent begins
    running.kill()
    running.wait()
    assert len(started) >= 3
    deadline = time.monotonic() + 60
    while any(map(alive, started)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, started))


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_infinite_loss_is_refused_before_the_weights_move(tmp_path, data):
    training = Training(config(tmp_path), data, tmp_path / "m")
    batch = next(training.batches("video"))
    with torch.no_grad():
        training.network.head.bias.fill_(float("nan"))
    before = {name: p.detach().clone() for name, p in training.network.named_parameters()}
    training.model.train()
    with pytest.raises(InputError, match="the loss is not finite"):
        training.step("video", iter([batch]))
    for name, parameter in training.network.named_parameters():
        assert torch.equal(parameter, before[name]) or name == "head.bias", name
    assert not training.raw_optimiser.state, "momentum has taken nothing in"


def test_weights_that_are_not_finite_are_never_saved(tmp_path, data, monkeypatch):
    """The last step's loss is that of the weights before it: it does not tell."""
    original = Training.step

    def breaks_at_the_end(training, kind, batch):
        result = original(training, kind, batch)
        if training.done == training.total - 1:
            training.network.head.bias.data.fill_(float("nan"))
        return result

    monkeypatch.setattr(Training, "step", breaks_at_the_end)
    with pytest.raises(InputError, match="the weights are not finite any more; lower train.lr"):
        Training(config(tmp_path), data, tmp_path / "m").fit()
    assert not (tmp_path / "m/pdnet.safetensors").exists()
    state = torch.load(tmp_path / "m/state/training.pt", weights_only=True)
    assert state["progress"]["epoch"] == 1, "the last epoch's state is kept"


def test_a_second_training_in_one_folder_is_refused_and_told_who_holds_it(tmp_path, data):
    training = Training(config(tmp_path), data, tmp_path / "m")
    with only_writer(tmp_path / "m"), pytest.raises(InputError, match=f"process {os.getpid()} on"):
        training.fit()
    assert not list((tmp_path / "m").glob("*.csv"))


def test_what_a_killed_save_left_is_gone_at_the_next_start(tmp_path, data):
    left = tmp_path / "m/state/.writing-0123456789ab.pt"
    left.parent.mkdir(parents=True)
    left.write_bytes(bytes(1000))
    short = {"train__epochs": 1, "train__steps_per_epoch": 1}
    Training(config(tmp_path, **short), data, tmp_path / "m").fit()
    assert not left.exists()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda state: b"", "damaged training state"),
        (lambda state: {}, "which training it belongs to"),
        (lambda state: [state], "which training it belongs to"),
        (lambda state: {**state, "progress": {**state["progress"], "step": 999}}, "step 999"),
        (lambda state: {**state, "progress": {**state["progress"], "more": 1}}, "more"),
        (lambda state: {key: state[key] for key in state if key != "torch"}, "torch"),
    ],
)
def test_a_damaged_state_is_one_line_with_what_to_do(
    cli, tmp_path, data, monkeypatch, damage, says
):
    chosen, state_file = config(tmp_path), tmp_path / "m/state/training.pt"
    interrupted(chosen, data, tmp_path / "m", monkeypatch)
    damaged = damage(torch.load(state_file, weights_only=True))
    if isinstance(damaged, bytes):
        state_file.write_bytes(damaged)
    else:
        torch.save(damaged, state_file)
    where = ("--data", data, "--out", tmp_path / "m")
    status, text = cli("train", "--params", tmp_path / "p.yaml", *where)
    assert status == 2 and says in text and "delete it to start anew" in text, text


def spoilt(tree: Path, what: str) -> None:
    """Changes a tree by hand."""
    masks = sorted((tree / "Annotations/480p/a/one").iterdir())
    if what == "missing mask":
        masks[2].unlink()
    if what == "truncated frame":
        frame = tree / "Keyframes/480p/a/one/00010.jpg"
        frame.write_bytes(frame.read_bytes()[:-100])
    if what == "garbled masks":
        for mask in masks:
            content = bytearray(mask.read_bytes())
            content[60:70] = bytes(10)
            mask.write_bytes(content)
    if what == "mask of another size":
        for mask in (tree / "Images/x/mask").iterdir():
            save_image(mask, np.zeros((10, 12), np.uint8))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("missing mask", "a/one/00010: missing mask"),
        ("truncated frame", "00010.jpg: truncated JPEG"),
        ("garbled masks", "not a readable image"),
        ("mask of another size", "mask is 12x10, its frame 64x48"),
    ],
)
def test_a_tree_changed_by_hand_is_refused_by_the_files_name(
    cli, tmp_path, data, what, says, workers
):
    spoilt(data, what)
    config(tmp_path, machine__loader_workers=workers)
    where = ("--data", data, "--out", tmp_path / "m")
    status, text = cli("train", "--params", tmp_path / "p.yaml", *where)
    assert status == 2 and says in text, text
    assert "Traceback" not in text and "Caught" not in text
    assert not (tmp_path / "m/pdnet.safetensors").exists()


@pytest.mark.parametrize("what", ["--out", "--data", "train.start"])
def test_a_file_where_something_else_belongs_is_one_line(cli, tmp_path, data, what):
    (tmp_path / "file").write_bytes(b"rubbish")
    config(tmp_path, **({what: str(tmp_path / "file")} if what == "train.start" else {}))
    where = {"--data": data, "--out": tmp_path / "m"}
    where |= {what: tmp_path / "file"} if what.startswith("--") else {}
    given = [word for option in where.items() for word in option]
    status, text = cli("train", "--params", tmp_path / "p.yaml", *given)
    assert status == 2 and f"{tmp_path}/file: " in text and "Traceback" not in text, text
    assert (tmp_path / "file").read_bytes() == b"rubbish"


def weights(training: Training, *, heads: bool) -> torch.Tensor:
    chosen = [
        parameter.detach().flatten().clone()
        for name, parameter in training.network.named_parameters()
        if ("encoder.backbone." in name) != heads
    ]
    return torch.cat(chosen)


@pytest.mark.parametrize(
    ("mode", "heads_move"), [("ours", False), ("official", True), ("all", True)]
)
def test_what_an_image_step_moves(tmp_path, data, mode, heads_move):
    training = Training(config(tmp_path, train__image_steps=mode), data, tmp_path / mode)
    video, image = (next(training.batches(kind)) for kind in ("video", "image"))
    training.model.train()
    training.step("video", iter([video]))  # so that there is momentum
    norms = [norm.running_mean.clone() for norm in training.head_norms]
    heads, backbone = weights(training, heads=True), weights(training, heads=False)
    training.step("image", iter([image]))
    between = weights(training, heads=True)
    assert not torch.equal(weights(training, heads=False), backbone)
    assert torch.equal(between, heads) == (mode != "all")  # a rate of 0, or no gradient
    pairs = zip(norms, training.head_norms, strict=True)
    frozen = all(torch.equal(before, norm.running_mean) for before, norm in pairs)
    assert frozen == (mode == "ours")
    momentum = training.raw_optimiser.state[training.network.head.weight]["momentum_buffer"]
    before = momentum.clone()
    training.step("image", iter([image]))
    # the authors' leak: momentum takes the image's gradient in
    assert torch.equal(before, momentum) != heads_move


def test_a_holdout_that_is_no_training_clip_is_named(tmp_path, data):
    with pytest.raises(InputError, match="'nobody' is no clip; known: a/one"):
        Training(config(tmp_path, train__holdout=["nobody"]), data, tmp_path / "m")
    with pytest.raises(InputError, match="none is left"):
        Training(config(tmp_path, train__holdout=["a/one", "a/two"]), data, tmp_path / "m")


def test_a_tracking_failure_never_costs_a_training(tmp_path, data, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/nowhere/mlflow.db")
    path = Training(config(tmp_path), data, tmp_path / "m").fit()
    assert path.is_file() and "goes on untracked" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_keeps_the_last_state(tmp_path, data):
    params = write_params(tmp_path / "p.yaml", **TINY)
    limited = (
        "import resource, runpy, sys;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000));"
        "sys.argv = sys.argv[1:];"
        "runpy.run_module('pdnet.cli', run_name='__main__')"
    )
    command = [sys.executable, "-c", limited, "pdnet", "train", "--params", str(params)]
    command += ["--data", str(data), "--out", str(tmp_path / "m")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "m/state").glob("*")), "half a file was left"


def test_a_dying_part_is_warned_about_and_logged(tmp_path, data, capfd):
    chosen = config(tmp_path, train__epochs=1, train__steps_per_epoch=1)
    training = Training(chosen, data, tmp_path / "m")
    branch = training.network.decoupling.branches[2]
    with torch.no_grad():
        # the first of three parts gets a logit of its own from its features' offset
        branch[1].bias[:8] = 100.0
        training.network.decoupling.head.weight[:] = 1.0
    training.fit()
    assert "1 of 3 parts are alive" in capfd.readouterr().err
    row = validation(tmp_path / "m")[0]
    assert float(row["live_parts"]) == 1 and float(row["area_variance"]) > 0.3
    assert {"entropy", "centre_spread", "basis_cosine"} <= set(row)


def test_training_in_half_precision(tmp_path, data):
    chosen = config(tmp_path, train__precision="bf16-mixed", model__checkpointing=True)
    Training(chosen, data, tmp_path / "m").fit()
    assert all(np.isfinite(float(row["total"])) for row in history(tmp_path / "m"))


def test_a_frozen_encoder_is_taken_over_and_stays(tmp_path, data):
    first = Training(config(tmp_path), data, tmp_path / "first").fit()
    taken = {"train__start": str(first), "train__start_part": "encoder"}
    frozen = config(tmp_path, seed=5, train__freeze_encoder=True, **taken)
    second = Training(frozen, data, tmp_path / "second").fit()
    before, after = load_file(first), load_file(second)
    encoder = [name for name in before if name.startswith("encoder.")]
    assert encoder and all(torch.equal(before[name], after[name]) for name in encoder)
    assert not torch.equal(before["head.weight"], after["head.weight"])


def compared(tmp_path: Path, interaction: str, **changes: object) -> Config:
    """Two video steps and an image step."""
    short = {"train.epochs": 1, "train.steps_per_epoch": 2, "train.image_steps": "ours"}
    return config(tmp_path, **{**short, "model.interaction": interaction, **changes})


@pytest.fixture
def with_flow(data) -> Path:
    compute_flow(data, data.parent / "flow", config(data.parent).flow, workers=1)
    return data


@pytest.mark.parametrize("interaction", ["cosnet", "fsnet"])
def test_what_is_compared_trains_on_clips_and_images(tmp_path, with_flow, interaction):
    chosen = compared(tmp_path, interaction)
    training = Training(chosen, with_flow, tmp_path / "m")
    before = {name: value.clone() for name, value in training.network.state_dict().items()}
    path = training.fit()
    rows = history(tmp_path / "m")
    assert {row["kind"] for row in rows} == {"video", "image"}
    assert all(np.isfinite(float(row["total"])) for row in rows)
    video = next(row for row in rows if row["kind"] == "video")
    # beside flow there is no reference to teach; IPDA's own losses are not there either way
    assert bool(video.get("reference")) == (interaction == "cosnet")
    assert not {"geometric", "semantic", "saliency"} & set(video)
    assert load_network(path).config == chosen.model
    assert not (tmp_path / "models/state/training.pt").exists(), "nobody needs it any more"
    moved = [
        name for name, value in load_file(path).items() if not torch.equal(value, before[name])
    ]
    assert any(name.startswith("interaction.") for name in moved)
    assert "J&F-Mean" in validation(tmp_path / "m")[-1]


def test_beside_flow_a_stopped_training_resumes_to_the_same_weights(
    tmp_path, with_flow, monkeypatch, capsys
):
    chosen = compared(tmp_path, "hfan", train__epochs=2)
    whole = Training(chosen, with_flow, tmp_path / "whole").fit()
    interrupted(chosen, with_flow, tmp_path / "broken", monkeypatch)
    resumed = Training(chosen, with_flow, tmp_path / "broken").fit()
    assert "resuming at epoch 0, step 1" in capsys.readouterr().err
    assert resumed.read_bytes() == whole.read_bytes()
    assert history(tmp_path / "broken") == history(tmp_path / "whole")


def test_an_image_step_beside_flow_sees_no_motion(tmp_path, with_flow):
    training = Training(compared(tmp_path, "matnet"), with_flow, tmp_path / "m")
    video, image = (next(training.batches(kind)) for kind in ("video", "image"))
    seen = []
    training.network.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    training.model.train()
    for kind, batch in (("video", video), ("image", image)):
        training.step(kind, iter([batch]))
    moving, resting = (both.chunk(2)[1] for both in seen)
    white = training.network.encoder.normalise(torch.ones(2, 3, 64, 64))
    assert torch.equal(resting, white)
    assert torch.equal(moving, training.network.encoder.normalise(video["flow"]))
    assert not torch.equal(moving, white)


def test_training_beside_flow_that_is_missing_is_one_line_that_names_what_to_run(
    cli, tmp_path, data
):
    compared(tmp_path, "hfan")
    where = ("--data", data, "--out", tmp_path / "m")
    status, text = cli("train", "--params", tmp_path / "p.yaml", *where)
    assert status == 2 and "Traceback" not in text, text
    assert "png: missing; `dvc repro flow` makes the optical flow" in text
    assert not (tmp_path / "m/pdnet.safetensors").exists()
