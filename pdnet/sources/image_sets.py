"""Single images of people for the image steps: EG1800, Supervisely Person, MSCOCO persons, and any
folder of images and masks by its name.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import cache
from itertools import chain
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import PIL

from pdnet.base.files import link, write_image, write_table
from pdnet.base.imports import code_hash
from pdnet.base.manifest import Hashes, Unit, recipe
from pdnet.data.images import image_size, read_labels, read_mask
from pdnet.data.layout import IMAGE_SUFFIXES, images_by_stem, twins
from pdnet.errors import InputError
from pdnet.sources.coco import COCO_LEAST_PIXELS, People, Rights, read_people, union

# not in experiments/paper.py, which lies above this floor: said while the data is brought
PAPER_COUNTS = {"eg1800": 1735, "supervisely": 5711, "coco_person": 49479}
# folder, images in it, their masks; any other set is SET/{img,mask}
FOLDERS = {
    "eg1800": ("EG1800", "Images", "Labels"),
    "supervisely": ("SuperviselyPerson", "img", "mask"),
    "coco_person": ("COCO_person", "img", "mask"),
}
LICENCES = "Images/coco_person/licences.csv"
RIGHTS = tuple(field.name for field in fields(Rights))


@cache
def code_of_masks() -> str:
    """What makes masks here: code, and the libraries that read and write them."""
    return recipe(code_hash("pdnet.sources.image_sets"), cv2.__version__, PIL.__version__)


def image_set_units(
    names: Sequence[str],
    *,
    root: str | None,
    hashes: Hashes,
    licences: Sequence[int] | None = None,
) -> list[Unit]:
    """Units of `Images/<set>/{img,mask}`; images are links, masks 0/255.

    Args:
        names: of `FOLDERS`, or of folders that hold img/ and mask/, paired by stem.
        root: folder that holds EG1800/, SuperviselyPerson/, COCO_person/ (the authors' pack) or
            coco/ (the original), and SET/ for each other name.
        hashes: of the sources.
        licences: of MSCOCO's pictures, those that are wanted; None for all.

    Raises:
        InputError: a set's folder or list is missing or broken, or no image has a mask.
    """
    units: list[Unit] = []
    for name in names:
        folder, images, labels = _places(name)
        if root is None:
            raise InputError(
                f"data.image_sets names {name}: set data.image_root to the folder with {folder}/"
            )
        if name == "coco_person" and not (Path(root) / folder).is_dir():
            people = coco_units(Path(root) / "coco", hashes, licences=licences)
            units += people + licence_units(people)
        elif name == "coco_person" and licences is not None:
            raise InputError(
                f"{Path(root) / folder}: this pack does not tell its pictures' licences; take the "
                "original coco/, or set data.licences to null"
            )
        else:
            units += _folder_units(name, Path(root) / folder, images, labels, hashes)
    return units


def find_set(name: str, roots: Sequence[Path]) -> Path:
    """Gives the one of several folders that holds a set, as `image_set_units` wants its `root`.

    Raises:
        InputError: none does (it says where was looked), or more than one.
    """
    folders = [_places(name)[0]]
    if name == "coco_person":
        folders.append("coco")
    looked = [[root / folder for folder in folders] for root in roots]
    found = [i for i, places in enumerate(looked) if any(place.is_dir() for place in places)]
    if not found:
        places = ", ".join(map(str, chain.from_iterable(looked))) or "no tree of data.trees"
        raise InputError(
            f"data.image_sets: '{name}' is not there, looked for {places}; add the tree that has "
            "it to data.trees or set data.image_root"
        )
    if len(found) > 1:
        first, second = (roots[i] for i in found[:2])
        raise InputError(
            f"data.image_sets: '{name}' is in {first} and in {second}; rename one folder, or set "
            "data.image_root to the one that is meant"
        )
    return roots[found[0]]


def say_counts(names: Sequence[str], raw: Path) -> None:
    """Tells how many pairs of each set there are, beside the paper's count where it has one."""
    for name in names:
        count = len(list((raw / "Images" / name / "mask").glob("*.png")))
        known = f" (the paper has {PAPER_COUNTS[name]:,})" if name in PAPER_COUNTS else ""
        sys.stderr.write(f"{name}: {count} images{known}\n")


def _places(name: str) -> tuple[str, str, str]:
    """A set's folder, and in it the folders of its images and of its masks."""
    return FOLDERS.get(name, (name, "img", "mask"))


def _folder_units(name: str, folder: Path, images: str, labels: str, hashes: Hashes) -> list[Unit]:
    """Pairs of an image and a label of the same stem."""
    found, masks = (_by_stem(name, folder / kind) for kind in (images, labels))
    alone = sorted(found.keys() ^ masks.keys())
    if alone:  # usual: many of EG1800's photographs are gone; paired by name, so nothing shifts
        sys.stderr.write(
            f"{name}: {len(alone)} files without a partner left out (first: {alone[0]})\n"
        )
    both = sorted(found.keys() & masks.keys())
    if not both:
        raise InputError(
            f"{folder}: no image in {images}/ has a mask of its name in {labels}/; pairs share "
            "their names but for the suffix"
        )
    hashes.learn([*found.values(), *masks.values()])
    return labelled_units(name, [(found[stem], masks[stem]) for stem in both], hashes)


def labelled_units(name: str, pairs: Sequence[tuple[Path, Path]], hashes: Hashes) -> list[Unit]:
    """Units of images and their labels, any non-zero of which is people.

    Args:
        name: of the set.
        pairs: an image and its label each.
        hashes: that have learned both.
    """
    units = []
    for image, label in pairs:
        made_by = recipe("labelled image", hashes.of(image), hashes.of(label), code_of_masks())
        files = pair_files(name, image)
        units.append(Unit(files, made_by, _bring_labelled, (files, image, label)))
    return units


def _by_stem(name: str, folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; {name} needs it beside its images or labels")
    files = images_by_stem(folder, IMAGE_SUFFIXES)
    if found := twins(files):
        raise InputError(found[0])
    return {stem: file for stem, (file,) in files.items()}


def coco_units(
    root: Path,
    hashes: Hashes,
    *,
    split: str = "train2017",
    images: Path | None = None,
    licences: Sequence[int] | None = None,
) -> list[Unit]:
    """Images of MSCOCO with people; those whose people are too small are left out when they are
    made. Arguments as of `read_people`.
    """
    rows = read_people(root, split=split, images=images, licences=licences)
    hashes.learn([image for _, image, _ in rows])
    units = []
    for _, image, people in rows:
        files = pair_files("coco_person", image)
        outlines = [_plain(segmentation) for segmentation in people.segmentations]
        size = [people.height, people.width]
        made_by = recipe("people", hashes.of(image), outlines, size, code_of_masks())
        given = (files, image, people)
        units.append(Unit(files, made_by, _bring_people, given, optional=True))
    return units


def licence_units(pictures: Sequence[Unit]) -> list[Unit]:
    """The table of licences beside MSCOCO's pictures, `Images/coco_person/licences.csv`, of those
    that are kept; none where nobody tells of licences.

    Readers of `Images` look into img/ and mask/ only.

    Args:
        pictures: of `coco_units`.
    """
    rows = [(unit.files[0], unit.given[2]) for unit in pictures]
    if all(people.rights is None for _, people in rows):
        return []
    rights = [asdict(people.rights) if people.rights else None for _, people in rows]
    made_by = recipe("licences", [unit.recipe for unit in pictures], rights, code_of_masks())
    return [Unit((LICENCES,), made_by, _bring_licences, (rows,))]


def _plain(segmentation: list[np.ndarray] | np.ndarray) -> list:
    """A person's outlines or runs as lists of numbers."""
    if isinstance(segmentation, np.ndarray):
        return segmentation.tolist()
    return [polygon.tolist() for polygon in segmentation]


def pair_files(name: str, image: Path) -> tuple[str, str]:
    """Where an image of a set and its mask come to lie."""
    folder = f"Images/{name}"
    return f"{folder}/img/{image.stem}{image.suffix.lower()}", f"{folder}/mask/{image.stem}.png"


def _bring_labelled(root: Path, files: tuple[str, str], image: Path, label: Path) -> None:
    """Brings an image, and its label as a mask; any non-zero label is foreground."""
    write_pair(root, files, image, read_mask(label))


def bring_class(
    root: Path, files: tuple[str, str], image: Path, label: Path, value: int, least: int
) -> None:
    """Brings an image, and the pixels of one label as its mask, if they are enough.

    Args:
        root: of the tree.
        files: see `pair_files`.
        image: to bring.
        label: its labels, palette indices or grey.
        value: the label that counts.
        least: pixels of it; an image with fewer is left out.
    """
    mask = read_labels(label) == value
    if mask.sum() >= least:
        write_pair(root, files, image, mask)


def _bring_people(root: Path, files: tuple[str, str], image: Path, people: People) -> None:
    mask = union(people)
    if mask.sum() >= COCO_LEAST_PIXELS:
        write_pair(root, files, image, mask)


def _bring_licences(root: Path, rows: Sequence[tuple[str, People]]) -> None:
    """Writes the table; whether a picture is kept is seen from its outlines, as its maker does."""
    table = []
    for file, people in rows:
        if union(people).sum() >= COCO_LEAST_PIXELS:
            known = asdict(people.rights) if people.rights else {}
            table.append({"image": PurePosixPath(file).name, **dict.fromkeys(RIGHTS, ""), **known})
    write_table(root / LICENCES, table)


def write_pair(root: Path, files: tuple[str, str], image: Path, mask: np.ndarray) -> None:
    """Links an image and writes its mask, (height, width) bool, as 0/255.

    Raises:
        InputError: they are of two sizes.
    """
    size = image_size(image)
    if mask.shape != size:
        raise InputError(f"{image}: its mask is {mask.shape}, the image {size} (height, width)")
    write_image(root / files[1], np.where(mask, 255, 0).astype(np.uint8))
    link(image, root / files[0])


def write_binary_mask(root: Path, path: str, label: Path) -> None:
    """Writes any label image as 0/255."""
    write_image(root / path, np.where(read_mask(label), 255, 0).astype(np.uint8))
