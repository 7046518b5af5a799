"""Other people's segmenters, given as ONNX or TFLite files: how one is described, what it says.

They run in OpenCV's own runtime, on pictures alone: a network that takes more than one input (the
states of RobustVideoMatting) or whose masks are put together afterwards (YOLO's) is refused.

A description is NAME=FILE and options behind commas. MediaPipe Selfie, which takes 256x256 pixels
in 0..1 and gives one map of probabilities, says its size itself and needs no option; written out:

    Selfie=selfie_segmentation.tflite,size=256x256,mean=0,std=1,order=rgb,channel=0

    size=WIDTHxHEIGHT   of the input, where the file leaves it open
    mean=M, std=S       (x - mean) / std of pixels in 0..1: one number, or three, 0.5,0.5,0.5
    order=rgb | bgr     of the input's channels, and of these numbers
    output=NAME         which output, where there are several
    channel=N           of the output, which one is people, from 0
    values=probability | logit | softmax    what the output holds
    threshold=0.5       on the probability
    people=all | largest | reference        whose mask, as `evaluate.people` has it
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pdnet.base.parameters_file import shown
from pdnet.data.fit import resized
from pdnet.errors import InputError
from pdnet.inference.people import PEOPLE

SUFFIXES = (".onnx", ".tflite")
ORDERS = ("rgb", "bgr")
VALUES = ("probability", "logit", "softmax")
SIDE_MOST = 4096  # pixels of an input
OFF = 0.01  # by which a probability may leave 0..1: rounding
ASPECT_OFF = 0.1  # share by which a map's aspect may differ from the input's: padding
# an input in OpenCV's description of a network: "x" // <Input> CV_32FC1 [1 x 3 x 256 x 256]
INPUT = re.compile(r'"(?P<name>[^"]*)",? // <Input> \S+ \[(?P<sides>[^\]]*)\]')
WORDS = re.compile(r"error: \([^)]*\) (?P<words>.*?)(?: in function '.*)?\s*$", re.DOTALL)
LIST_OF_INPUTS = re.compile(r"main_graph: \{.*?inputs: \[\n(?P<lines>.*?)\n\s*\],", re.DOTALL)


@dataclass(frozen=True)
class Peer:
    """A description of a network; see above for its fields.

    Attributes:
        size: (H, W) of the input; None where the file says it.
        mean, std: (3,), or (1,) for all channels.
        output, channel: None where there is one.
    """

    name: str
    file: Path
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    order: str = "rgb"
    output: str | None = None
    channel: int | None = None
    values: str = "probability"
    threshold: float = 0.5
    people: str = "all"


def read_peer(text: str) -> Peer:
    """A description as it is written on the command line.

    Raises:
        InputError: no NAME=FILE, an unknown option, one that stands twice, or a value that does not
            fit.
    """
    name, separator, rest = text.partition("=")
    # three numbers are written with commas too, so only a comma before an option's name separates
    file, *options = re.split(r",(?=[a-z]+=)", rest)
    if not separator or not name.strip() or not file:
        raise InputError(f"--peer {shown(text)}: expected NAME=FILE[,option=value ...]")
    given: dict[str, Any] = {}
    for option in options:
        key, _, value = option.partition("=")
        if key not in OPTIONS or key in given:
            raise InputError(
                f"--peer {name}: option '{key}': expected each at most once: {', '.join(OPTIONS)}"
            )
        try:
            given[key] = OPTIONS[key](value)
        except ValueError as error:
            reason = str(error) if isinstance(error, _Unfit) else "no such number"
            raise InputError(f"--peer {name}: {key}={shown(value)}: {reason}") from error
    return Peer(name.strip(), Path(file), **given)


def read_peers(texts: Sequence[str], *, taken: str) -> list[Peer]:
    """Descriptions, each of a name of its own.

    Args:
        texts: see `read_peer`.
        taken: a name that no peer may have.
    """
    peers = [read_peer(text) for text in texts]
    seen = {taken}
    for peer in peers:
        if peer.name in seen:
            raise InputError(f"--peer {peer.name}=...: the name is taken; give each its own")
        seen.add(peer.name)
    return peers


class _Unfit(ValueError):
    """A value that an option does not take, with what it takes."""


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    sides = [int(side) for side in match.groups()] if match else [0]
    if not all(1 <= side <= SIDE_MOST for side in sides):
        raise _Unfit(f"expected WIDTHxHEIGHT, sides up to {SIDE_MOST}")
    width, height = sides
    return height, width


def _numbers(text: str) -> tuple[float, ...]:
    numbers = tuple(float(part) for part in text.split(","))
    if len(numbers) not in (1, 3) or not np.isfinite(numbers).all():
        raise _Unfit("expected one number, or three behind commas")
    return numbers


def _above_zero(text: str) -> tuple[float, ...]:
    numbers = _numbers(text)
    if min(numbers) <= 0:
        raise _Unfit("expected numbers above 0")
    return numbers


def _index(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text):
        raise _Unfit("expected a number from 0")
    return int(text)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise _Unfit("expected a share in 0..1")
    return value


def _one_of(*known: str) -> Callable[[str], str]:
    def chosen(text: str) -> str:
        if text not in known:
            raise _Unfit(f"expected {', '.join(known)}")
        return text

    return chosen


OPTIONS: dict[str, Callable[[str], Any]] = {
    "size": _size,
    "mean": _numbers,
    "std": _above_zero,
    "order": _one_of(*ORDERS),
    "output": str,
    "channel": _index,
    "values": _one_of(*VALUES),
    "threshold": _share,
    "people": _one_of(*PEOPLE),
}


class PeerNetwork:
    """A peer, loaded.

    Args:
        peer: its description. A grey picture is tried, so that what does not fit is refused here
            and not after an hour.

    Raises:
        InputError: no such file, or none that OpenCV runs; the description does not fit it.
    """

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._network = _load(peer)
        self.size, self._channels_last = _input_of(self._network, peer)
        self._output = _output_of(self._network, peer)
        self._scale = (1 / 255 / np.array(peer.std)).astype(np.float32)
        self._shift = (-np.array(peer.mean) / np.array(peer.std)).astype(np.float32)
        self.probability(np.full((*self.size, 3), 128, np.uint8))

    def probability(self, frame: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (H, W) float32 in 0..1: of people, at the frame's own size.

        Raises:
            InputError: the output is no map, or its values are not what the description says.
        """
        picture = resized(frame, self.size)
        if self.peer.order == "bgr":
            picture = picture[..., ::-1]
        picture = picture * self._scale + self._shift  # (h, w, 3) float32
        if not self._channels_last:
            picture = picture.transpose(2, 0, 1)
        try:
            self._network.setInput(np.ascontiguousarray(picture)[None])
            output = self._network.forward(self._output)
        except cv2.error as error:
            raise InputError(
                f"{self.peer.file}: OpenCV cannot run it ({_reason(error)}); a bench of it needs "
                "another runtime"
            ) from error
        found = self._people(self._maps(np.asarray(output, np.float32)))
        return cv2.resize(found, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)

    def _maps(self, output: np.ndarray) -> np.ndarray:
        """Any order of axes -> (channels, h, w)."""
        maps = output.reshape([side for side in output.shape if side > 1])
        if maps.ndim == 2:
            maps = maps[None]
        # there are fewer channels than rows or columns
        if maps.ndim == 3 and maps.shape[2] < maps.shape[0]:
            maps = maps.transpose(2, 0, 1)
        height, width = self.size
        aspect = maps.shape[-1] / maps.shape[-2] * height / width if maps.ndim == 3 else 0
        if not 1 - ASPECT_OFF < aspect < 1 + ASPECT_OFF:
            raise InputError(
                f"{self.peer.file}: output '{self._output}' of shape {output.shape} is no map of "
                f"the {width}x{height} input; name another one by output="
            )
        return maps

    def _people(self, maps: np.ndarray) -> np.ndarray:
        """(channels, h, w) as the network gives them -> (h, w) probability of people."""
        peer, count = self.peer, len(maps)
        channel = 0 if peer.channel is None and count == 1 else peer.channel
        if channel is None or channel >= count:
            some = f"{count} channels, 0 to {count - 1}; say which one is people by"
            raise InputError(
                f"{peer.file}: output '{self._output}' has "
                f"{some if count > 1 else 'one channel; leave out'} channel="
            )
        if peer.values == "softmax":
            if count == 1:
                raise InputError(f"{peer.file}: values=softmax wants several channels, it has one")
            shares = np.exp(maps - maps.max(0))
            found = shares[channel] / shares.sum(0)
        elif peer.values == "logit":
            # clipped where the sigmoid is 0 or 1 in single precision, so that nothing overflows
            found = 1 / (1 + np.exp(-np.clip(maps[channel], -50, 50)))
        else:
            found = maps[channel]
        least, most = float(found.min()), float(found.max())
        if not (least >= -OFF and most <= 1 + OFF):  # false where one is no number
            raise InputError(
                f"{peer.file}: output '{self._output}' holds {least:.3g} to {most:.3g}, no "
                "probabilities; say what they are by values=logit or values=softmax, or is it "
                "mean= and std=?"
            )
        return found


def _load(peer: Peer) -> cv2.dnn.Net:
    if peer.file.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{peer.file}: expected {' or '.join(SUFFIXES)}, which OpenCV runs; another format "
            "needs its own runtime"
        )
    if not peer.file.is_file():
        raise InputError(f"{peer.file}: missing file")
    try:
        return cv2.dnn.readNet(str(peer.file))
    except cv2.error as error:
        raise InputError(
            f"{peer.file}: OpenCV cannot read it ({_reason(error)}); fetch it again, or it needs "
            "another runtime"
        ) from error


def _reason(error: cv2.error) -> str:
    """OpenCV's own words without the place in its code."""
    found = WORDS.search(str(error))
    return shown(found["words"] if found else str(error), 200)


def _input_of(network: cv2.dnn.Net, peer: Peer) -> tuple[tuple[int, int], bool]:
    """(H, W) of a network's input, and whether its channels come last.

    It is compared with what the description says, as OpenCV is not: it computes with a wrong size,
    and says something.

    Raises:
        InputError: it takes no picture alone, or the description gives another size, or none where
            one is wanted.
    """
    listed = LIST_OF_INPUTS.search(_described(network))
    inputs = list(INPUT.finditer(listed["lines"])) if listed else []
    if len(inputs) > 1:
        names = ", ".join(each["name"] for each in inputs)
        raise InputError(
            f"{peer.file}: takes {len(inputs)} inputs ({shown(names)}); only networks that take a "
            "picture alone are run"
        )
    # names stand for sides that the file leaves open
    sides = inputs[0]["sides"].split(" x ") if inputs else []
    known = [int(side) if side.isdigit() and int(side) else None for side in sides]
    if known and (len(known) != 4 or 3 not in (known[1], known[3])):
        raise InputError(
            f"{peer.file}: takes an input of [{inputs[0]['sides']}], no picture of three channels"
        )
    channels_last = bool(known) and known[1] != 3
    place = slice(1, 3) if channels_last else slice(2, 4)
    height, width = known[place] or (None, None)
    wanted = peer.size or (height, width)
    if None in wanted:
        raise InputError(f"{peer.file}: leaves the size of its input open; give size=WIDTHxHEIGHT")
    for has, said in zip((height, width), wanted, strict=True):
        if has not in (None, said):
            raise InputError(
                f"{peer.file}: takes {width}x{height}, size={wanted[1]}x{wanted[0]} was given; "
                "leave size out"
            )
    return wanted, channels_last


def _described(network: cv2.dnn.Net) -> str:
    """OpenCV's description of a network; empty where it has none without a picture."""
    try:
        return network.dump()
    except cv2.error:  # an older engine of its, for what the newer one does not know
        return ""


def _output_of(network: cv2.dnn.Net, peer: Peer) -> str:
    """The name of the output that holds the mask."""
    names = list(network.getUnconnectedOutLayersNames())
    chosen = names[0] if peer.output is None and len(names) == 1 else peer.output
    if chosen not in names:
        raise InputError(
            f"{peer.file}: its outputs are {shown(', '.join(names), 200)}; say which one holds the "
            "mask by output="
        )
    return chosen
