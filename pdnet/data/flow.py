"""Optical flow between the frames of a clip: two ways to compute it, its colours, its files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pdnet.base.files import write_atomically
from pdnet.base.parameters_file import shown
from pdnet.data.images import image_size
from pdnet.errors import InputError

# (first, second) frame, (H, W, 3) uint8 RGB, -> (H, W, 2) float32: where each pixel of the first
# went in the second, in pixels to the right and down
Estimator = Callable[[np.ndarray, np.ndarray], np.ndarray]

PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
DIS_LEAST, RAFT_LEAST = 12, 128  # pixels of a side that the two can work with
RAFT_STRIDE = 8
BEYOND = 1.0001  # of the largest motion: no colour changes by it
STEPS, ZERO = 64, 2**15  # KITTI's fixed point: steps of 1/64 pixel, and the value of no motion
PNG_OPTIONS = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 6),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT),
    # half of what an unfiltered file takes: neighbours move alike
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
)


def clip_flow(frames: Iterable[np.ndarray], estimate: Estimator) -> Iterator[np.ndarray]:
    """Flow of each frame to the next one.

    The last frame has no next one: it gets the flow to the frame before with its sign turned, as
    if the motion went on. A single frame has no motion.

    Args:
        frames: of one clip in order, each (H, W, 3) uint8 RGB; two at a time are held.
        estimate: `dis()` or `raft(...)`.

    Yields:
        per frame (H, W, 2) float32, pixels to the right and down.

    Raises:
        InputError: frames of two sizes.
    """
    before, frame = None, None
    for number, following in enumerate(frames):
        if frame is not None:
            if following.shape != frame.shape:
                sizes = [f"{f.shape[1]}x{f.shape[0]}" for f in (following, frame)]
                raise InputError(
                    f"frame {number} of a clip is {sizes[0]}, the one before {sizes[1]}"
                )
            yield estimate(frame, following)
        before, frame = frame, following
    if frame is None:
        return
    if before is None:
        yield np.zeros((*frame.shape[:2], 2), np.float32)
    else:
        yield -estimate(frame, before)


def dis(preset: Literal["ultrafast", "fast", "medium"] = "medium") -> Estimator:
    """Dense inverse search (Kroeger et al., ECCV 2016) by OpenCV, on the frames' grey values.

    It refuses (InputError) frames with a side below `DIS_LEAST` pixels.
    """
    search = cv2.DISOpticalFlow_create(PRESETS[preset])

    def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        if min(first.shape[:2]) < DIS_LEAST:
            raise InputError(
                f"frame is {_size(first)}: DIS wants sides of {DIS_LEAST} pixels at least"
            )
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
        return search.calc(*grey, None)

    return estimate


def raft(
    size: Literal["large", "small"] = "large",
    *,
    weights: str = "download",
    device: torch.device | str = "cpu",
) -> Estimator:
    """RAFT (Teed and Deng, ECCV 2020) by torchvision, at the frames' size.

    Args:
        size: of the network.
        weights: a file with torchvision's entries, or `download` for torchvision's default ones.
        device: where it computes.

    Raises:
        InputError: the weights cannot be had or are not those of this network.
    """
    from torchvision.models import get_model

    network = get_model(f"raft_{size}", weights=None)
    _fill(network, _raft_state(size, weights), f"RAFT: {shown(weights)}")
    network.eval().to(device)

    @torch.inference_mode()
    def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        height, width = first.shape[:2]
        images = [_padded(frame).to(device) for frame in (first, second)]
        flow = network(*images)[-1][0, :, :height, :width]  # of the last refinement
        return flow.permute(1, 2, 0).cpu().numpy().copy()

    return estimate


def _size(frame: np.ndarray) -> str:
    return f"{frame.shape[1]}x{frame.shape[0]}"


def _raft_state(size: str, weights: str) -> dict[str, Any]:
    from torchvision.models import get_model_weights

    try:
        if weights == "download":
            default = get_model_weights(f"raft_{size}").DEFAULT
            return default.get_state_dict(progress=True, check_hash=True)
        return torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # every library on the way has errors of its own
        reason = shown(error, 120) or type(error).__name__
        raise InputError(
            f"RAFT: the weights '{shown(weights)}' cannot be had ({reason}); download those of "
            f"torchvision's raft_{size} where there is a network and give the file, or take DIS"
        ) from error


def _fill(network: nn.Module, state: dict[str, Any], what: str) -> None:
    try:
        network.load_state_dict(state)
    except (AttributeError, RuntimeError, TypeError) as error:  # how torch says it, over many lines
        raise InputError(f"{what} does not hold the entries of this network") from error


def _padded(frame: np.ndarray) -> Tensor:
    """(1, 3, h, w) in -1..1, RAFT's range; its border repeated up to sides that RAFT takes."""
    image = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float() / 127.5 - 1
    height, width = (
        max(RAFT_LEAST, -(-side // RAFT_STRIDE) * RAFT_STRIDE) for side in frame.shape[:2]
    )
    return F.pad(image, (0, width - image.shape[3], 0, height - image.shape[2]), mode="replicate")


def flow_colours(flow: np.ndarray) -> np.ndarray:
    """Flow as colours of Middlebury's wheel (Baker et al., ICCV 2007): hue for direction, white
    for rest, full saturation for the largest motion of this frame.

    Args:
        flow: (H, W, 2) float32.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    from torchvision.utils import flow_to_image

    # at the largest motion torchvision's rounding may take a channel below 0, which is 255 then;
    # so a line that is not shown moves further
    beyond = np.zeros_like(flow[:1])
    beyond[..., 0] = np.linalg.norm(flow, axis=2).max() * BEYOND
    shown = torch.from_numpy(np.concatenate([flow, beyond])).permute(2, 0, 1)
    return flow_to_image(shown)[:, :-1].permute(1, 2, 0).numpy()


def write_flow(path: Path, flow: np.ndarray) -> None:
    """Writes flow as KITTI does: a PNG of 16 bits, motion to the right, down, and 1 for valid.

    What is read again differs by 1/128 pixel at most; beyond -512 and 511.98 pixels it is clamped.

    Args:
        path: ends in `.png`.
        flow: (H, W, 2) float32, finite.

    Raises:
        InputError: a value is not finite, or the file cannot be written.
    """
    if not np.isfinite(flow).all():
        raise InputError(f"{path}: the flow has values that are not finite")
    right, down = np.moveaxis(np.clip(np.rint(flow * STEPS) + ZERO, 0, 2**16 - 1), 2, 0)
    # OpenCV writes the last channel first
    picture = np.dstack([np.ones_like(right), down, right]).astype(np.uint16)
    data = cv2.imencode(".png", picture, PNG_OPTIONS)[1]
    write_atomically(path, lambda temporary: temporary.write_bytes(data.tobytes()))


def need_flow(path: Path) -> None:
    """Refuses a path without a file."""
    if not path.is_file():
        raise InputError(f"{path}: missing; `dvc repro flow` makes the optical flow")


def read_flow(path: Path) -> np.ndarray:
    """Flow (H, W, 2) float32 of a file by `write_flow`, or of KITTI's where all of it is valid.

    Raises:
        InputError: missing, truncated, no PNG of three times 16 bits, or not valid everywhere.
    """
    need_flow(path)
    image_size(path)  # OpenCV fills a truncated file up without a word
    picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.dtype != np.uint16 or picture.ndim != 3:
        raise InputError(
            f"{path}: damaged, or no optical flow in a PNG of three times 16 bits; make it again"
        )
    if not picture[..., 0].all():
        raise InputError(f"{path}: the flow is not valid everywhere; make it again")
    return (picture[..., :0:-1].astype(np.float32) - ZERO) / STEPS
