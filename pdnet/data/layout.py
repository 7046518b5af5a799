"""The MVPS layout: which clips there are, which frames they have, and what is wrong with a tree.

ROOT/ImageSets/{train,val}.txt              a clip a line, `category/clip` or `clip`
ROOT/Keyframes/480p/CLIP/FRAME.jpg          annotated frames
ROOT/Annotations/480p/CLIP/FRAME.png        their masks, any non-zero is foreground
ROOT/Frames/480p/CLIP/FRAME.jpg             frames in between, where a source has them
ROOT/Images/SET/{img,mask}/NAME.{jpg,png}   single images of people
ROOT/Parts/480p/CLIP/FRAME.png              true body parts, where the clip was rendered
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pdnet.base.files import file_hash
from pdnet.data.images import image_size
from pdnet.errors import InputError

SETS = ("train", "val")
TRAINED_ON = ("ImageSets", "Keyframes", "Annotations", "Images")
SCORED_ON = ("ImageSets", "Keyframes", "Annotations", "Parts")
JPEG_SUFFIXES = (".jpg", ".jpeg")
IMAGE_SUFFIXES = (*JPEG_SUFFIXES, ".png")
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
        """The annotated frame's JPEG."""
        return _frame_file(self.root / "Keyframes" / "480p" / self.name, stem)

    def mask(self, stem: str) -> Path:
        """Its mask."""
        return self.root / "Annotations" / "480p" / self.name / f"{stem}.png"

    def parts(self, stem: str) -> Path:
        """The true body parts of an annotated frame; only rendered clips have the file."""
        return self.root / "Parts" / "480p" / self.name / f"{stem}.png"

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


def _frame_file(folder: Path, stem: str) -> Path:
    for suffix in IMAGE_SUFFIXES:
        if (folder / (stem + suffix)).exists():
            return folder / (stem + suffix)
    return folder / f"{stem}.jpg"


def read_list(root: Path, name: str) -> list[str]:
    """Names in `ImageSets/NAME.txt`, or an empty list where there is no such file."""
    path = root / "ImageSets" / f"{name}.txt"
    if not path.is_file():
        return []
    # lists made on Windows or by hand: line ends, blanks and slashes are no part of a name
    names = [line.strip().strip("/") for line in path.read_text().splitlines()]
    return [name for name in names if name]


def stems(folder: Path, suffixes: tuple[str, ...]) -> tuple[str, ...]:
    """Sorted stems of a folder's images; hidden files are left out. Empty if there is no such
    folder.
    """
    if not folder.is_dir():
        return ()
    return tuple(
        sorted(
            p.stem for p in folder.iterdir() if p.suffix.lower() in suffixes and p.name[0] != "."
        )
    )


def read_tree(root: Path) -> Tree:
    """Reads the split lists and frame names of a tree. `problems` checks it.

    Raises:
        InputError: no such folder or no split list.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected a data set in the MVPS layout")
    if not any((root / "ImageSets" / f"{name}.txt").is_file() for name in SETS):
        raise InputError(
            f"{root}: no ImageSets/train.txt or ImageSets/val.txt; is this a data set in the "
            "MVPS layout?"
        )
    sets = {name: tuple(_read_clip(root, clip) for clip in read_list(root, name)) for name in SETS}
    return Tree(root, sets)


def _read_clip(root: Path, name: str) -> Clip:
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise InputError(f"{root}/ImageSets: '{name}' leads out of the data set")
    return Clip(root, name, stems(root / "Annotations" / "480p" / name, (".png",)))


def problems(tree: Tree) -> list[str]:
    """Everything that is wrong with a tree, a line each; empty when it is sound."""
    found: list[str] = []
    for name in SETS:
        names = [clip.name for clip in tree.sets[name]]
        found += [
            f"ImageSets/{name}.txt: clip '{clip}' is listed twice" for clip in _repeated(names)
        ]
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
    frames_folder = clip.root / "Keyframes" / "480p" / clip.name
    masks_folder = clip.root / "Annotations" / "480p" / clip.name
    if not frames_folder.is_dir() and not masks_folder.is_dir():
        return [f"{clip.name}: in a split list but not on disk"]
    frames, masks = stems(frames_folder, IMAGE_SUFFIXES), stems(masks_folder, (".png",))
    if not frames and not masks:
        return [f"{clip.name}: empty clip, no frames and no masks"]
    lines = [
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
            frame, mask = image_size(clip.frame(stem)), image_size(clip.mask(stem))
        except InputError as error:
            lines.append(str(error))
            continue
        if frame != mask:
            lines.append(
                f"{clip.name}/{stem}: mask is {mask[1]}x{mask[0]}, its frame {frame[1]}x{frame[0]}"
            )
    return lines


def _repeated(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def image_pairs(root: Path) -> list[tuple[Path, Path]]:
    """Single images and their masks, paired by stem, of every set under `ROOT/Images`.

    Raises:
        InputError: an image without a mask or the other way round (up to 20 named).
    """
    pairs, found = [], []
    for folder in sorted((root / "Images").glob("*")) if (root / "Images").is_dir() else []:
        images, masks = (_by_stem(folder / kind) for kind in ("img", "mask"))
        found += [
            f"{folder.name}/{stem}: image without mask"
            for stem in sorted(images.keys() - masks.keys())
        ]
        found += [
            f"{folder.name}/{stem}: mask without image"
            for stem in sorted(masks.keys() - images.keys())
        ]
        pairs += [(images[stem], masks[stem]) for stem in sorted(images.keys() & masks.keys())]
    if found:
        raise InputError(
            "\n".join(
                [f"{root}/Images: {len(found)} problem(s)", *found[:SHOWN_PROBLEMS], *_more(found)]
            )
        )
    return pairs


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    files = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return {path.stem: path for path in files if path.name[0] != "."}


def data_hash(root: Path, folders: Sequence[str]) -> str:
    """SHA-256 over names and contents of the files in some folders of a tree."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted((root / folder).rglob("*")):
            if file.is_file():
                digest.update(str(file.relative_to(root)).encode())
                digest.update(file_hash(file).encode())
    return digest.hexdigest()
