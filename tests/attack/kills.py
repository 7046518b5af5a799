"""Kills at random points of real stages, then `dvc repro`: the same hashes as uninterrupted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import yaml

from pdnet.base.parallel import progress
from tests.attack.core import Outcome
from tests.helpers import ROOT, TINY, write_params

STAGES = ("download", "preprocess", "train", "evaluate", "notebooks")
BEFORE = {
    "preprocess": ["download"],
    "train": ["preprocess"],
    "evaluate": ["train"],
    "notebooks": ["evaluate", "tables"],
}
COPIED = ("pdnet", "pipelines", "notebooks", "dvc.yaml", "data.dvc", ".dvcignore", ".gitignore")
CLIPS = ("lecture/museum", "news/evening", "news/election", "lecture/planetarium")
# enough steps for a kill to hit the middle of an epoch, and a loader of another process
SHORT = {
    **TINY,
    "machine.loader_workers": 1,
    "machine.workers": 2,
    "train.epochs": 3,
    "train.steps_per_epoch": 4,
    "train.holdout": ["news/evening"],
    "data.sample_images": 3,
    "report.best_worst": 1,
    "ablation.run": ["full"],
    "ablation.seeds": [1],
    "ablation.set": {
        "train.epochs": 1,
        "train.steps_per_epoch": 1,
        "train.start": "models/pdnet.safetensors",
        "train.start_part": "encoder",
        "train.freeze_encoder": True,
    },
    "imbalance": {"levels": [0.0, 2.0], "frames": 11},
}


def make_project(folder: Path) -> Path:
    """A project with a few short clips and a training of seconds."""
    folder.mkdir(parents=True)
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    script = folder / "pipelines/sample/scenes.yaml"
    clips = yaml.safe_load(script.read_text())["clips"]
    short = [{**clip, "frames": 21} for clip in clips if clip["name"] in CLIPS]
    script.write_text(yaml.safe_dump({"clips": short}))
    write_params(folder / "params.yaml", **SHORT)
    (folder / "docs").mkdir()
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, env=environment(), check=True)
    shutil.copy(ROOT / ".dvcignore", folder / ".dvcignore")
    return folder


def environment() -> dict[str, str]:
    """This environment's programs, one thread, tracking in the project's own store."""
    env = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}"
    # a command run by hand must compute as DVC runs it
    (kernels,) = yaml.safe_load((ROOT / "dvc.yaml").read_text())["vars"]
    env |= dict(setting.split("=") for setting in kernels["kernels"].split())
    return env | {"PATH": path, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def repro(folder: Path, *stages: str) -> None:
    """`dvc repro` of some stages, or of all."""
    command = ["dvc", "repro", *stages]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"dvc repro {stages}: {done.stdout[-600:]}{done.stderr[-1500:]}")


def hashes(folder: Path, stage: str) -> dict[str, str]:
    """Output -> hash in `dvc.lock`, times and runs having left everything that is declared."""
    outs = yaml.safe_load((folder / "dvc.lock").read_text())["stages"][stage]["outs"]
    return {out["path"]: out["md5"] for out in outs}


def run_and_kill(
    folder: Path, stage: str, after: float | None, kill: Callable[[int, int], None] = os.killpg
) -> float:
    """Runs a stage's command, kills it (all its processes, or it alone), says how long it ran."""
    command = [sys.executable, f"pipelines/{stage}.py"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    began = time.monotonic()
    running = subprocess.Popen(
        command, cwd=folder, env=environment(), start_new_session=True, **quiet
    )
    try:
        running.wait(after)
    except subprocess.TimeoutExpired:
        kill(running.pid, signal.SIGKILL)
        running.wait()
    return time.monotonic() - began


def attack(kills: int, seed: int, stages: Sequence[str] = STAGES) -> list[Outcome]:
    """Kills every stage so many times; a row for each kill, judged by what `dvc repro` gives."""
    rng = np.random.default_rng(seed)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="attack-kills-") as name:
        whole, killed = (make_project(Path(name) / kind) for kind in ("whole", "killed"))
        repro(whole, stages[-1])
        for stage in progress(stages, "kills", unit="stage"):
            # all that stands before it, once; then it alone, again and again
            if stage in BEFORE:
                repro(killed, *BEFORE[stage])
            lasts = _seconds(whole, stage)
            for number in range(kills):
                kill = (os.killpg, os.kill)[number % 2]
                run_and_kill(killed, stage, float(rng.uniform(0.1, 1.0)) * lasts, kill)
            repro(killed, stage)
            same = hashes(killed, stage) == hashes(whole, stage)
            left = [str(path) for path in killed.rglob(".writing-*")]
            told = f"other hashes than uninterrupted, or half files: {left}"
            verdict = "right" if same and not left else "wrong"
            outcomes += [Outcome(f"kill {stage}", i, verdict, told) for i in range(kills)]
    return outcomes


def _seconds(folder: Path, stage: str) -> float:
    """How long a stage's command takes, in a copy that nothing else looks at."""
    with tempfile.TemporaryDirectory(prefix="attack-time-") as name:
        copy = Path(name) / "copy"
        shutil.copytree(folder, copy, symlinks=True, ignore=shutil.ignore_patterns(".dvc", ".git"))
        for out in yaml.safe_load((folder / "dvc.lock").read_text())["stages"][stage]["outs"]:
            place = copy / out["path"]
            shutil.rmtree(place) if place.is_dir() else place.unlink()
        shutil.rmtree(copy / "models/state", ignore_errors=stage != "train")
        return run_and_kill(copy, stage, None)
