"""The compared methods whole: their authors' checkpoints, and masks as their authors test.

A method sees frames and their flow. Of annotations the names alone are read: which frames count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from pdnet.base.files import write_atomically, write_image, write_json
from pdnet.base.parallel import progress
from pdnet.base.parameters_file import shown as short
from pdnet.data.fit import MOST_ELONGATED, STRIDE, frame_tensor, resized
from pdnet.data.flow import flow_colours, read_flow
from pdnet.data.images import read_frame
from pdnet.data.layout import Clip, read_tree
from pdnet.errors import InputError
from pdnet.inference.mask_folder import NOTE
from pdnet.inference.people import masks
from pdnet.inference.predict import mask_files
from pdnet.inference.segment import Segmentation
from pdnet.model.backbone import IMAGENET_MEAN, IMAGENET_STD
from pdnet.model.methods import METHODS, method_class
from pdnet.model.methods.base import Method, NativeProtocol, Shown, entries_of_theirs, import_state
from pdnet.model.methods.deeplab import enlarged
from pdnet.model.weights import check_entries, read_weight_file
from pdnet.official import unwrap

FORMAT = "pdnet-method-1"
TWO_FILES = ("MATNet",)  # whose release is an encoder's file and a decoder's
WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors")
# mean, deviation: of R, G, B in 0..1; of B, G, R in 0..255, the mean of COSNet's authors
COLOURS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "caffe": ((104.00699, 116.66877, 122.67892), (1.0, 1.0, 1.0)),
}
AROUND = 4  # frames from the target to either neighbour, as IMCNet's authors have it
KEPT_INPUTS = 16  # of reference frames, for each size, so that memory stays bounded on any clip
AXES = {"horizontal": -1, "vertical": -2}


def import_baseline(method: str, file: Path) -> tuple[Method, list[str]]:
    """Reads a checkpoint of a method's authors.

    Args:
        method: a name of `METHODS`.
        file: theirs. Of MATNet also the folder that holds its encoder's and its decoder's.

    Returns:
        the network in evaluation mode, and the entries that no pass uses and that were dropped.

    Raises:
        InputError: no such method, no readable file, or not this method's entries.
    """
    build, state = method_class(method), _released(method, file)
    network = build()
    for name in entries_of_theirs(network).values():
        if name.endswith("num_batches_tracked"):  # torch before 0.4.1 had no such counters
            state.setdefault(name, torch.tensor(0))
    try:
        dropped = import_state(network, state)
    except InputError as error:
        both = "; give the folder with both of its files" if method in TWO_FILES else ""
        raise InputError(f"{file}: no sound checkpoint of {method} ({error}){both}") from error
    return network.eval(), dropped


def _released(method: str, file: Path) -> dict[str, Any]:
    """Names and values of the authors' file or files."""
    if not file.is_dir():
        return {str(name): value for name, value in unwrap(read_weight_file(file)).items()}
    if method not in TWO_FILES:
        raise InputError(f"{file}: a folder; the release of {method} is one file")
    state = {}
    for half in ("encoder", "decoder"):
        found = [one for one in file.glob(f"*{half}*") if one.suffix in WEIGHT_SUFFIXES]
        if len(found) != 1:
            raise InputError(f"{file}: {len(found)} weight files '*{half}*', expected one")
        entries = unwrap(read_weight_file(found[0]))
        state.update({f"{half}.{name}": value for name, value in entries.items()})
    return state


def save_method(network: Method, path: Path, notes: Mapping[str, Any] | None = None) -> None:
    """Writes a method's network so that the file alone rebuilds it.

    Args:
        network: of one of `METHODS`.
        path: a .safetensors file; replaced atomically.
        notes: more for the header, such as the dropped entries; what JSON can hold.
    """
    names = {member: name for name, (_, member) in METHODS.items()}
    about = {**(notes or {}), "format": FORMAT, "method": names[type(network).__name__]}
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    # one entry: safetensors writes several in an order that differs from run to run
    header = {"pdnet": json.dumps(about, sort_keys=True)}
    write_atomically(path, lambda temporary: save_file(state, temporary, header))


def load_method(path: Path) -> Method:
    """Rebuilds a network from a file by `save_method`, in evaluation mode, on the CPU.

    Raises:
        InputError: no such file, not one of a method, or its weights are not whole and finite.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            about = json.loads((stream.metadata() or {}).get("pdnet", "{}"))
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise InputError("its header does not name one")
        network = method_class(str(about.get("method")))()
        state = load_file(path)
        check_entries(state, network.state_dict())
    except (InputError, SafetensorError, OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: no compared method's checkpoint, or damaged ({short(error, 300)}); "
            "`pdnet import-baseline` makes one"
        ) from error
    network.load_state_dict(state)
    return network.eval()


def in_colours_of(protocol: NativeProtocol, image: Tensor) -> Tensor:
    """(..., 3, H, W) RGB in 0..1 -> what the method's network takes."""
    if protocol.colours == "caffe":
        image = 255 * image.flip(-3)
    mean, std = (image.new_tensor(one)[:, None, None] for one in COLOURS[protocol.colours])
    return (image - mean) / std


def native_size(
    protocol: NativeProtocol, size: tuple[int, int], frame: tuple[int, int]
) -> tuple[int, int]:
    """(H, W) in which a method sees a frame of (height, width) at one of its protocol's sizes.

    Where a window slides, the frame keeps its aspect: its short side becomes the window's, its long
    side `MOST_ELONGATED` times that at most, both go up to a multiple of 32.
    """
    if not protocol.window_stride:
        return size
    window = min(size)
    factor = min(window / min(frame), MOST_ELONGATED * window / max(frame))
    height, width = (-(-int(side * factor + 0.5) // STRIDE) * STRIDE for side in frame)
    return height, width


def native_references(
    protocol: NativeProtocol, index: int, count: int, *, seed: int = 0
) -> tuple[int, ...]:
    """Which frames of a clip serve frame `index` as references.

    `random` ones hang on the seed and the clip's length alone, so they are the same for all its
    frames; as the authors', they may be the frame itself. A clip that has too few repeats them.
    """
    if protocol.references in ("none", "first"):
        return (0,) * protocol.count  # of none 0
    if protocol.references == "around":
        return max(index - AROUND, 0), min(index + AROUND, count - 1)
    order = np.random.default_rng((seed, count)).permutation(count)
    return tuple(int(i) for i in np.resize(order, protocol.count))


class MethodSegmenter:
    """Segments the annotated frames of a clip as a method's authors do; used like `ClipSegmenter`.

    In three things theirs differ from each other and ours do not: images are resized as everywhere
    in this project (`data.fit.resized`), probabilities bilinearly with half-pixel centres, and no
    map is rounded to 8 bits on the way.

    Args:
        network: in evaluation mode.
        clip: its frames and, for a method that looks at it, its flow are read.
        seed: of random references.
    """

    in_order = False

    def __init__(self, network: Method, clip: Clip, *, seed: int = 0) -> None:
        self.network, self.clip, self.seed = network, clip, seed
        # not of `self`: a clip's inputs would wait for the garbage collector, on a GPU too
        kept = lru_cache(KEPT_INPUTS * len(network.protocol.sizes))
        self._reference = kept(partial(_reference_input, network, clip))

    @torch.inference_mode()
    def segment(self, index: int, frame: np.ndarray | None = None) -> Segmentation:
        """Frame `index` (read, unless given) -> its `Segmentation`, the mean over sizes and flips.

        Raises:
            InputError: a file cannot be read, or the network gives something that is no number.
        """
        stem, protocol = self.clip.frames[index], self.network.protocol
        frame = read_frame(self.clip.frame(stem)) if frame is None else frame
        images = {"frame": frame}
        if protocol.flow:
            images["flow"] = colours_at(frame.shape[:2], read_flow(self.clip.flow(stem)))
        chosen = native_references(protocol, index, len(self.clip.frames), seed=self.seed)
        maps = []
        for size in protocol.sizes:
            size = native_size(protocol, size, frame.shape[:2])
            given = {name: _input(self.network, image, size) for name, image in images.items()}
            if chosen:
                given["references"] = torch.stack([self._reference(i, size) for i in chosen], 1)
            maps.append(enlarged(self._over_flips(given), frame.shape[:2])[0, 0])
        probability = torch.stack(maps).mean(0).cpu().numpy()
        if not np.isfinite(probability.sum()):
            raise InputError(f"{stem}: the network's output is not finite; its weights are damaged")
        return Segmentation(probability, None)

    def _over_flips(self, given: dict[str, Tensor]) -> Tensor:
        """Mean of the plain pass and the mirrored ones; a mirrored flow keeps its colours."""
        maps = [self.network.probability(Shown(**given))]
        for flip in self.network.protocol.flips:
            axis = AXES[flip]
            mirrored = {name: x.flip(axis) for name, x in given.items()}
            maps.append(self.network.probability(Shown(**mirrored)).flip(axis))
        return torch.stack(maps).mean(0).float()


def _input(network: Method, image: np.ndarray, size: tuple[int, int]) -> Tensor:
    """(h, w, 3) uint8 RGB -> (1, 3, H, W) as the network takes it, where it is."""
    device = next(network.parameters()).device
    return in_colours_of(network.protocol, frame_tensor(image, size)[None].to(device))


def _reference_input(network: Method, clip: Clip, index: int, size: tuple[int, int]) -> Tensor:
    return _input(network, read_frame(clip.frame(clip.frames[index])), size)


def colours_at(size: tuple[int, int], flow: np.ndarray) -> np.ndarray:
    """Flow (h, w, 2) of any resolution -> colours (H, W, 3) uint8 of it in pixels of a frame of
    `size`: the hues of true directions, which the resize to a network's input then leaves alone.
    """
    grown = np.array([size[1] / flow.shape[1], size[0] / flow.shape[0]], np.float32)
    return flow_colours(resized(flow, size) * grown)


def predict_tree(
    network: Method, root: Path, set_name: str, out: Path, *, threshold: float = 0.5, seed: int = 0
) -> int:
    """Writes `<clip>/<frame>.png`, 0/255 at the frame's size, for every annotated frame of a split;
    how many.

    Args:
        network: in evaluation mode.
        root: of a tree in the MVPS layout; its annotations are not opened.
        set_name: `train` or `val`.
        out: folder; what no earlier run wrote stays as it is.
        threshold: on the probability at the frame's size.
        seed: of random references.

    Raises:
        InputError: before anything is written, a frame or a flow is missing, or masks would
            overwrite what is not theirs; later, see `MethodSegmenter.segment`.
    """
    clips = read_tree(root).clips(set_name)
    needed = []
    for clip in clips:
        needed += [clip.frame(stem) for stem in clip.frames]
        needed += [clip.flow(stem) for stem in clip.frames if network.protocol.flow]
    missing = [str(path) for path in needed if not path.is_file()]
    if missing:
        by_flow = "; `dvc exp run -S profile=comparison flow` computes the optical flow"
        how = by_flow if network.protocol.flow else ""
        raise InputError(f"{missing[0]}: missing ({len(missing)} in all){how}")
    files = mask_files(clips)
    _claim(out, clips, files)
    with progress(None, "predict", total=len(files), unit="frame") as bar:
        for clip in clips:
            segmenter = MethodSegmenter(network, clip, seed=seed)
            for seen, mask in masks(segmenter, clip, threshold=threshold):
                grey = np.where(mask, 255, 0).astype(np.uint8)
                write_image(out / clip.name / f"{seen.stem}.png", grey)
                bar.update()
    return len(files)


def _claim(out: Path, clips: Sequence[Clip], files: Sequence[str]) -> None:
    """Notes in `out` which files are a run's, after refusing to overwrite any other."""
    for clip in clips:
        folder = Path(os.path.realpath(out / clip.name))
        for data in (clip.root, clip.flow("").parent):
            if folder.is_relative_to(os.path.realpath(data)):
                raise InputError(f"{out}: masks would lie among the data ({data}); give another")
    try:
        earlier = set(json.loads((out / NOTE).read_text("utf-8"))["files"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        earlier = set()  # no note, or none of ours
    for file in [out / name for name in files if name not in earlier]:
        if os.path.lexists(file):
            raise InputError(f"{file}: no earlier run wrote this; give another folder")
    write_json(out / NOTE, {"files": sorted(earlier.union(files))})
