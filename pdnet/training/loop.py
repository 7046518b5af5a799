"""The training recipe of the paper's section 5.1, step by step."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from pdnet.base.execution import distinguishing
from pdnet.base.files import file_hash, write_json, write_table
from pdnet.base.lock import only_writer
from pdnet.base.parallel import START_METHOD, peak_memory, progress
from pdnet.base.run_text import admitted
from pdnet.base.tracking import Run, experiment_name, tracked
from pdnet.config import Config, TrainConfig
from pdnet.data.flow import need_flow
from pdnet.data.layout import TRAINED_ON, Clip, check, data_hash, image_pairs, read_tree
from pdnet.data.overlays import sheet
from pdnet.data.sampling import EpochSampler, ImageDataset, PairDataset, copies
from pdnet.errors import InputError
from pdnet.inference.pictures import middle_rows
from pdnet.inference.score import validate
from pdnet.inference.stills import validate_images
from pdnet.losses import PDNetLoss
from pdnet.losses.equivariance import draw_warps, warp
from pdnet.model import PDNet
from pdnet.model.blocks import frozen_statistics
from pdnet.model.checkpoint import save_network, take_encoder, take_network
from pdnet.model.device import seed_everything, take_machine
from pdnet.model.ipda import Parts
from pdnet.training.average import averaged
from pdnet.training.failures import one_line_failures
from pdnet.training.groups import (
    check_weights,
    head_norms,
    parameter_groups,
    split_holdout,
    split_images,
)
from pdnet.training.health import part_health
from pdnet.training.interrupt import Interruption, Stopped, quiet_worker
from pdnet.training.pace import Pace
from pdnet.training.schedule import learning_rates, step_kinds
from pdnet.training.state import Progress, Row, fingerprint, load_state, save_state

STREAMS = {"video": 0, "image": 1}  # of the sampler's draws
WARPS = 3  # the stream of the warps that parts follow
SHOWN_CLIPS = 4  # held-back clips in each epoch's picture
SECOND_MOMENT = 0.999  # of AdamW, torch's default; its first is `train.momentum`


class Training:
    """One training run on a prepared data set.

    Args:
        config: all parameters.
        data: root of the working copy (MVPS layout).
        out: folder for the model, the resumable state and the tables.
        run_name: in MLflow.
        parent: MLflow id of a parent run.
        features: folder for what a frozen encoder makes of the batches (see `KeptMaps`).
    """

    def __init__(
        self,
        config: Config,
        data: Path,
        out: Path,
        *,
        run_name: str = "train",
        parent: str | None = None,
        features: Path | None = None,
    ) -> None:
        train, model = config.train, config.model
        self.config, self.root, self.out = config, data, out
        self.run_name, self.parent, self.run_id = run_name, parent, None
        device = take_machine(config.machine)
        devices = 1 if device.index is None else [device.index]
        self.fabric = Fabric(accelerator=device.type, devices=devices, precision=train.precision)
        seed_everything(config.seed)

        tree = read_tree(data)
        # a frame whose mask is missing would be left out without a word
        check(tree)
        clips = tree.every_clip() if train.clips == "all" else tree.clips("train")
        clips, self.held_back = split_holdout(clips, train.holdout, tree.sets["val"])
        pairs, self.held_back_images = split_images(image_pairs(data), train.holdout_images)
        # channels last: the same numbers, about 1.5 times the steps per second on a CPU
        self.network = PDNet(model, pretrained=True).to(memory_format=torch.channels_last)
        by_flow = self.network.looks_at == "flow"
        if by_flow:
            _need_flow([*clips, *self.held_back])
        videos = PairDataset(clips, config, flow=by_flow)
        images = ImageDataset(pairs, config)
        check_weights(train.sample_weights, [*videos.groups(), *images.groups()])
        self.datasets = {"video": videos, "image": images}
        video_steps = train.steps_per_epoch or max(1, len(videos) // train.batch_size)
        self.kinds = step_kinds(train, video_steps, bool(len(images)))

        if train.start:
            take = take_encoder if train.start_part == "encoder" else take_network
            take(self.network, Path(train.start))
        if train.freeze_encoder:
            self.network.encoder.requires_grad_(False)
            if features is not None:
                self.network.encoder.keep_maps(features, config.machine.features_gib)
        self.loss = PDNetLoss(
            config.loss,
            parts=model.parts,
            activation=model.part_activation,
            has_parts=self.network.has_parts,
        )
        backbone, self.heads = parameter_groups(self.network, self.loss)
        self.head_norms = head_norms(self.network)
        self.raw_optimiser = build_optimiser(train, backbone, self.heads)
        self.loss.to(self.fabric.device)
        self.model, self.optimiser = self.fabric.setup(self.network, self.raw_optimiser)
        self.modules = {"network": self.network, "loss": self.loss}
        # what is validated and saved: the weights, or their average
        self.result = self.network
        if train.ema:
            self.modules["average"] = averaged(self.network, train.ema)
            self.result = self.modules["average"].module
        self.paces = {kind: Pace() for kind in self.datasets}
        self.data_hash = data_hash(data, TRAINED_ON)
        self.progress = Progress(fingerprint=fingerprint(config, self.data_hash))

    @property
    def state_file(self) -> Path:
        """Where an interrupted training waits."""
        return self.out / "state" / "training.pt"

    @property
    def total(self) -> int:
        """Steps of the whole training, image steps included."""
        return self.config.train.epochs * len(self.kinds)

    @property
    def done(self) -> int:
        """Steps that were run."""
        return self.progress.epoch * len(self.kinds) + self.progress.step

    def fit(self) -> Path:
        """Trains to the end, from where an interrupted training stopped, and returns the
        checkpoint's path.

        Raises:
            Stopped: a signal came; nothing is lost.
            InputError: another training writes to the same folder; the saved state, a frame or a
                mask is damaged; the loss or the weights are not finite; memory is full; or
                something cannot be written.
        """
        with only_writer(self.out), one_line_failures():
            return self._fit()

    def _fit(self) -> Path:
        resumed = load_state(
            self.state_file,
            self.progress.fingerprint,
            modules=self.modules,
            optimiser=self.raw_optimiser,
            epochs=self.config.train.epochs,
            steps=len(self.kinds),
        )
        if resumed:
            self.progress = resumed
            sys.stderr.write(f"resuming at epoch {resumed.epoch}, step {resumed.step}\n")
        run = self._start_run(resumed is not None)
        ends = tracked(run, Stopped, KeyboardInterrupt)
        with ends, run.machine_watched(), Interruption() as stop:
            batches = {kind: self.batches(kind) for kind in set(self.kinds)}
            done = {"total": self.total, "initial": self.done}
            with progress(None, self.run_name, unit="step", **done) as bar:
                while self.progress.epoch < self.config.train.epochs:
                    self._epoch(batches=batches, run=run, bar=bar, stop=stop)
            return self._finish(run)

    def _epoch(
        self,
        *,
        batches: Mapping[str, Iterator[dict[str, Tensor]]],
        run: Run,
        bar: tqdm,
        stop: Interruption,
    ) -> None:
        """The steps of an epoch that are left, then validation; around them tracking, saving,
        signals.
        """
        state, parts = self.progress, None
        self._learn()
        for kind in self.kinds[state.step :]:
            began = time.perf_counter()
            row, parts = self.step(kind, batches[kind])
            self._log_step(run, row, time.perf_counter() - began)
            bar.set_postfix(loss=f"{row['total']:.3f}", refresh=False)
            bar.update()
            state.history.append(row)
            state.step += 1
            if stop.asked and state.step < len(self.kinds):
                self._save_and_stop()
        self._end_epoch(run, parts)
        state.epoch, state.step = state.epoch + 1, 0
        if state.epoch < self.config.train.epochs:
            self._save()
            if stop.asked:
                self._save_and_stop()

    def step(
        self, kind: str, batches: Iterator[dict[str, Tensor]]
    ) -> tuple[dict[str, Any], Parts | None]:
        """One optimiser step on the next batches of `video` pairs or `image`s.

        Returns:
            its row of `history.csv`, and the last target's parts.
        """
        train, epoch = self.config.train, self.progress.epoch
        rates = learning_rates(train, kind, iteration=self.done, total=self.total, epoch=epoch)
        self._set_rates(rates)
        # `ours`: an image step teaches the backbone and leaves the heads and their statistics alone
        spare_heads = kind == "image" and train.image_steps == "ours"
        values: dict[str, float] = {}
        self.optimiser.zero_grad(set_to_none=True)
        for _ in range(train.accumulate):
            batch = self._on_device(next(batches))
            with frozen_statistics(self.head_norms if spare_heads else []):
                terms, parts = self._losses(kind, batch)
            for name, value in terms.items():
                values[name] = values.get(name, 0.0) + float(value.detach()) / train.accumulate
            self._refuse_infinite(values)
            self.fabric.backward(terms["total"] / train.accumulate)
        if spare_heads:
            self._forget_head_gradients()
        if train.clip_gradient:
            most = {"max_norm": train.clip_gradient, "error_if_nonfinite": False}
            self.fabric.clip_gradients(self.model, self.optimiser, **most)
        self.optimiser.step()
        if train.ema:
            self.modules["average"].update_parameters(self.network)
        row = {"step": self.done, "epoch": epoch, "kind": kind, **values}
        return row | {"lr_backbone": rates[0], "lr_heads": rates[1]}, parts

    def batches(self, kind: str) -> Iterator[dict[str, Tensor]]:
        """All batches of one kind from here to the end of the training."""
        train, workers = self.config.train, self.config.machine.loader_workers
        had = self.kinds[: self.progress.step].count(kind)
        sampler = EpochSampler(
            len(self.datasets[kind]),
            batch_size=train.batch_size,
            steps=self.kinds.count(kind) * train.accumulate,
            epochs=train.epochs,
            seed=self.config.seed,
            stream=STREAMS[kind],
            start=(self.progress.epoch, had * train.accumulate),
            copies=copies(self.datasets[kind].groups(), train.sample_weights),
        )
        loader = DataLoader(
            self.datasets[kind],
            batch_sampler=sampler,
            num_workers=workers,
            worker_init_fn=quiet_worker,
            multiprocessing_context=START_METHOD if workers else None,
        )
        return iter(loader)

    def _losses(
        self, kind: str, batch: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], Parts | None]:
        """The terms of a step's loss, and the target's parts."""
        target = self.network.encoder.normalise(batch["target"])
        flow = self._colours(batch)
        if "reference" not in batch:
            output = self.model(target, target, flow=flow)
            return self.loss.image_step(output, batch["mask"]), output.parts
        reference = self.network.encoder.normalise(batch["reference"])
        output = self.model(target, reference, flow=flow)
        terms = self.loss.video_step(
            output,
            target=batch["target"],
            reference=batch["reference"],
            mask=batch["mask"],
            reference_mask=batch["reference_mask"],
            steps=batch.get("steps"),
            body_parts=(batch.get("body_parts"), batch.get("reference_body_parts")),
        )
        if self.loss.part_losses and self.config.loss.equivariance:
            terms["equivariance"] = self._following(batch, output.parts)
            terms["total"] = terms["total"] + terms["equivariance"]
        return terms, output.parts

    def _following(self, batch: dict[str, Tensor], parts: Parts) -> Tensor:
        """What it costs that parts do not follow a warp of the picture."""
        rng = np.random.default_rng((self.config.seed, WARPS, self.done))
        warps = draw_warps(rng, len(batch["target"])).to(self.fabric.device)
        moved = self.network.encoder.normalise(warp(batch["target"], warps))
        with self.fabric.autocast():
            warped = self.network.parts(moved)
        return self.loss.following(warped, parts, batch["mask"], warps)

    def _colours(self, batch: dict[str, Tensor]) -> Tensor | None:
        """The flow's colours for a network that looks at them: in a single image nothing moves."""
        if self.network.looks_at != "flow":
            return None
        rest = torch.ones_like(batch["target"])  # white
        return self.network.encoder.normalise(batch.get("flow", rest))

    def _refuse_infinite(self, values: Mapping[str, float]) -> None:
        """Asked before the weights move: what is saved is the network before the accident."""
        if not all(isfinite(value) for value in values.values()):
            raise InputError(
                f"step {self.done}: the loss is not finite ({values}); lower train.lr_*, or set "
                "train.clip_gradient. The last epoch's state is kept"
            )

    def _refuse_infinite_weights(self) -> None:
        """Asked before they are looked at or saved: a step's loss is that of the weights before."""
        if not all(value.isfinite().all() for value in self.network.state_dict().values()):
            raise InputError(
                f"step {self.done}: the weights are not finite any more; lower train.lr_*, or set "
                "train.clip_gradient. The last epoch's state is kept"
            )

    def _learn(self) -> None:
        """Training mode; a frozen encoder keeps its statistics too."""
        self.model.train()
        self.network.encoder.train(not self.config.train.freeze_encoder)

    def _on_device(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        how = {"device": self.fabric.device, "memory_format": torch.channels_last}
        return {name: value.to(**how) for name, value in batch.items()}

    def _set_rates(self, rates: tuple[float, float]) -> None:
        for group, rate in zip(self.raw_optimiser.param_groups, rates, strict=True):
            group["lr"] = rate

    def _forget_head_gradients(self) -> None:
        """SGD leaves weight and momentum of a parameter without a gradient alone."""
        for parameter in self.heads:
            parameter.grad = None

    def _end_epoch(self, run: Run, parts: Parts | None) -> None:
        """Validation on the clips that were held back, and the health of the last step's parts."""
        self._refuse_infinite_weights()
        train, epoch = self.config.train, self.progress.epoch
        row: dict[str, float] = {"epoch": epoch}
        if parts is not None:
            row.update(part_health(parts, getattr(self.loss, "basis", None)))
            self._warn_of_dead_parts(row["live_parts"])
        due = (epoch + 1) % train.validate_every == 0 or epoch + 1 == train.epochs
        threshold = train.validation_threshold
        if self.held_back_images and due:
            row.update(validate_images(self.result, self.held_back_images, threshold))
        if self.held_back and due:
            how = {"threshold": threshold, "frames": train.validation_frames}
            row.update(validate(self.result, self.held_back, **how))
            rows = middle_rows(self.result, self.held_back[:SHOWN_CLIPS], threshold)
            run.picture(sheet(rows), "held-back clips", epoch)
        self._learn()
        self.progress.validation.append(row)
        named = dict(_metric(key, value) for key, value in row.items())
        # memory differs from run to run: MLflow has it, the tables that are compared don't
        run.metrics(self.done, **named, **{"health/memory_gib": peak_memory()})
        run.flush()

    def _warn_of_dead_parts(self, alive: float) -> None:
        parts = self.config.model.parts
        if alive < parts:
            epoch = self.progress.epoch
            sys.stderr.write(f"\nwarning: epoch {epoch}: {alive:.0f} of {parts} parts are alive\n")

    def _start_run(self, resumed: bool) -> Run:
        parameters = self.config.model_dump(mode="json")
        run = Run(
            experiment_name(self.config.profile),
            self.run_name,
            run_id=self.progress.run_id,
            parent=self.parent,
            tags={"kind": "training", **distinguishing(parameters), "data_hash": self.data_hash},
        )
        self.run_id = self.progress.run_id = run.run_id
        if not resumed:
            run.parameters(parameters, data_hash=self.data_hash, device=str(self.fabric.device))
            run.data(self.config.profile, self.data_hash, self.root, "training")
        return run

    def _log_step(self, run: Run, row: dict[str, Any], seconds: float) -> None:
        warning = self.paces[row["kind"]].warning(seconds)
        if warning:
            sys.stderr.write(f"\n{warning}\n")
        samples = self.config.train.batch_size * self.config.train.accumulate
        named = {"timing/samples_per_second": samples / seconds}
        for name, value in row.items():
            if name.startswith("lr_"):
                named[name.replace("lr_", "lr/")] = value
            elif isinstance(value, float):
                named[f"loss/{name}"] = value
        run.metrics(row["step"], **named)

    def _save(self) -> None:
        save_state(
            self.state_file,
            self.progress,
            modules=self.modules,
            optimiser=self.raw_optimiser,
        )
        self._write_curves()

    def _write_curves(self) -> None:
        write_table(self.out / "history.csv", self.progress.history)
        write_table(self.out / "validation.csv", self.progress.validation)

    def _save_and_stop(self) -> None:
        self._refuse_infinite_weights()
        self._save()
        raise Stopped(f"stopped at step {self.done} of {self.total}; the same command resumes")

    def _finish(self, run: Run) -> Path:
        """Writes the checkpoint and what the training amounts to."""
        self.result.eval()
        path = self.out / "pdnet.safetensors"
        notes = {"profile": self.config.profile, "epochs": str(self.config.train.epochs)}
        save_network(self.result, path, notes)
        scores = validation_scores(self.progress.validation[-1])
        write_json(self.out / "summary.json", {"validation": scores} if scores else {})
        self._write_curves()
        # last: whoever is killed before it goes on from the last epoch but one
        self.state_file.unlink(missing_ok=True)
        run.file(path, "checkpoint")
        # by which an evaluation finds the run that trained what it scores
        run.tags(checkpoint=file_hash(path))
        return path


def _need_flow(clips: Sequence[Clip]) -> None:
    """Refuses before the first step what would end the training at an epoch's validation."""
    for clip in clips:
        for stem in clip.frames:
            need_flow(clip.flow(stem))


def build_optimiser(
    train: TrainConfig, backbone: list[nn.Parameter], heads: list[nn.Parameter]
) -> torch.optim.Optimizer:
    """The optimiser of `train.optimiser` over two groups; each step sets their rates."""
    groups = [{"params": backbone}, {"params": heads}]
    how = {"lr": 0.0, "weight_decay": train.weight_decay}
    if train.optimiser == "adamw":
        return torch.optim.AdamW(groups, betas=(train.momentum, SECOND_MOMENT), **how)
    return torch.optim.SGD(groups, momentum=train.momentum, **how)


def validation_scores(row: Row) -> dict[str, float]:
    """The scores of a row of `validation.csv` in per cent; health of the parts is left out."""
    return {name: round(100 * row[name], 4) for name in row if _is_score(name)}


def _is_score(key: str) -> bool:
    return key.startswith("J") or "Mean" in key


def _metric(key: str, value: float) -> tuple[str, float]:
    """A value of `validation.csv` as MLflow's metric: scores in per cent."""
    name = admitted(key)
    return (f"validation/{name}", 100 * value) if _is_score(key) else (f"health/{name}", value)
