"""Learning rates: their decay with a late halving, and which group learns on which step."""

from __future__ import annotations

from math import cos, pi

from pdnet.config import TrainConfig


def decay(config: TrainConfig, iteration: int, total: int, epoch: int) -> float:
    """Factor on every learning rate: (1 - it / total)^power or half a cosine, times `late_factor`
    from epoch `late_epoch` on; rising from 0 in the first `warmup` steps.

    The power 0.9 and the halving from epoch 6 are the authors' code's; the paper gives only the
    maximum rates.
    """
    # on top of the decay, as COSNet's code has it and the authors inherited it
    late = config.late_factor if epoch >= config.late_epoch else 1.0
    rise = min(1.0, (iteration + 1) / config.warmup) if config.warmup else 1.0
    if config.schedule == "cosine":
        return rise * late * (1 + cos(pi * iteration / total)) / 2
    return rise * late * (1 - iteration / total) ** config.power


def learning_rates(
    config: TrainConfig, kind: str, *, iteration: int, total: int, epoch: int
) -> tuple[float, float]:
    """(backbone, heads) rates of an `image` or a `video` step.

    On image steps the heads' rate is 0 (`official`: momentum still moves them), unused (`ours`: no
    gradients), or that of a video step (`all`: images train the heads too, as F2Net's do).
    """
    factor = decay(config, iteration, total, epoch)
    if kind == "image":
        return (
            config.lr_image * factor,
            config.lr_video_heads * factor if config.image_steps == "all" else 0.0,
        )
    return config.lr_video_backbone * factor, config.lr_video_heads * factor


def step_kinds(config: TrainConfig, video_steps: int, images: bool) -> list[str]:
    """The steps of one epoch in order: `image_run` image steps before every `image_every` video
    steps.
    """
    kinds: list[str] = []
    for step in range(video_steps):
        if images and config.image_steps != "none" and step % config.image_every == 0:
            kinds += ["image"] * config.image_run
        kinds.append("video")
    return kinds
