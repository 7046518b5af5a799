"""Owners' trees: clips in the MVPS layout, and several such trees composed into one.

A tree of people may also hold photographs, in images/SET/{img,mask}.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath

from pdnet.base.manifest import Hashes, Unit, link_unit, text_unit, vouch
from pdnet.data.layout import IMAGE_SUFFIXES, SETS, read_tree
from pdnet.errors import InputError


@dataclass(frozen=True)
class Clips:
    """Clips of one source.

    Attributes:
        files: their frames and masks, in the MVPS layout.
        lists: split -> names of its clips, in order.
    """

    files: Sequence[Unit]
    lists: Mapping[str, Sequence[str]]


def composed(sources: Mapping[str, Clips]) -> list[Unit]:
    """Units of a tree that holds the clips of all sources; its split lists are theirs, one after
    the other.

    Args:
        sources: by what a reader knows each by.

    Raises:
        InputError: two sources have a clip of one name, in whichever list.
    """
    owners: dict[str, str] = {}
    for name, clips in sources.items():
        # a name in both lists of one source is refused after this, by `check`
        for clip in dict.fromkeys(chain.from_iterable(clips.lists.values())):
            if clip in owners:
                raise InputError(
                    f"clip '{clip}' is in {owners[clip]} and in {name}; rename one, or take it "
                    "out of one's ImageSets"
                )
            owners[clip] = name
    units: list[Unit] = []
    for clips in sources.values():
        units += clips.files
    for split in SETS:
        names = chain.from_iterable(clips.lists[split] for clips in sources.values())
        units.append(text_unit(f"ImageSets/{split}.txt", "".join(f"{name}\n" for name in names)))
    return units


def named_trees(root: Path, names: Sequence[str]) -> dict[str, Path]:
    """Gives the folders of trees below a root, by name.

    Raises:
        InputError: a name leads out, there is no such folder, or it holds neither clips nor
            photographs.
    """
    trees: dict[str, Path] = {}
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise InputError(
                f"data.trees: '{name}' leads out of data.root; name a folder in {root}"
            )
        tree = root / path
        if not tree.is_dir():
            raise InputError(
                f"data.trees: no folder {tree}; name folders of data.root, or set data.root to "
                "the folder that holds them"
            )
        if not has_clips(tree) and not (tree / "images").is_dir():
            raise InputError(
                f"{tree}: neither clips (ImageSets/, Keyframes/, Annotations/) nor photographs "
                "(images/SET/{img,mask}); is it a tree of people?"
            )
        trees[name] = tree
    return trees


def has_clips(tree: Path) -> bool:
    """True where a tree says that it holds clips."""
    return (tree / "ImageSets").is_dir()


def refuse_own_folder(name: str, folder: Path, ours: Sequence[Path]) -> None:
    """Refuses an owner's folder that is, or lies in, a folder that this project writes.

    Raises:
        InputError: it does, perhaps through a link.
    """
    place = Path(os.path.realpath(folder))
    for out in ours:
        if place.is_relative_to(os.path.realpath(out)):
            raise InputError(
                f"{name}: {folder} lies in {out}, which the pipeline writes; nothing was touched. "
                "Name the data set's own folder, or move it out of there"
            )


def mvps_clips(root: Path, hashes: Hashes) -> Clips:
    """Links to an owner's tree in the MVPS layout: `480p`, or the only resolution there is."""
    vouch(root)  # it may be another project's
    tree = read_tree(root)  # a clear error where this is no such tree
    files: list[Unit] = []
    for kind in ("Keyframes", "Annotations", "Frames"):
        folder = _resolution(root / kind) if (root / kind).is_dir() else None
        if folder is None and kind != "Frames":
            raise InputError(
                f"{root / kind}: missing; expected {kind}/480p/<clip>/ in an MVPS tree"
            )
        # a clip in both lists is refused after this, by `check`
        for name in sorted({clip.name for clip in tree.every_clip()}):
            if folder is not None and (folder / name).is_dir():
                files += folder_units(folder / name, f"{kind}/480p/{name}", hashes)
    return Clips(files, {split: [clip.name for clip in tree.sets[split]] for split in SETS})


def folder_units(source: Path, target: str, hashes: Hashes) -> list[Unit]:
    """Links to the images of a folder, at `target` below the tree's root."""
    files = [
        file
        for file in sorted(source.iterdir())
        if file.suffix.lower() in IMAGE_SUFFIXES and file.name[0] != "."
    ]
    hashes.learn(files)
    return [link_unit(f"{target}/{file.name}", file, hashes) for file in files]


def _resolution(folder: Path) -> Path:
    if (folder / "480p").is_dir():
        return folder / "480p"
    inside = [p for p in folder.iterdir() if p.is_dir()]
    if len(inside) != 1:
        raise InputError(
            f"{folder}: no 480p folder, and {len(inside)} others; expected {folder}/480p/<clip>/"
        )
    return inside[0]
