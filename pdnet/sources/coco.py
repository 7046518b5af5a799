"""People of MSCOCO's instance annotations, all of it checked before compiled code sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pdnet.data.images import MOST_PIXELS
from pdnet.errors import InputError

COCO_LEAST_PIXELS = 5000  # of people in an image: the paper's rule
MOST_OUTLINE = 1 << 22  # pixels along one outline, each of which takes the rasteriser 40 bytes
LONGEST_RUN = 40  # bits
LONGEST_NAME = 255  # characters; no file system takes more
LONGEST_LINE = 2000  # characters of an address
Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Rights:
    """What may be done with a picture.

    Attributes:
        licence: MSCOCO's number of it.
        name: of the licence.
        terms: the licence's address.
        url: the picture's address, at Flickr or else at MSCOCO; may be empty.
    """

    licence: int
    name: str
    terms: str
    url: str


@dataclass(frozen=True)
class People:
    """The people of an image.

    Attributes:
        height: of the image, in pixels.
        width: of the image, in pixels.
        segmentations: a person each: its polygons, (2 * corners,) float64 of x and y in turn, or
            its mask as the lengths of runs, (runs,) int64, background first, column by column.
        rights: None where the file tells of none.
    """

    height: int
    width: int
    segmentations: list[list[np.ndarray] | np.ndarray] = field(default_factory=list)
    rights: Rights | None = None


class _Flaw(ValueError):
    """What is wrong with an entry of the file."""


def read_people(
    root: Path,
    *,
    split: str = "train2017",
    images: Path | None = None,
    licences: Sequence[int] | None = None,
) -> list[tuple[str, Path, People]]:
    """Reads which images of a split show people; a crowd is nobody.

    Args:
        root: folder with annotations/.
        split: train2017 or val2017.
        images: folder of the split's images; None for the one of its name in `root`.
        licences: numbers of those whose pictures are wanted; None for all.

    Returns:
        (stem, image, its people), in the order of the images' ids.

    Raises:
        InputError: no such file, an entry that is not as MSCOCO's (it is named), or a licence
            that the file does not know.
    """
    file, folder = root / "annotations" / f"instances_{split}.json", images or root / split
    tables = _read_tables(file, split)
    known = _read_licences(file, tables)
    if licences is not None and (unknown := sorted(set(licences) - known.keys())):
        raise InputError(
            f"data.licences: {unknown[0]} is no licence of {file}, which has "
            f"{', '.join(map(str, sorted(known))) or 'none'}; choose among them"
        )
    entries: dict[int, Entry] = {}
    for number, image in enumerate(tables["images"], 1):
        with _named(file, "image", number, image):
            if entries.setdefault(_whole_number(image, "id"), image) is not image:
                raise _Flaw("another image has the same id")
    people: dict[int, People] = {}
    person = _person(file, tables["categories"])
    for number, annotation in enumerate(tables["annotations"], 1):
        with _named(file, "annotation", number, annotation):
            # a crowd's run lengths cover whole stands: no mask of a person
            crowd = _whole_number({"iscrowd": 0, **annotation}, "iscrowd")
            if _whole_number(annotation, "category_id") != person or crowd:
                continue
            key = _whole_number(annotation, "image_id")
            if key not in entries:
                raise _Flaw(f"there is no image {key}")
            if key not in people:
                people[key] = _nobody(entries[key], known)
            people[key].segmentations.append(_segmentation(annotation, people[key]))
    if licences is not None:
        people = {key: found for key, found in people.items() if _is_wanted(found, licences)}
    paths = {}
    for key in sorted(people):
        with _named(file, "image", key, entries[key]):
            name = _file_name(entries[key], split)
            # a mask is named by its image without the suffix
            if name.stem in paths:
                raise _Flaw(f"another image's file is called '{name.stem}' too")
            paths[name.stem] = folder / name
    return [(*row, people[key]) for row, key in zip(paths.items(), sorted(people), strict=True)]


def union(people: People) -> np.ndarray:
    """Draws the people of an image into one mask, (height, width) bool."""
    from pycocotools import mask as rle

    size = people.height, people.width
    mask = np.zeros(size, bool)
    for one in people.segmentations:
        if isinstance(one, np.ndarray):
            inside = np.arange(len(one)) % 2 == 1
            mask |= np.repeat(inside, one).reshape(people.width, people.height).T
        else:
            mask |= rle.decode(rle.merge(rle.frPyObjects(one, *size))).astype(bool)
    return mask


def _is_wanted(people: People, licences: Sequence[int]) -> bool:
    return people.rights is not None and people.rights.licence in licences


def _read_tables(file: Path, split: str) -> dict[str, list[Entry]]:
    """The file's three lists of groups."""
    if not file.is_file():
        raise InputError(
            f"{file}: missing; MSCOCO needs coco/annotations and coco/{split} (or the pack "
            "COCO_person/)"
        )
    try:
        tables = json.loads(file.read_text(encoding="utf-8-sig"))
    # no UTF-8, no JSON or a number of 5,000 digits; brackets in brackets
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: no JSON ({error}); take MSCOCO's own file") from error
    for name in ("categories", "images", "annotations"):
        entries = tables.get(name) if isinstance(tables, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise InputError(
                f"{file}: no COCO instance annotations (no list of groups '{name}'); take MSCOCO's "
                "own file"
            )
    return tables


def _read_licences(file: Path, tables: Mapping[str, Any]) -> dict[int, Entry]:
    """The file's licences by number; none where it has no such list."""
    entries = tables.get("licenses") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{file}: 'licenses' is no list of groups; take MSCOCO's own file")
    known: dict[int, Entry] = {}
    for number, entry in enumerate(entries, 1):
        with _named(file, "licence", number, entry):
            if known.setdefault(_whole_number(entry, "id"), entry) is not entry:
                raise _Flaw("another licence has the same id")
    return known


@contextmanager
def _named(file: Path, kind: str, number: int, entry: Entry) -> Iterator[None]:
    """Says in which entry of the file a flaw is."""
    try:
        yield
    except _Flaw as flaw:
        name = f"{kind} {entry['id']!r:.40}" if "id" in entry else f"{kind} number {number}"
        raise InputError(f"{file}, {name}: {flaw}; take MSCOCO's own file") from flaw


def _whole_number(entry: Entry, name: str) -> int:
    value = entry.get(name)
    if type(value) is not int:  # a bool is an int too
        raise _Flaw(f"{name} is {value!r:.40}, expected a whole number")
    return value


def _person(file: Path, categories: list[Entry]) -> int:
    """The id of the category of people."""
    for number, category in enumerate(categories, 1):
        with _named(file, "category", number, category):
            if category.get("name") == "person":
                return _whole_number(category, "id")
    raise InputError(f"{file}: no category 'person'; take MSCOCO's own file")


def _nobody(image: Entry, licences: Mapping[int, Entry]) -> People:
    height, width = _whole_number(image, "height"), _whole_number(image, "width")
    if min(height, width) < 1 or height * width > MOST_PIXELS:
        raise _Flaw(
            f"its image is {height!r:.20}x{width!r:.20}, expected 1 to {MOST_PIXELS:,} pixels"
        )
    return People(height, width, rights=_rights(image, licences))


def _rights(image: Entry, licences: Mapping[int, Entry]) -> Rights | None:
    """What a picture's entry says of its licence."""
    if not licences or image.get("license") is None:
        return None
    number = _whole_number(image, "license")
    if number not in licences:
        raise _Flaw(f"its image's license {number} is none of the file's")
    terms = licences[number]
    url = _line(image, "flickr_url") or _line(image, "coco_url")
    return Rights(number, _line(terms, "name"), _line(terms, "url"), url)


def _line(entry: Entry, name: str) -> str:
    """A text of one line; empty where there is none."""
    value = entry.get(name, "")
    if not isinstance(value, str) or len(value) > LONGEST_LINE or not (value + " ").isprintable():
        raise _Flaw(f"{name} is {value!r:.40}, expected a line of text")
    return value


def _file_name(image: Entry, split: str) -> Path:
    name = image.get("file_name")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise _Flaw(f"file_name is {name!r:.40}, expected a file's name")
    # hidden files are no images either
    if name != Path(name).name or name.startswith("."):
        raise _Flaw(f"file_name '{name[:80]}' leads out of {split}/ or is hidden")
    return Path(name)


def _segmentation(annotation: Entry, people: People) -> list[np.ndarray] | np.ndarray:
    given = annotation.get("segmentation")
    if isinstance(given, dict):
        return _runs(given, people)
    if not isinstance(given, list) or not given:
        raise _Flaw("segmentation is no list of polygons and no run lengths")
    return [_outline(polygon, people) for polygon in given]


def _outline(polygon: Any, people: People) -> np.ndarray:
    """A polygon as float64, none of whose corners is farther outside than the image is large."""
    numbers = isinstance(polygon, list) and set(map(type, polygon)) <= {int, float}
    if not numbers or len(polygon) < 6 or len(polygon) % 2:
        raise _Flaw("a polygon is no list of x, y of three corners or more")
    try:
        corners = np.array(polygon, np.float64).reshape(-1, 2)
    except OverflowError as error:
        raise _Flaw("a polygon lies far outside its image") from error
    size = np.array([people.width, people.height])
    # asked this way round, since every comparison with NaN is false
    if not ((corners >= -size) & (corners <= 2 * size)).all():
        raise _Flaw("a polygon lies far outside its image")
    steps = np.diff(corners, axis=0, append=corners[:1])
    if np.abs(steps).sum() > MOST_OUTLINE:
        raise _Flaw(f"a polygon's outline is longer than {MOST_OUTLINE:,} pixels")
    return corners.ravel()


def _runs(given: dict[str, Any], people: People) -> np.ndarray:
    """Run lengths as int64 that fill the image."""
    size = [people.height, people.width]
    if given.get("size") != size:
        raise _Flaw(f"run lengths are of size {given.get('size')!r:.40}, its image is {size}")
    counts = given.get("counts")
    if isinstance(counts, str):
        counts = _counts(counts)
    whole = isinstance(counts, list) and set(map(type, counts)) <= {int}
    if not whole or min(counts, default=-1) < 0:
        raise _Flaw("counts of run lengths are no whole numbers from 0 on")
    # Python's sum, which does not overflow
    if sum(counts) != people.height * people.width:
        raise _Flaw(f"run lengths do not fill the {size[0] * size[1]} pixels of their image")
    return np.array(counts, np.int64)


def _counts(text: str) -> list[int]:
    """Decodes COCO's compressed run lengths.

    Each is written in groups of five bits, lowest first, as a character from '0' on: bit 5 says
    that more follow, bit 4 of the last one is the sign. From the fourth on it is the difference to
    the one before the last.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - ord("0")
        if not 0 <= bits < 64 or shift > LONGEST_RUN:
            raise _Flaw("counts of run lengths are garbled")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise _Flaw("counts of run lengths are cut off")
    return counts
