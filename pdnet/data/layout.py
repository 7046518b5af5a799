"""The MVPS layout: which clips there are, which frames they have, and what is wrong with a tree.

ROOT/ImageSets/{train,val}.txt              a clip a line, `category/clip` or `clip`
ROOT/Keyframes/480p/CLIP/FRAME.jpg          annotated frames
ROOT/Annotations/480p/CLIP/FRAME.png        their masks, any non-zero is foreground
ROOT/Frames/480p/CLIP/FRAME.jpg             frames in between, where a source has them
ROOT/Images/SET/{img,mask}/NAME.{jpg,png}   single images of people
ROOT/Parts/480p/CLIP/FRAME.png              true body parts, where the clip was rendered
ROOT/Figures/480p/CLIP/FRAME.png            the same of figures, which are no people
ROOT/Joints/CLIP/NUMBER.json                true joints of both, in pixels of the rendered frame
ROOT/../flow/CLIP/FRAME.png                 optical flow to the next annotated frame (data/flow.py)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pdnet.base.files import file_hash
from pdnet.data.images import image_size
from pdnet.data.lists import read_list
from pdnet.errors import InputError

SETS = ("train", "val")
TRAINED_ON = ("ImageSets", "Keyframes", "Annotations", "Images")
SCORED_ON = ("ImageSets", "Keyframes", "Annotations", "Parts", "Figures", "Joints")
JPEG_SUFFIXES = (".jpg", ".jpeg")
MASK_SUFFIXES = (".png",)
IMAGE_SUFFIXES = (*JPEG_SUFFIXES, *MASK_SUFFIXES)
SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class Clip:
    """One clip of a tree.

    Attributes:
        root: of the tree.
        name: `category/clip` or `clip`.
        frames: stems of the annotated frames, in order.
    """

    root: Path
    name: str
    frames: tuple[str, ...]

    @property
    def category(self) -> str:
        """What stands before the slash, or the empty string."""
        return self.name.rpartition("/")[0]

    def frame(self, stem: str) -> Path:
        """The annotated frame, a JPEG or PNG; where there is none, the JPEG that is missing."""
        return _image_file(self.root / "Keyframes" / "480p" / self.name, stem, IMAGE_SUFFIXES)

    def mask(self, stem: str) -> Path:
        """Its mask."""
        return _image_file(self.root / "Annotations" / "480p" / self.name, stem, MASK_SUFFIXES)

    def parts(self, stem: str) -> Path:
        """The true body parts of an annotated frame; only rendered clips have the file."""
        return self.root / "Parts" / "480p" / self.name / f"{stem}.png"

    def figures(self, stem: str) -> Path:
        """Parts of the figures in an annotated frame, which stand beside people and are none; only
        clips that have some have the file.
        """
        return self.root / "Figures" / "480p" / self.name / f"{stem}.png"

    def joints(self) -> list[Path]:
        """The files of true joints; only rendered clips have some."""
        return sorted((self.root / "Joints" / self.name).glob("*.json"))

    def flow(self, stem: str) -> Path:
        """The optical flow from an annotated frame to the next, where it was computed."""
        return self.root.parent / "flow" / self.name / f"{stem}.png"

    def scored_frames(self, include_first_last: bool = False) -> tuple[str, ...]:
        """The annotated frames that count: all but the first and the last, as the official
        evaluator's default.

        Raises:
            InputError: none is left.
        """
        # the protocol of DAVIS: the first frame is given in its semi-supervised task, the last has
        # no flow
        frames = self.frames if include_first_last else self.frames[1:-1]
        if not frames:
            raise InputError(
                f"{self.name}: {len(self.frames)} annotated frame(s), none left without the "
                "first and last; use --include-first-last"
            )
        return frames


@dataclass(frozen=True)
class Tree:
    """An MVPS tree: its clips by split list."""

    root: Path
    sets: dict[str, tuple[Clip, ...]]

    def every_clip(self) -> list[Clip]:
        """The clips of both lists, evaluation first: what is looked at by default."""
        return [*self.sets["val"], *self.sets["train"]]

    def clips(self, name: str) -> tuple[Clip, ...]:
        """The clips of `train` or `val`.

        Raises:
            InputError: the tree has no such list, or it is empty.
        """
        if not self.sets.get(name):
            raise InputError(
                f"{self.root}/ImageSets/{name}.txt: missing or empty; the split list names a "
                "clip a line"
            )
        return self.sets[name]


def _image_file(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path:
    """The image of a name, its suffix in any case; what it would be called where there is none."""
    for suffix in suffixes:
        # without a look into the folder: nearly all names are lower-case
        if (folder / (stem + suffix)).exists():
            return folder / (stem + suffix)
    return images_by_stem(folder, suffixes).get(stem, [folder / (stem + suffixes[0])])[0]


def images_by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, list[Path]]:
    """The images of a folder by stem, in order; hidden files are left out.

    Args:
        folder: none is an empty one.
        suffixes: lower-case; files may have them in any case.

    Returns:
        stem -> its files, more than one where two differ in the suffix only.
    """
    found: dict[str, list[Path]] = {}
    for name in sorted(os.listdir(folder)) if folder.is_dir() else []:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in suffixes and name[0] != ".":
            found.setdefault(stem, []).append(folder / name)
    return dict(sorted(found.items()))


def twins(images: dict[str, list[Path]]) -> list[str]:
    """A line for each stem of `images_by_stem` that several files have."""
    several = (files for files in images.values() if len(files) > 1)
    return [
        f"{files[0].parent}: {' and '.join(file.name for file in files)} are one frame; keep one"
        for files in several
    ]


def read_tree(root: Path) -> Tree:
    """Reads the split lists and frame names of a tree. `problems` checks it.

    Raises:
        InputError: no such folder, no split list, or one that `read_list` refuses.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected a data set in the MVPS layout")
    lists = {name: read_list(root, name) for name in SETS}
    if not any((root / "ImageSets" / f"{name}.txt").is_file() for name in SETS):
        raise InputError(
            f"{root}: no ImageSets/train.txt or ImageSets/val.txt; is this a data set in the "
            "MVPS layout?"
        )
    sets = {name: tuple(_read_clip(root, clip) for clip in clips) for name, clips in lists.items()}
    return Tree(root, sets)


def _read_clip(root: Path, name: str) -> Clip:
    masks = images_by_stem(root / "Annotations" / "480p" / name, MASK_SUFFIXES)
    return Clip(root, name, tuple(masks))


def problems(tree: Tree) -> list[str]:
    """Everything that is wrong with a tree, a line each; empty when it is sound."""
    found: list[str] = []
    both = sorted({c.name for c in tree.sets["train"]} & {c.name for c in tree.sets["val"]})
    found += [f"ImageSets: clip '{clip}' is in both train.txt and val.txt" for clip in both]
    clips = {clip.name: clip for clip in tree.every_clip()}
    if not clips:
        found.append("ImageSets: both split lists are empty")
    # threads, not processes: the work is reading headers, most of it waiting for the disk
    with ThreadPoolExecutor(8) as pool:
        for lines in pool.map(_clip_problems, clips.values()):
            found += lines
    return found


def check(tree: Tree) -> None:
    """Refuses a broken tree.

    Raises:
        InputError: up to 20 lines of what is wrong, and how many there are.
    """
    found = problems(tree)
    if found:
        raise InputError(
            "\n".join(
                [f"{tree.root}: {len(found)} problem(s)", *found[:SHOWN_PROBLEMS], *_more(found)]
            )
        )


def _more(found: list[str]) -> list[str]:
    return [f"... and {len(found) - SHOWN_PROBLEMS} more"] if len(found) > SHOWN_PROBLEMS else []


def _clip_problems(clip: Clip) -> list[str]:
    frames = images_by_stem(clip.root / "Keyframes" / "480p" / clip.name, IMAGE_SUFFIXES)
    masks = images_by_stem(clip.root / "Annotations" / "480p" / clip.name, MASK_SUFFIXES)
    if not frames and not masks:
        return [f"{clip.name}: in a split list, but no frames and no masks on disk"]
    lines = twins(frames) + twins(masks)
    lines += [
        f"{clip.name}/{stem}: missing mask {clip.mask(stem)}"
        for stem in sorted(set(frames) - set(masks))
    ]
    lines += [
        f"{clip.name}/{stem}: missing frame for the mask"
        for stem in sorted(set(masks) - set(frames))
    ]
    for stem in sorted(set(frames) & set(masks)):
        try:
            # headers alone: decoding 54,000 frames would take minutes
            frame, mask = image_size(frames[stem][0]), image_size(masks[stem][0])
        except InputError as error:
            lines.append(str(error))
            continue
        if frame != mask:
            lines.append(
                f"{clip.name}/{stem}: mask is {mask[1]}x{mask[0]}, its frame {frame[1]}x{frame[0]}"
            )
    return lines


def image_pairs(root: Path) -> list[tuple[Path, Path]]:
    """Single images and their masks, paired by stem, of every set under `ROOT/Images`.

    Raises:
        InputError: an image without a mask or the other way round, or two files of one stem (up to
            20 named).
    """
    pairs, found = [], []
    for folder in sorted((root / "Images").glob("*")) if (root / "Images").is_dir() else []:
        images, masks = (images_by_stem(folder / kind, IMAGE_SUFFIXES) for kind in ("img", "mask"))
        found += twins(images) + twins(masks)
        found += [
            f"{folder.name}/{stem}: image without mask"
            for stem in sorted(images.keys() - masks.keys())
        ]
        found += [
            f"{folder.name}/{stem}: mask without image"
            for stem in sorted(masks.keys() - images.keys())
        ]
        both = sorted(images.keys() & masks.keys())
        pairs += [(images[stem][0], masks[stem][0]) for stem in both]
    if found:
        raise InputError(
            "\n".join(
                [f"{root}/Images: {len(found)} problem(s)", *found[:SHOWN_PROBLEMS], *_more(found)]
            )
        )
    return pairs


def data_hash(root: Path, folders: Sequence[str]) -> str:
    """SHA-256 over names and contents of the files in some folders of a tree, hidden ones left
    out.
    """
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted((root / folder).rglob("*")):
            if file.is_file() and file.name[0] != ".":
                digest.update(os.fsencode(file.relative_to(root)))
                digest.update(file_hash(file).encode())
    return digest.hexdigest()
