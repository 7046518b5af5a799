"""Public originals with people: where each lies, its checksum, and what becomes of it.

Terms of each: docs/data-card.md. Nothing of them is part of this project.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

from pdnet.base.manifest import Hashes, Unit, recipe
from pdnet.config import DataConfig
from pdnet.data.layout import IMAGE_SUFFIXES, MASK_SUFFIXES, images_by_stem
from pdnet.errors import InputError
from pdnet.sources.fetch import fetch
from pdnet.sources.image_sets import (
    bring_class,
    coco_units,
    code_of_masks,
    labelled_units,
    licence_units,
    pair_files,
)
from pdnet.sources.unpack import unpacked

VOC_PERSON = 15  # of VOC's 20 classes by name; 255 is the border, which is nobody's
# of people in a picture, the paper's rule for MSCOCO: less is under 3 % of VOC's 500x375, a
# bystander
VOC_LEAST_PIXELS = 5000
PENN_LABEL = "_mask"  # FudanPed00001.png -> FudanPed00001_mask.png


@dataclass(frozen=True)
class Archive:
    """A file of an original.

    Attributes:
        url: where its makers have it.
        checksum: `sha256:...` or `md5:...`; None where nobody whom we trust says one.
    """

    url: str
    checksum: str | None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[-1]


COCO = "http://images.cocodataset.org"
# checksums of MSCOCO and DAVIS: TensorFlow Datasets' lists; of VOC: torchvision's voc.py
COCO_ANNOTATIONS = Archive(
    f"{COCO}/annotations/annotations_trainval2017.zip",
    "sha256:113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
)
ORIGINALS: dict[str, tuple[Archive, ...]] = {
    "coco_val2017": (
        Archive(
            f"{COCO}/zips/val2017.zip",
            "sha256:4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        ),
        COCO_ANNOTATIONS,
    ),
    "coco_train2017": (
        Archive(
            f"{COCO}/zips/train2017.zip",
            "sha256:69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        ),
        COCO_ANNOTATIONS,
    ),
    "voc2012": (
        Archive(
            "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
            "md5:6cd6e144f989b92b3379bac3b3de84fd",
        ),
    ),
    # its makers publish no checksum, and no library that we know pins one
    "penn_fudan": (Archive("https://www.cis.upenn.edu/~jshi/ped_html/PennFudanPed.zip", None),),
    "davis": (
        Archive(
            "https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip",
            "sha256:e3d0b5b77c3d031b000a19e0e25e3e2cac65d183755601bc2cf066df1a2aa492",
        ),
    ),
}
# original -> the set of single images that it becomes
IMAGE_SETS = {
    "coco_val2017": "coco_person",
    "coco_train2017": "coco_person",
    "voc2012": "voc2012",
    "penn_fudan": "penn_fudan",
}


def sets_of_originals(data: DataConfig) -> list[str]:
    """Names the sets of single images that `data.originals` brings.

    Raises:
        InputError: `data.image_sets` names one of them too, or `data.checksums` names a file of
            none.
    """
    names = dict.fromkeys(IMAGE_SETS[name] for name in data.originals if name in IMAGE_SETS)
    twice = [name for name in names if name in data.image_sets]
    if twice:
        raise InputError(
            f"data.image_sets: {twice[0]} comes from data.originals already; name it in one of them"
        )
    known = {archive.name for archive in chain.from_iterable(ORIGINALS.values())}
    unknown = sorted(data.checksums.keys() - known)
    if unknown:
        raise InputError(
            f"data.checksums: '{unknown[0][:80]}' is no original's file; known: "
            f"{', '.join(sorted(known))}"
        )
    return list(names)


def address(archive: Archive, data: DataConfig) -> str:
    """Where an archive is fetched from: its makers', or the same path at `data.mirror`."""
    if data.mirror is None:
        return archive.url
    return data.mirror.rstrip("/") + urlsplit(archive.url).path


def fetched(original: str, folder: Path, data: DataConfig) -> list[Path]:
    """Fetches and unpacks an original; what is there already is not fetched again.

    Args:
        original: of `ORIGINALS`.
        folder: of archives and what they unpack to.
        data: `mirror` stands for scheme and host of the addresses; `checksums` go before ours.

    Returns:
        the folder of each of its archives.

    Raises:
        InputError: as `fetch` and `unpacked`.
    """
    places = []
    for archive in ORIGINALS[original]:
        checksum = data.checksums.get(archive.name, archive.checksum)
        pin = f"{archive.name} in data.checksums"
        file = fetch(address(archive, data), folder, checksum, pin=pin)
        places.append(unpacked(file, folder))
    return places


def folder_with(original: str, place: Path, name: str) -> Path:
    """The folder of an unpacked archive that holds a certain folder.

    Raises:
        InputError: there is none.
    """
    found = sorted(path.parent for path in place.rglob(name) if path.is_dir())
    if not found:
        raise InputError(f"{place}: holds no folder {name}; is it an archive of {original}?")
    return found[0]


def original_image_units(data: DataConfig, folder: Path, hashes: Hashes) -> list[Unit]:
    """Units of `Images/<set>/{img,mask}` of the originals that are photographs.

    Args:
        data: see `fetched`; `licences` chooses among MSCOCO's pictures.
        folder: of archives.
        hashes: of the sources.

    Raises:
        InputError: an original cannot be had, is none, or a file of it is missing.
    """
    units: list[Unit] = []
    coco: list[Unit] = []
    for name in data.originals:
        if name not in IMAGE_SETS:
            continue
        places = fetched(name, folder, data)
        if name == "voc2012":
            root = folder_with(name, places[0], "SegmentationClass")
            units += voc_units(root, hashes)
        elif name == "penn_fudan":
            units += penn_units(folder_with(name, places[0], "PedMasks"), hashes)
        else:
            split = name.removeprefix("coco_")
            coco += coco_units(
                folder_with(name, places[1], "annotations"),
                hashes,
                split=split,
                images=folder_with(name, places[0], split) / split,
                licences=data.licences,
            )
    return units + coco + licence_units(coco)


def voc_units(root: Path, hashes: Hashes) -> list[Unit]:
    """Pictures of PASCAL VOC 2012 whose people are segmented and large enough.

    Args:
        root: folder with JPEGImages/ and SegmentationClass/.
        hashes: of the sources.

    Raises:
        InputError: a labelled picture is missing.
    """
    labels = images_by_stem(root / "SegmentationClass", MASK_SUFFIXES)
    pairs = [(root / "JPEGImages" / f"{stem}.jpg", files[0]) for stem, files in labels.items()]
    _learn("voc2012", pairs, hashes)
    units = []
    rule = (VOC_PERSON, VOC_LEAST_PIXELS)
    for image, label in pairs:
        made_by = recipe("class", *rule, hashes.of(image), hashes.of(label), code_of_masks())
        files = pair_files("voc2012", image)
        given = (files, image, label, *rule)
        units.append(Unit(files, made_by, bring_class, given, optional=True))
    return units


def penn_units(root: Path, hashes: Hashes) -> list[Unit]:
    """Pictures of the Penn-Fudan pedestrians; every pedestrian's number is foreground.

    Args:
        root: folder with PNGImages/ and PedMasks/.
        hashes: of the sources.

    Raises:
        InputError: a labelled picture is missing.
    """
    labels = images_by_stem(root / "PedMasks", MASK_SUFFIXES)
    images = images_by_stem(root / "PNGImages", IMAGE_SUFFIXES)
    pairs = []
    for stem, files in labels.items():
        picture = stem.removesuffix(PENN_LABEL)
        named = images.get(picture, [root / "PNGImages" / f"{picture}.png"])
        pairs.append((named[0], files[0]))
    _learn("penn_fudan", pairs, hashes)
    return labelled_units("penn_fudan", pairs, hashes)


def _learn(original: str, pairs: Sequence[tuple[Path, Path]], hashes: Hashes) -> None:
    """Reads pictures and their labels, all of which must be there."""
    for image, label in pairs:
        if not image.is_file():
            raise InputError(
                f"{image}: missing, and {label.name} labels it; is it an archive of {original}?"
            )
    hashes.learn(chain.from_iterable(pairs))
