"""Ways to compute optical flow on the same frames, in one process, in turn: how fast each is, and
how well it follows the picture and the people in it.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import cv2
import numpy as np
import torch

from pdnet.base.parallel import progress
from pdnet.data.flow import PRESETS, Estimator, dis, raft
from pdnet.data.images import read_frame, read_mask
from pdnet.data.layout import Clip
from pdnet.errors import InputError
from pdnet.inference.side_by_side import one_thread
from pdnet.metrics.region_contour import region_similarity
from pdnet.metrics.stability import brought

LEAST_FRAMES = 3  # of a clip: two pairs, the first of which is not timed


@dataclass(frozen=True)
class FlowWay:
    """A way to compute flow.

    Attributes:
        estimate: of a frame and the next one.
        scored: False where only its speed says something.
    """

    estimate: Estimator
    scored: bool = True


def no_motion(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Flow of zeros: what every other way has to beat."""
    return np.zeros((*first.shape[:2], 2), np.float32)


def flow_ways(
    raft_size: Literal["small", "large", "none"] = "none", weights: str = "download"
) -> dict[str, FlowWay]:
    """No motion, DIS with each of its presets, and RAFT if a size of it is named.

    Args:
        raft_size: of the network.
        weights: as `raft` takes them; or `random`, drawn ones, whose flow is not scored.

    Raises:
        InputError: what `raft` says of the weights.
    """
    ways = {"no motion": FlowWay(no_motion)}
    ways |= {f"DIS {preset}": FlowWay(dis(preset)) for preset in PRESETS}
    if raft_size != "none" and weights == "random":
        ways[f"RAFT {raft_size}, random weights"] = FlowWay(_drawn(raft_size), scored=False)
    elif raft_size != "none":
        ways[f"RAFT {raft_size}"] = FlowWay(raft(raft_size, weights=weights))
    return ways


def _drawn(size: str) -> Estimator:
    """RAFT as it is before anyone trained it."""
    from torchvision.models import get_model

    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "random.pth"
        torch.save(get_model(f"raft_{size}", weights=None).state_dict(), file)
        return raft(size, weights=str(file))


def bench_flow(
    ways: Mapping[str, FlowWay], clips: Sequence[Clip], *, frames: int | None = None
) -> dict[str, Any]:
    """Measures every way on every pair of neighbouring frames, at their stored size, with one
    thread.

    Args:
        ways: by name.
        clips: with masks, which are read to see whether the flow leads from one to the next.
        frames: at most so many of a clip, from its beginning.

    Returns:
        `ways`: name -> `cpu_ms` and `wall_ms` of the median pair, from the decoded frames to the
        flow (each clip's first pair, which prepares, left out), `photometric` (see
        `photometric_error`) and `warped_iou` (of a mask and the next one brought back, 0..1),
        means over pairs, None for a way that is not scored; `clips`, `pairs`: how many;
        `processor`.

    Raises:
        InputError: a clip with fewer than three frames, frames of two sizes, a mask of another size
            than its frame, or what a way says of the frames.
    """
    stems = {clip.name: clip.frames[:frames] for clip in clips}
    for name, of_clip in stems.items():
        if len(of_clip) < LEAST_FRAMES:
            raise InputError(f"{name}: {len(of_clip)} frame(s), at least {LEAST_FRAMES} are wanted")
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    pairs = sum(len(of_clip) - 1 for of_clip in stems.values())
    with one_thread(), progress(None, "pairs", total=pairs, unit="pair") as bar:
        for clip in clips:
            for number, pair in enumerate(pairwise(_frames(clip, stems[clip.name]))):
                for name, way in ways.items():
                    flow, seconds = _timed(way, pair, clip.name)
                    if number:
                        times[name].append(seconds)
                    if way.scored:
                        scores[name].append(_scores(pair, flow))
                bar.update()
    return {
        "ways": {name: _summary(times[name], scores[name]) for name in ways},
        "clips": len(clips),
        "pairs": pairs,
        "processor": platform.machine(),
    }


# a frame (H, W, 3) uint8 RGB and its mask (H, W) bool
Annotated = tuple[np.ndarray, np.ndarray]


def _frames(clip: Clip, stems: Sequence[str]) -> Iterator[Annotated]:
    size = None
    for stem in stems:
        frame, mask = read_frame(clip.frame(stem)), read_mask(clip.mask(stem))
        if mask.shape != frame.shape[:2]:
            raise InputError(f"{clip.mask(stem)}: of another size than its frame")
        if mask.shape != (size or mask.shape):
            raise InputError(f"{clip.frame(stem)}: of another size than the frame before")
        size = mask.shape
        yield frame, mask


def _timed(
    way: FlowWay, pair: tuple[Annotated, Annotated], clip: str
) -> tuple[np.ndarray, tuple[float, float]]:
    """The flow, and the seconds of the processor and of the clock that it took."""
    (frame, _), (following, _) = pair
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        flow = way.estimate(frame, following)
    except InputError as error:
        # frames that are too small do not know whose they are
        raise InputError(f"{clip}: {error}") from error
    return flow, (time.process_time() - cpu, time.perf_counter() - wall)


def _scores(pair: tuple[Annotated, Annotated], flow: np.ndarray) -> tuple[float, float]:
    """Photometric error and warped IoU."""
    (frame, mask), (following, next_mask) = pair
    # `brought` looks where the flow points to: this flow points to the next frame
    iou = region_similarity(brought(next_mask, flow), mask)
    return photometric_error(frame, following, flow), iou


def photometric_error(frame: np.ndarray, following: np.ndarray, flow: np.ndarray) -> float:
    """Mean difference of a frame and the next one, brought back to it by the flow.

    All pixels count, so that none gains by pointing out of the picture: there it meets the nearest
    pixel of the border. What was hidden cannot be right by any flow.

    Args:
        frame, following: (H, W, 3) uint8.
        flow: (H, W, 2) float32, where each pixel of `frame` went, pixels to the right and down.

    Returns:
        0..255, levels of a channel.
    """
    v, u = np.indices(flow.shape[:2], np.float32)
    places = flow + np.stack([u, v], -1)
    back = cv2.remap(following, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return float(cv2.absdiff(frame, back).mean())


def _summary(
    times: Sequence[tuple[float, float]], scores: Sequence[tuple[float, float]]
) -> dict[str, float | None]:
    cpu, wall = 1000 * np.median(np.array(times), axis=0)
    row = {"cpu_ms": float(cpu), "wall_ms": float(wall), "photometric": None, "warped_iou": None}
    if scores:
        row["photometric"], row["warped_iou"] = np.mean(scores, axis=0).tolist()
    return row


def table(result: Mapping[str, Any]) -> str:
    """The measurements as text, in the order of the ways."""
    ways = result["ways"]
    width = max(len("flow"), *(len(name) for name in ways))
    lines = [f"{'flow':{width}s} ms/pair (CPU) ms/pair (clock) photometric warped IoU"]
    for name, row in ways.items():
        photometric, iou = f"{'-':>11s}", f"{'-':>10s}"
        if row["photometric"] is not None:
            photometric, iou = f"{row['photometric']:11.2f}", f"{row['warped_iou']:10.3f}"
        lines.append(
            f"{name:{width}s} {row['cpu_ms']:13.1f} {row['wall_ms']:15.1f} {photometric} {iou}"
        )
    lines.append(
        f"{result['clips']} clip(s), {result['pairs']} pairs of frames, one thread, "
        f"{result['processor']}"
    )
    return "\n".join(lines)
