"""The training recipe of the paper's section 5.1, step by step."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from pdnet.checkpoint import save_network, take_encoder
from pdnet.config import Config
from pdnet.data.layout import Clip, image_pairs, read_tree
from pdnet.data.sampling import EpochSampler, ImageDataset, PairDataset
from pdnet.errors import InputError
from pdnet.figures import sample_figure
from pdnet.files import write_json
from pdnet.losses import PDNetLoss
from pdnet.model import PDNet
from pdnet.model.blocks import frozen_statistics
from pdnet.parallel import START_METHOD, peak_memory, progress
from pdnet.tracking import Run
from pdnet.training.groups import head_norms, parameter_groups
from pdnet.training.health import part_health
from pdnet.training.schedule import learning_rates, step_kinds
from pdnet.training.state import (
    Progress,
    data_hash,
    file_hash,
    fingerprint,
    load_state,
    save_state,
    seed_everything,
    write_table,
)
from pdnet.validate import validate


class Stopped(Exception):
    """SIGINT or SIGTERM came; the state is saved and the same command goes on from there."""


class Training:
    """One training run on a prepared data set.

    Args:
        config: all parameters.
        data: root of the working copy (MVPS layout).
        out: folder for the model, the resumable state and the tables.
        run_name: in MLflow.
        parent: MLflow id of a parent run.
    """

    def __init__(
        self, config: Config, data: Path, out: Path, run_name: str = "train", parent: str | None = None
    ) -> None:
        self.config, self.out, self._stop = config, out, False
        train, size = config.train, config.model.input_size
        if train.threads:
            torch.set_num_threads(train.threads)
        seed_everything(config.seed)
        self.fabric = Fabric(accelerator="auto", devices=1, precision=train.precision)
        clips, self.held_back = split_holdout(read_tree(data).clips("train"), train.holdout)
        self.videos = PairDataset(clips, size, train.crop, train.reference, config.seed)
        self.images = ImageDataset(image_pairs(data), size, train.crop, config.seed)
        video_steps = train.steps_per_epoch or max(1, len(self.videos) // train.batch_size)
        self.kinds = step_kinds(train, video_steps, bool(len(self.images)))
        self._build()
        self._restore(data_hash(data), run_name, parent)

    def _build(self) -> None:
        """Network, losses, optimiser."""
        config, train = self.config, self.config.train
        # channels last: the same numbers, about 1.5 times the steps per second on a CPU
        self.network = PDNet(config.model, pretrained=True).to(memory_format=torch.channels_last)
        if train.start:
            take_encoder(self.network, Path(train.start))
        if train.freeze_encoder:
            self.network.encoder.requires_grad_(False)
        self.loss = PDNetLoss(config.loss, config.model.parts, self.network.has_parts)
        backbone, self.heads = parameter_groups(self.network, self.loss)
        groups = [{"params": backbone}, {"params": self.heads}]
        optimiser = torch.optim.SGD(groups, lr=0.0, momentum=train.momentum, weight_decay=train.weight_decay)
        self.head_norms = head_norms(self.network)
        self.loss.to(self.fabric.device)
        self.model, self.optimiser = self.fabric.setup(self.network, optimiser)

    def _restore(self, data: str, run_name: str, parent: str | None) -> None:
        """Goes on with an interrupted training of the same parameters and data, or starts one."""
        self.modules = {"network": self.network, "loss": self.loss}
        self.state_file = self.out / "state" / "training.pt"
        start = self.config.train.start
        wanted = fingerprint(self.config, data + (file_hash(Path(start)) if start else ""))
        resumed = load_state(self.state_file, wanted, self.modules, self._raw_optimiser())
        self.progress = resumed or Progress(wanted)
        self.run = Run(f"pdnet-{self.config.profile}", run_name, self.progress.run_id, parent)
        self.progress.run_id = self.run.run_id
        if resumed:
            sys.stderr.write(f"resuming at epoch {resumed.epoch}, step {resumed.step}\n")
        else:
            self.run.parameters(self.config, data_hash=data, device=str(self.fabric.device))

    def _raw_optimiser(self) -> torch.optim.Optimizer:
        return getattr(self.optimiser, "optimizer", self.optimiser)

    @property
    def total(self) -> int:
        """Steps of the whole training, image steps included."""
        return self.config.train.epochs * len(self.kinds)

    def fit(self) -> Path:
        """Trains to the end and returns the checkpoint's path.

        Raises:
            Stopped: a signal came; nothing is lost.
        """
        previous = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.batches = {kind: self._batches(kind) for kind in set(self.kinds)}
            with progress(None, "train", self.total, "step", initial=self._done()) as bar:
                while self.progress.epoch < self.config.train.epochs:
                    self._epoch(bar)
            return self._finish()
        except Stopped:
            self.run.end("KILLED")
            raise
        except BaseException:
            self.run.end("FAILED")
            raise
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: object) -> None:
        if self._stop:
            raise KeyboardInterrupt  # asked twice: stop now
        self._stop = True
        sys.stderr.write("\nstopping after this step (again to stop at once) ...\n")

    def _done(self) -> int:
        return self.progress.epoch * len(self.kinds) + self.progress.step

    def _epoch(self, bar: tqdm) -> None:
        state, epoch = self.progress, self.progress.epoch
        self._learn()
        for kind in self.kinds[state.step :]:
            began = time.perf_counter()
            values = self._step(kind, next(self.batches[kind]), epoch)
            row = {"step": self._done(), "epoch": epoch, "kind": kind, **values}
            state.history.append(row)
            state.step += 1
            self._log_step(row, time.perf_counter() - began)
            bar.set_postfix(loss=f"{row['total']:.3f}", refresh=False)
            bar.update()
            if self._stop and state.step < len(self.kinds):
                self._save()
                self._raise_stopped()
        self._validate(epoch)
        state.epoch, state.step = epoch + 1, 0
        self._save()
        if self._stop and state.epoch < self.config.train.epochs:
            self._raise_stopped()

    def _learn(self) -> None:
        """Training mode; a frozen encoder keeps its statistics too."""
        self.model.train()
        self.network.encoder.train(not self.config.train.freeze_encoder)

    def _raise_stopped(self) -> None:
        raise Stopped(f"stopped at step {self._done()} of {self.total}; the same command resumes")

    def _batches(self, kind: str) -> Iterator[dict[str, Tensor]]:
        """All batches of one kind from here to the end of the training."""
        dataset: Dataset = self.videos if kind == "video" else self.images
        train, seed = self.config.train, self.config.seed
        start = (self.progress.epoch, self.kinds[: self.progress.step].count(kind))
        stream = 0 if kind == "video" else 1
        sampler = EpochSampler(
            len(dataset), train.batch_size, self.kinds.count(kind), train.epochs, seed, stream, start
        )
        context = START_METHOD if train.workers else None
        return iter(
            DataLoader(
                dataset,
                batch_sampler=sampler,
                num_workers=train.workers,
                worker_init_fn=_quiet_worker,
                multiprocessing_context=context,
            )
        )

    def _step(self, kind: str, batch: dict[str, Tensor], epoch: int) -> dict[str, float]:
        """One optimiser step; the terms of its loss and its learning rates."""
        batch = {k: v.to(self.fabric.device, memory_format=torch.channels_last) for k, v in batch.items()}
        iteration = self._done()
        rates = learning_rates(self.config.train, kind, iteration, self.total, epoch)
        for group, rate in zip(self._raw_optimiser().param_groups, rates, strict=True):
            group["lr"] = rate
        spare_heads = kind == "image" and self.config.train.image_steps == "ours"
        with frozen_statistics(self.head_norms if spare_heads else []):
            terms = self._losses(kind, batch)
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(terms["total"])
        if spare_heads:
            for parameter in self.heads:
                parameter.grad = None  # SGD then leaves weight and momentum alone
        if self.config.train.clip_gradient:
            limit = self.config.train.clip_gradient
            self.fabric.clip_gradients(self.model, self.optimiser, max_norm=limit, error_if_nonfinite=False)
        self.optimiser.step()
        values = {name: float(value.detach()) for name, value in terms.items()}
        if not all(v == v and abs(v) != float("inf") for v in values.values()):
            raise InputError(
                f"step {iteration}: the loss is not finite ({values}); lower train.lr_*, or set train.clip_gradient. "
                "The last epoch's state is kept"
            )
        return {**values, "lr_backbone": rates[0], "lr_heads": rates[1]}

    def _losses(self, kind: str, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        target = self.network.encoder.normalise(batch["target"])
        if kind == "image":
            output = self.model(target, target)
            return self.loss.image_step(output, batch["mask"])
        output = self.model(target, self.network.encoder.normalise(batch["reference"]))
        self.last_output = output
        activation = self.config.model.part_activation
        return self.loss.video_step(
            output, batch["target"], batch["reference"], batch["mask"], batch["reference_mask"], activation
        )

    def _log_step(self, row: dict, seconds: float) -> None:
        numbers = {f"loss/{k}": v for k, v in row.items() if isinstance(v, float) and not k.startswith("lr_")}
        rates = {k.replace("lr_", "lr/"): v for k, v in row.items() if k.startswith("lr_")}
        self.run.metrics(
            row["step"], **numbers, **rates, **{"speed/samples_per_second": self.config.train.batch_size / seconds}
        )

    def _validate(self, epoch: int) -> None:
        train, last = self.config.train, epoch + 1 == self.config.train.epochs
        row: dict[str, float] = {"epoch": epoch, "memory_gib": peak_memory()}
        if self.network.has_parts:
            row.update(part_health(self.last_output.parts, getattr(self.loss, "basis", None)))
            if row["live_parts"] < self.config.model.parts:
                sys.stderr.write(
                    f"\nwarning: epoch {epoch}: {row['live_parts']:.0f} of {self.config.model.parts} parts are alive\n"
                )
        if self.held_back and ((epoch + 1) % train.validate_every == 0 or last):
            row.update(validate(self.network, self.held_back, self.config.evaluate.threshold, train.validation_frames))
            self.run.figure(sample_figure(self.network, self.held_back[:4]), f"samples/epoch_{epoch:03d}.png")
            self._learn()
        self.progress.validation.append(row)
        named = {("validation/" if "Mean" in key else "health/") + key.replace("&", "and"): v for key, v in row.items()}
        self.run.metrics(self._done(), **named)
        self.run.flush()

    def _save(self) -> None:
        save_state(self.state_file, self.progress, self.modules, self._raw_optimiser())
        write_table(self.out / "history.csv", self.progress.history)
        write_table(self.out / "validation.csv", self.progress.validation)

    def _finish(self) -> Path:
        self.network.eval()
        path = self.out / "pdnet.safetensors"
        save_network(self.network, path, {"profile": self.config.profile, "epochs": str(self.config.train.epochs)})
        summary = {"parameters": sum(p.numel() for p in self.network.parameters()), "steps": self.total}
        summary["final_loss"] = self.progress.history[-1]["total"]
        if self.progress.validation:
            summary.update({k: v for k, v in self.progress.validation[-1].items() if k not in ("epoch", "memory_gib")})
        write_json(self.out / "summary.json", summary)
        self.progress.finished = True
        self._save()
        self.run.file(path, "checkpoint")
        self.run.end()
        return path


def split_holdout(clips: Sequence[Clip], holdout: Sequence[str]) -> tuple[list[Clip], list[Clip]]:
    """Training clips, and those kept from training for validation.

    Raises:
        InputError: a name in `train.holdout` is no training clip, or nothing is left to train on.
    """
    names = [clip.name for clip in clips]
    for name in holdout:
        if name not in names:
            raise InputError(f"train.holdout: '{name}' is no training clip; known: {', '.join(names)}")
    kept = [clip for clip in clips if clip.name in holdout]
    left = [clip for clip in clips if clip.name not in holdout]
    if not left:
        raise InputError("train.holdout: every training clip is held back, none is left to train on")
    return left, kept


def _quiet_worker(_: int) -> None:
    """A loader's worker leaves signals to the main process and uses one thread."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
