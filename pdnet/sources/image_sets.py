"""Single images of people for the image steps: EG1800, Supervisely Person, MSCOCO persons."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pdnet.base.files import write_image
from pdnet.base.parallel import each
from pdnet.data.images import image_size, read_labels
from pdnet.data.layout import IMAGE_SUFFIXES
from pdnet.errors import InputError

COCO_LEAST_PIXELS = 5000  # the paper's rule
# not in experiments/paper.py, which lies above this floor: said while the data is brought
PAPER_COUNTS = {"eg1800": 1735, "supervisely": 5711, "coco_person": 49479}
FOLDERS = {
    "eg1800": ("EG1800", "Images", "Labels"),
    "supervisely": ("SuperviselyPerson", "img", "mask"),
    "coco_person": ("COCO_person", "img", "mask"),
}


def bring_image_sets(
    names: Sequence[str], *, root: str | None, raw: Path, workers: int
) -> dict[str, int]:
    """Brings image sets to `raw/Images/<set>/{img,mask}`; images are links, masks 0/255.

    Args:
        names: of `FOLDERS`.
        root: folder that holds EG1800/, SuperviselyPerson/, COCO_person/ (the authors' pack) or
            coco/ (the original).
        raw: MVPS layout.
        workers: processes.

    Returns:
        pairs per set, also printed beside the paper's count.
    """
    counts = {}
    for name in names:
        if root is None:
            raise InputError(
                f"data.image_sets names {name}: set data.image_root to the folder with "
                f"{FOLDERS[name][0]}/"
            )
        jobs = _pairs(name, Path(root))
        made = each(
            _bring_pair, [(raw, name, *job) for job in jobs], name, workers=workers, unit="image"
        )
        counts[name] = sum(made)
        sys.stderr.write(f"{name}: {counts[name]} images (the paper has {PAPER_COUNTS[name]:,})\n")
    return counts


def _pairs(name: str, root: Path) -> list[tuple[str, Path, object]]:
    """(stem, image, label) of a set: label is a path, or COCO annotations with the image's size."""
    folder, images, labels = FOLDERS[name]
    if name == "coco_person" and not (root / folder).is_dir():
        return _coco_pairs(root / "coco")
    for part in (root / folder / images, root / folder / labels):
        if not part.is_dir():
            raise InputError(
                f"{part}: no such folder; {name} needs {folder}/{images} and {folder}/{labels}"
            )
    found = {
        p.stem: p for p in (root / folder / images).iterdir() if p.suffix.lower() in IMAGE_SUFFIXES
    }
    masks = {
        p.stem: p for p in (root / folder / labels).iterdir() if p.suffix.lower() in IMAGE_SUFFIXES
    }
    alone = sorted(found.keys() ^ masks.keys())
    if alone:  # usual: many of EG1800's photographs are gone; paired by name, so nothing shifts
        sys.stderr.write(
            f"{name}: {len(alone)} files without a partner left out (first: {alone[0]})\n"
        )
    return [(stem, found[stem], masks[stem]) for stem in sorted(found.keys() & masks.keys())]


def _coco_pairs(root: Path) -> list[tuple[str, Path, object]]:
    """Images of train2017 with non-crowd `person` annotations."""
    file = root / "annotations" / "instances_train2017.json"
    if not file.is_file():
        raise InputError(
            f"{file}: missing; MSCOCO needs coco/annotations and coco/train2017 (or the pack "
            "COCO_person/)"
        )
    try:
        tables = json.loads(file.read_text())
        person = next(c["id"] for c in tables["categories"] if c["name"] == "person")
        images = {image["id"]: image for image in tables["images"]}
        people: dict[int, list[object]] = {}
        for annotation in tables["annotations"]:
            # a crowd's run lengths cover whole stands: no mask of a person
            if annotation["category_id"] == person and not annotation.get("iscrowd", 0):
                people.setdefault(annotation["image_id"], []).append(annotation["segmentation"])
    except (json.JSONDecodeError, KeyError, StopIteration, TypeError) as error:
        raise InputError(
            f"{file}: not COCO instance annotations ({type(error).__name__}: {error})"
        ) from error
    rows = []
    for number in sorted(people):
        image = images[number]
        path = root / "train2017" / image["file_name"]
        rows.append((path.stem, path, (people[number], image["height"], image["width"])))
    return rows


def coco_union(segmentations: list, height: int, width: int) -> np.ndarray:
    """Union of COCO segmentations (polygons or run lengths), (height, width) bool."""
    from pycocotools import mask as rle

    union = np.zeros((height, width), bool)
    for segmentation in segmentations:
        if isinstance(segmentation, dict) and isinstance(segmentation["counts"], list):
            encoded = rle.frPyObjects(segmentation, height, width)
        elif isinstance(segmentation, dict):
            encoded = segmentation
        else:
            encoded = rle.merge(rle.frPyObjects(segmentation, height, width))
        union |= rle.decode(encoded).astype(bool)
    return union


def _bring_pair(job: tuple) -> bool:
    raw, name, stem, image, label = job
    if isinstance(label, Path):
        mask = read_labels(label) > 0
    else:
        mask = coco_union(*label)
        if mask.sum() < COCO_LEAST_PIXELS:
            return False
    size = image_size(image)
    if mask.shape != size:
        raise InputError(
            f"{label if isinstance(label, Path) else image}: mask is {mask.shape}, its image {size}"
        )
    folder = raw / "Images" / name
    write_image(folder / "mask" / f"{stem}.png", np.where(mask, 255, 0).astype(np.uint8))
    target = folder / "img" / f"{stem}{image.suffix.lower()}"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(image.resolve())
    return True
