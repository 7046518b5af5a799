"""Single images of people for the image steps: EG1800, Supervisely Person, MSCOCO persons."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import PIL

from pdnet.base.files import link, write_image
from pdnet.base.imports import code_hash
from pdnet.base.manifest import Hashes, Unit, recipe
from pdnet.data.images import image_size, read_mask
from pdnet.data.layout import IMAGE_SUFFIXES, images_by_stem, twins
from pdnet.errors import InputError
from pdnet.sources.coco import COCO_LEAST_PIXELS, People, read_people, union

# not in experiments/paper.py, which lies above this floor: said while the data is brought
PAPER_COUNTS = {"eg1800": 1735, "supervisely": 5711, "coco_person": 49479}
FOLDERS = {
    "eg1800": ("EG1800", "Images", "Labels"),
    "supervisely": ("SuperviselyPerson", "img", "mask"),
    "coco_person": ("COCO_person", "img", "mask"),
}


@cache
def code_of_masks() -> str:
    """What makes masks here: code, and the libraries that read and write them."""
    return recipe(code_hash("pdnet.sources.image_sets"), cv2.__version__, PIL.__version__)


def image_set_units(names: Sequence[str], *, root: str | None, hashes: Hashes) -> list[Unit]:
    """Units of `Images/<set>/{img,mask}`; images are links, masks 0/255.

    Args:
        names: of `FOLDERS`.
        root: folder that holds EG1800/, SuperviselyPerson/, COCO_person/ (the authors' pack) or
            coco/ (the original).
        hashes: of the sources.

    Raises:
        InputError: a set's folder or list is missing or broken.
    """
    units: list[Unit] = []
    for name in names:
        folder, images, labels = FOLDERS[name]
        if root is None:
            raise InputError(
                f"data.image_sets names {name}: set data.image_root to the folder with {folder}/"
            )
        if name == "coco_person" and not (Path(root) / folder).is_dir():
            units += _coco_units(Path(root) / "coco", hashes)
        else:
            units += _folder_units(name, Path(root) / folder, images, labels, hashes)
    return units


def say_counts(names: Sequence[str], raw: Path) -> None:
    """Tells how many pairs of each set there are, beside the paper's count."""
    for name in names:
        count = len(list((raw / "Images" / name / "mask").glob("*.png")))
        sys.stderr.write(f"{name}: {count} images (the paper has {PAPER_COUNTS[name]:,})\n")


def _folder_units(name: str, folder: Path, images: str, labels: str, hashes: Hashes) -> list[Unit]:
    """Pairs of an image and a label of the same stem."""
    found, masks = (_by_stem(name, folder / kind) for kind in (images, labels))
    alone = sorted(found.keys() ^ masks.keys())
    if alone:  # usual: many of EG1800's photographs are gone; paired by name, so nothing shifts
        sys.stderr.write(
            f"{name}: {len(alone)} files without a partner left out (first: {alone[0]})\n"
        )
    hashes.learn([*found.values(), *masks.values()])
    units = []
    for stem in sorted(found.keys() & masks.keys()):
        image, label = found[stem], masks[stem]
        made_by = recipe("labelled image", hashes.of(image), hashes.of(label), code_of_masks())
        files = _pair_files(name, image)
        units.append(Unit(files, made_by, _bring_labelled, (files, image, label)))
    return units


def _by_stem(name: str, folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; {name} needs it beside its images or labels")
    files = images_by_stem(folder, IMAGE_SUFFIXES)
    if found := twins(files):
        raise InputError(found[0])
    return {stem: file for stem, (file,) in files.items()}


def _coco_units(root: Path, hashes: Hashes) -> list[Unit]:
    """Images of train2017 with people; those whose people are too small are left out later."""
    rows = read_people(root)
    hashes.learn([image for _, image, _ in rows])
    units = []
    for _, image, people in rows:
        files = _pair_files("coco_person", image)
        outlines = [_plain(segmentation) for segmentation in people.segmentations]
        size = [people.height, people.width]
        made_by = recipe("people", hashes.of(image), outlines, size, code_of_masks())
        given = (files, image, people)
        units.append(Unit(files, made_by, _bring_people, given, optional=True))
    return units


def _plain(segmentation: list[np.ndarray] | np.ndarray) -> list:
    """A person's outlines or runs as lists of numbers."""
    if isinstance(segmentation, np.ndarray):
        return segmentation.tolist()
    return [polygon.tolist() for polygon in segmentation]


def _pair_files(name: str, image: Path) -> tuple[str, str]:
    folder = f"Images/{name}"
    return f"{folder}/img/{image.stem}{image.suffix.lower()}", f"{folder}/mask/{image.stem}.png"


def _bring_labelled(root: Path, files: tuple[str, str], image: Path, label: Path) -> None:
    _write_pair(root, files, image, read_mask(label))


def _bring_people(root: Path, files: tuple[str, str], image: Path, people: People) -> None:
    mask = union(people)
    if mask.sum() >= COCO_LEAST_PIXELS:
        _write_pair(root, files, image, mask)


def _write_pair(root: Path, files: tuple[str, str], image: Path, mask: np.ndarray) -> None:
    size = image_size(image)
    if mask.shape != size:
        raise InputError(f"{image}: its mask is {mask.shape}, the image {size} (height, width)")
    write_image(root / files[1], np.where(mask, 255, 0).astype(np.uint8))
    link(image, root / files[0])


def write_binary_mask(root: Path, path: str, label: Path) -> None:
    """Writes any label image as 0/255."""
    write_image(root / path, np.where(read_mask(label), 255, 0).astype(np.uint8))
