"""How fast a network segments a clip; a time is never the same twice, so nothing that is declared
holds one.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from pdnet.config import EvaluateConfig
from pdnet.data.fit import frame_tensor, input_shape
from pdnet.data.flow import Estimator
from pdnet.data.images import read_frame
from pdnet.data.layout import Clip
from pdnet.inference.people import Cutter
from pdnet.inference.segment import ClipSegmenter, clip_segmenter
from pdnet.model import PDNet
from pdnet.model.blocks import resize

WARM_UP = 3  # frames that do not count: kernels are chosen, memory is taken


@torch.inference_mode()
def measure_speed(
    network: PDNet, clip: Clip, options: EvaluateConfig, *, estimate: Estimator | None = None
) -> dict[str, float | str | int]:
    """Frames per second, batch 1, reference cached, after a warm-up; medians over
    `options.fps_frames` frames.

    Model only: normalised input tensor -> logits at the frame's size. End to end: JPEG on disk ->
    0/255 mask in memory; a network that looks at optical flow finds it on the disk, and `with_flow`
    tells the same where `estimate` computes it.
    """
    device = next(network.parameters()).device
    indices = [i % len(clip.frames) for i in range(options.fps_frames + WARM_UP)]
    segmenter = clip_segmenter(network, clip)
    frames = [read_frame(clip.frame(stem)) for stem in clip.frames[:2]]
    size = frames[0].shape[:2]
    shape = input_shape(network.config, size)
    image = frame_tensor(frames[0], shape)[None].to(device)
    memory = network.encode_reference(network.encoder.normalise(image))
    cut = Cutter(options.people, threshold=options.threshold)

    def model_only(_: int) -> None:
        normalised = network.encoder.normalise(image)
        output = network.segment(normalised, memory, normalised)
        resize(output.logits, size)

    def end_to_end(index: int) -> None:
        frame = read_frame(clip.frame(clip.frames[index]))
        cut.mask(segmenter.segment(index, frame).probability)

    def with_flow(index: int) -> None:
        estimate(frames[0], frames[-1])
        end_to_end(index)

    said = {
        "fps_model": 1 / _median_seconds(model_only, indices, device),
        "fps_end_to_end": 1 / _median_seconds(end_to_end, indices, device),
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        "frame": f"{size[1]}x{size[0]}",
        "input": f"{shape[1]}x{shape[0]}",
    }
    if estimate is not None and network.looks_at == "flow":
        said["fps_with_flow"] = 1 / _median_seconds(with_flow, indices, device)
    return said


def milliseconds_in_turn(segmenters: Mapping[str, ClipSegmenter]) -> dict[str, float]:
    """Median time of a frame by each segmenter of one clip, from the JPEG to the probability: all
    segment a frame, one after the other, before any goes on, so that whatever else this machine
    does slows all of them alike.

    Args:
        segmenters: name -> segmenter that has seen nothing yet.
    """
    times: dict[str, list[float]] = {name: [] for name in segmenters}
    for index in range(min(segmenter.count for segmenter in segmenters.values())):
        for name, segmenter in segmenters.items():
            began = time.perf_counter()
            segmenter.segment(index)
            times[name].append(1000 * (time.perf_counter() - began))
    return {name: float(np.median(values)) for name, values in times.items()}


def _median_seconds(
    work: Callable[[int], None], indices: Sequence[int], device: torch.device
) -> float:
    seconds = []
    for index in indices:
        began = time.perf_counter()
        work(index)
        if device.type == "cuda":
            # a GPU answers before it is done
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[WARM_UP:]))


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {platform.machine()}"
