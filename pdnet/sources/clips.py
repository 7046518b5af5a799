"""Sources of clips: each is a list of the files that `data/raw` is to hold in the MVPS layout, as
links wherever bytes can stay as they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path, PurePosixPath

from pdnet.base.manifest import Hashes, Unit, bring, link_unit, recipe, text_unit, vouch
from pdnet.base.parallel import progress
from pdnet.config import OUTPUTS, Config
from pdnet.data.layout import IMAGE_SUFFIXES, SETS, check, read_tree
from pdnet.data.lists import read_lines
from pdnet.errors import InputError
from pdnet.sample.render import clip_units, image_units, read_scenes
from pdnet.sources.fetch import fetch
from pdnet.sources.image_sets import (
    code_of_masks,
    image_set_units,
    say_counts,
    write_binary_mask,
)
from pdnet.sources.unpack import unpacked

DAVIS_URL = "https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip"
# sequences of DAVIS-2016 whose foreground holds a person; the others have none
DAVIS_PEOPLE = {
    "train": [
        "bmx-bumps",
        "breakdance-flare",
        "dance-jump",
        "hike",
        "hockey",
        "horsejump-low",
        "kite-walk",
        "lucia",
        "motocross-bumps",
        "motorbike",
        "paragliding",
        "rollerblade",
        "scooter-gray",
        "stroller",
        "surf",
        "swing",
        "tennis",
    ],
    "val": [
        "bmx-trees",
        "breakdance",
        "dance-twirl",
        "horsejump-high",
        "kite-surf",
        "motocross-jump",
        "paragliding-launch",
        "parkour",
        "scooter-black",
        "soapbox",
    ],
}


def download(config: Config, source: Path, raw: Path) -> None:
    """Brings the clips and single images that `config.data` names to `raw` and checks them.

    Args:
        config: `data.source` chooses: sample, mvps, davis or pp_humanseg14k.
        source: what `data.dvc` tracks: the sample's scene scripts, or an owner's tree.
        raw: MVPS layout; it then holds what a cold rebuild gives, whatever it held before.

    Raises:
        InputError: nothing there, a broken tree (what is wrong, up to 20 lines), an owner's folder
            that is one of this project's, or what `bring` refuses.
    """
    data, workers = config.data, config.machine.workers
    for name, folder in (("data.root", data.root), ("data.image_root", data.image_root)):
        if folder is not None:
            refuse_own_folder(name, Path(folder), (raw, *OUTPUTS))
    hashes = Hashes(raw)
    units = _clip_units(config, source, raw, hashes)
    if "sample" in data.image_sets:
        units += image_units(data.sample_images, seed=config.seed)
    others = [name for name in data.image_sets if name != "sample"]
    units += image_set_units(others, root=data.image_root, hashes=hashes)
    bring(raw, units, "bring clips and images", hashes=hashes, workers=workers)
    say_counts(others, raw)
    check(read_tree(raw))


def _clip_units(config: Config, source: Path, raw: Path, hashes: Hashes) -> list[Unit]:
    kind, root = config.data.source, config.data.root
    if kind == "sample":
        return clip_units(read_scenes(_scenes(source)))
    if kind == "mvps":
        return mvps_units(_root(config, source), hashes)
    if kind == "davis":
        tree = _root(config, source) if root else _fetched_davis(config, raw)
        return (mvps_units if (tree / "Keyframes").is_dir() else davis_units)(tree, hashes)
    return pp_humanseg_units(_root(config, source), hashes)


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


def _scenes(source: Path) -> Path:
    return source / "scenes.yaml" if source.is_dir() else source


def _root(config: Config, source: Path) -> Path:
    root = Path(config.data.root) if config.data.root else source
    if not root.is_dir():
        raise InputError(f"data.root: no folder {root}; set it to the data set's tree")
    return root


def folder_units(source: Path, target: str, hashes: Hashes) -> list[Unit]:
    """Links to the images of a folder, at `target` below the tree's root."""
    files = [
        file
        for file in sorted(source.iterdir())
        if file.suffix.lower() in IMAGE_SUFFIXES and file.name[0] != "."
    ]
    hashes.learn(files)
    return [link_unit(f"{target}/{file.name}", file, hashes) for file in files]


def mvps_units(root: Path, hashes: Hashes) -> list[Unit]:
    """Links to an owner's tree in the MVPS layout: `480p`, or the only resolution there is."""
    vouch(root)  # it may be another project's
    tree = read_tree(root)  # a clear error where this is no such tree
    units = []
    for kind in ("Keyframes", "Annotations", "Frames"):
        folder = _resolution(root / kind) if (root / kind).is_dir() else None
        if folder is None and kind != "Frames":
            raise InputError(
                f"{root / kind}: missing; expected {kind}/480p/<clip>/ in an MVPS tree"
            )
        # a clip in both lists is refused after this, by `check`
        for name in sorted({clip.name for clip in tree.every_clip()}):
            if folder is not None and (folder / name).is_dir():
                units += folder_units(folder / name, f"{kind}/480p/{name}", hashes)
    return units + [_list_unit(split, [c.name for c in tree.sets[split]]) for split in SETS]


def _list_unit(split: str, clips: Sequence[str]) -> Unit:
    return text_unit(f"ImageSets/{split}.txt", "".join(f"{clip}\n" for clip in clips))


def _resolution(folder: Path) -> Path:
    if (folder / "480p").is_dir():
        return folder / "480p"
    inside = [p for p in folder.iterdir() if p.is_dir()]
    if len(inside) != 1:
        raise InputError(
            f"{folder}: no 480p folder, and {len(inside)} others; expected {folder}/480p/<clip>/"
        )
    return inside[0]


def _fetched_davis(config: Config, raw: Path) -> Path:
    folder = raw.parent / "archives"
    archive = fetch(config.data.url or DAVIS_URL, folder, config.data.sha256)
    inside = unpacked(archive, folder)
    roots = sorted(path.parent for path in inside.rglob("JPEGImages") if path.is_dir())
    if not roots:
        raise InputError(f"{archive}: holds no JPEGImages folder; is it a DAVIS archive?")
    return roots[0]


def davis_units(root: Path, hashes: Hashes) -> list[Unit]:
    """DAVIS-2016 or 2017 at 480p: the sequences of the 2016 lists that show people; instance ids
    merge into one mask when the working copy is made.
    """
    frames, masks = root / "JPEGImages" / "480p", root / "Annotations" / "480p"
    if not frames.is_dir() or not masks.is_dir():
        raise InputError(
            f"{root}: expected JPEGImages/480p and Annotations/480p (DAVIS) or Keyframes/480p "
            "(MVPS)"
        )
    units = []
    for split in SETS:
        listed = _davis_list(root, split)
        clips = [clip for clip in DAVIS_PEOPLE[split] if clip in listed]
        for clip in progress(clips, f"read DAVIS {split}", unit="clip"):
            for folder in (frames / clip, masks / clip):
                if not folder.is_dir():
                    raise InputError(f"{folder}: listed in ImageSets, but not on disk")
            units += folder_units(frames / clip, f"Keyframes/480p/{clip}", hashes)
            units += folder_units(masks / clip, f"Annotations/480p/{clip}", hashes)
        units.append(_list_unit(split, clips))
    return units


def _davis_list(root: Path, name: str) -> list[str]:
    """Names of the 2016 split, in any of the three shapes in which it was released."""
    for folder in ("2016", "480p", "2017"):
        file = root / "ImageSets" / folder / f"{name}.txt"
        if file.is_file():
            lines = [line.split()[0] for line in read_lines(file) if line.strip()]
            return list(
                dict.fromkeys(Path(line).parent.name if "/" in line else line for line in lines)
            )
    raise InputError(f"{root}/ImageSets: no 2016/{name}.txt, 480p/{name}.txt or 2017/{name}.txt")


def pp_humanseg_units(root: Path, hashes: Hashes) -> list[Unit]:
    """PP-HumanSeg14K: `image label` lists -> clips; palette labels 0/1 become 0/255 masks.

    The clip is the image's path without `images/` and the trailing frame number. `test.txt` (else
    `val.txt`) becomes the evaluation split.
    """
    lists = {
        "train": root / "train.txt",
        "val": root / "test.txt" if (root / "test.txt").is_file() else root / "val.txt",
    }
    units = []
    for split, file in lists.items():
        clips = set()
        rows = _pp_rows(root, file)
        hashes.learn(chain.from_iterable(rows))
        for image, label in rows:
            clip, stem = split_frame_name(image.relative_to(root).as_posix())
            clips.add(clip)
            frame = f"Keyframes/480p/{clip}/{stem}{image.suffix.lower()}"
            units.append(link_unit(frame, image, hashes))
            mask = f"Annotations/480p/{clip}/{stem}.png"
            made_by = recipe("binary mask", hashes.of(label), code_of_masks())
            units.append(Unit((mask,), made_by, write_binary_mask, (mask, label)))
        units.append(_list_unit(split, sorted(clips)))
    return units


def _pp_rows(root: Path, file: Path) -> list[tuple[Path, Path]]:
    """The images and labels that a list names."""
    rows = []
    for number, line in enumerate(read_lines(file), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2:
            raise InputError(
                f"{file}, line {number}: expected `image label`, found '{line.strip()[:80]}'"
            )
        for name in fields:
            place = PurePosixPath(name)
            if place.is_absolute() or ".." in place.parts:
                raise InputError(f"{file}, line {number}: '{name[:80]}' leads out of the data set")
            if not (root / name).is_file():
                raise InputError(f"{root / name}: listed in {file.name}, but not on disk")
        rows.append((root / fields[0], root / fields[1]))
    return rows


def split_frame_name(path: str) -> tuple[str, str]:
    """`images/lecture-3_0042.jpg` -> (`lecture-3`, `0042`)."""
    name = Path(path).with_suffix("")
    parts = [part for part in name.parts if part not in ("images", "Images", "JPEGImages")]
    match = re.fullmatch(r"(.*?)[-_]?(\d+)", parts[-1])
    only_a_number = match is not None and not match.group(1) and len(parts) == 1
    if match is None or only_a_number:
        return "/".join(parts), "00000"
    clip = [*parts[:-1], match.group(1)] if match.group(1) else parts[:-1]
    return "/".join(clip), match.group(2)
