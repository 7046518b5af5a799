"""How fast a network segments a clip; a time is never the same twice, so nothing that is declared
holds one.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from pdnet.data.fit import frame_tensor, input_shape
from pdnet.data.images import read_frame
from pdnet.data.layout import Clip
from pdnet.inference.people import Cutter
from pdnet.inference.segment import ClipSegmenter
from pdnet.model import PDNet
from pdnet.model.blocks import resize

WARM_UP = 3  # frames that do not count: kernels are chosen, memory is taken


@torch.inference_mode()
def measure_speed(
    network: PDNet, clip: Clip, *, frames: int, threshold: float, people: str = "all"
) -> dict[str, float | str | int]:
    """Frames per second, batch 1, reference cached, after a warm-up; medians over `frames` frames.

    Model only: normalised input tensor -> logits at the frame's size. End to end: JPEG on disk ->
    0/255 mask in memory.
    """
    device = next(network.parameters()).device
    stems = [clip.frames[i % len(clip.frames)] for i in range(frames + WARM_UP)]
    first = read_frame(clip.frame(clip.frames[0]))
    image = frame_tensor(first, input_shape(network.config, first.shape[:2]))[None].to(device)
    memory = network.encode_reference(network.encoder.normalise(image))
    segmenter = ClipSegmenter(network, lambda _: first, 1)
    cut = Cutter(people, threshold=threshold)

    def model_only(_: str) -> None:
        output = network.segment(network.encoder.normalise(image), memory)
        resize(output.logits, first.shape[:2])

    def end_to_end(stem: str) -> None:
        cut.mask(segmenter.segment(0, read_frame(clip.frame(stem))).probability)

    height, width = input_shape(network.config, first.shape[:2])
    return {
        "fps_model": 1 / _median_seconds(model_only, stems, device),
        "fps_end_to_end": 1 / _median_seconds(end_to_end, stems, device),
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        "frame": f"{first.shape[1]}x{first.shape[0]}",
        "input": f"{width}x{height}",
    }


def clip_milliseconds(segmenter: ClipSegmenter) -> float:
    """Median time of a frame of the segmenter's clip, from the JPEG to the probability."""
    times = []
    for index in range(segmenter.count):
        began = time.perf_counter()
        segmenter.segment(index)
        times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times))


def _median_seconds(
    work: Callable[[str], None], stems: Sequence[str], device: torch.device
) -> float:
    seconds = []
    for stem in stems:
        began = time.perf_counter()
        work(stem)
        if device.type == "cuda":
            # a GPU answers before it is done
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[WARM_UP:]))


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {platform.machine()}"
