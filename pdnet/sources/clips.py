"""Sources of clips: each becomes the MVPS layout under `data/raw`, by links wherever bytes can stay
as they are.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np

from pdnet.base.files import write_image, write_json, write_text
from pdnet.base.parallel import each, progress
from pdnet.config import Config
from pdnet.data.images import read_labels
from pdnet.data.layout import IMAGE_SUFFIXES, SETS, check, read_tree
from pdnet.errors import InputError
from pdnet.sample.render import read_scenes, render_clips, render_images
from pdnet.sources.fetch import fetch, unpack
from pdnet.sources.image_sets import bring_image_sets

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
        raw: MVPS layout, made or completed.

    Raises:
        InputError: nothing there, or a broken tree (what is wrong, up to 20 lines).
    """
    data, workers = config.data, config.machine.workers
    identity = {
        "source": data.source,
        "root": data.root,
        "image_sets": list(data.image_sets),
        "seed": config.seed,
    }
    _start_anew_if_other(raw, identity)
    write_json(raw / "source.json", identity)
    if data.source == "sample":
        render_clips(read_scenes(_scenes(source)), raw, workers)
    elif data.source == "mvps":
        bring_mvps(_root(config, source), raw)
    elif data.source == "davis":
        root = Path(data.root) if data.root else _fetched_davis(config, raw)
        (bring_mvps if (root / "Keyframes").is_dir() else bring_davis)(root, raw)
    else:
        bring_pp_humanseg(_root(config, source), raw, workers)
    if "sample" in data.image_sets:
        render_images(raw, data.sample_images, seed=config.seed, workers=workers)
    others = [name for name in data.image_sets if name != "sample"]
    bring_image_sets(others, root=data.image_root, raw=raw, workers=workers)
    check(read_tree(raw))


def _start_anew_if_other(raw: Path, identity: dict) -> None:
    """Clears what another source left; the same source goes on where it stopped."""
    marker = raw / "source.json"
    if marker.is_file():
        try:
            if json.loads(marker.read_text()) == identity:
                return
        except json.JSONDecodeError:
            pass
    if raw.is_dir():
        # frames of two sources in one tree would be scored as one data set
        shutil.rmtree(raw)


def _scenes(source: Path) -> Path:
    return source / "scenes.yaml" if source.is_dir() else source


def _root(config: Config, source: Path) -> Path:
    root = Path(config.data.root) if config.data.root else source
    if not root.is_dir():
        raise InputError(f"data.root: no folder {root}; set it to the data set's tree")
    return root


def link_folder(source: Path, target: Path) -> None:
    """Makes `target` a folder of symbolic links to the images of `source`, so that no byte is
    copied.
    """
    target.mkdir(parents=True, exist_ok=True)
    wanted = {
        p.name: p
        for p in source.iterdir()
        if p.suffix.lower() in IMAGE_SUFFIXES and p.name[0] != "."
    }
    for path in target.iterdir():
        if path.name not in wanted:
            path.unlink()
    for name, path in wanted.items():
        link = target / name
        if not link.is_symlink():
            link.unlink(missing_ok=True)
            # absolute, so that it holds wherever the tree is read from
            link.symlink_to(path.resolve())


def bring_mvps(root: Path, raw: Path) -> None:
    """Links an owner's tree in the MVPS layout: `480p`, or the only resolution there is."""
    tree_check = read_tree(root)  # a clear error where this is no such tree
    for kind in ("Keyframes", "Annotations", "Frames"):
        folder = _resolution(root / kind) if (root / kind).is_dir() else None
        if folder is None and kind != "Frames":
            raise InputError(
                f"{root / kind}: missing; expected {kind}/480p/<clip>/ in an MVPS tree"
            )
        for name in SETS:
            for clip in tree_check.sets[name]:
                if folder is not None and (folder / clip.name).is_dir():
                    link_folder(folder / clip.name, raw / kind / "480p" / clip.name)
    for name in SETS:
        file = root / "ImageSets" / f"{name}.txt"
        write_text(raw / "ImageSets" / f"{name}.txt", file.read_text() if file.is_file() else "")


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
    url = config.data.url or DAVIS_URL
    folder = raw.parent / "archives"
    archive = fetch(url, folder / Path(url).name, config.data.sha256)
    if not (folder / "unpacked.txt").is_file():
        unpack(archive, folder)
        write_text(folder / "unpacked.txt", archive.name + "\n")
    roots = sorted(p.parent for p in folder.rglob("JPEGImages") if p.is_dir())
    if not roots:
        raise InputError(f"{archive}: holds no JPEGImages folder; is it a DAVIS archive?")
    return roots[0]


def bring_davis(root: Path, raw: Path) -> None:
    """DAVIS-2016 or 2017 at 480p: the sequences of the 2016 lists that show people; instance ids
    merge into one mask.
    """
    frames, masks = root / "JPEGImages" / "480p", root / "Annotations" / "480p"
    if not frames.is_dir() or not masks.is_dir():
        raise InputError(
            f"{root}: expected JPEGImages/480p and Annotations/480p (DAVIS) or Keyframes/480p "
            "(MVPS)"
        )
    for name in SETS:
        listed = _davis_list(root, name)
        clips = [clip for clip in DAVIS_PEOPLE[name] if clip in listed]
        for clip in progress(clips, f"link DAVIS {name}", unit="clip"):
            if not (frames / clip).is_dir():
                raise InputError(f"{frames / clip}: listed in ImageSets, but not on disk")
            link_folder(frames / clip, raw / "Keyframes" / "480p" / clip)
            link_folder(masks / clip, raw / "Annotations" / "480p" / clip)
        write_text(raw / "ImageSets" / f"{name}.txt", "".join(clip + "\n" for clip in clips))


def _davis_list(root: Path, name: str) -> list[str]:
    """Names of the 2016 split, in any of the three shapes in which it was released."""
    for folder in ("2016", "480p", "2017"):
        file = root / "ImageSets" / folder / f"{name}.txt"
        if file.is_file():
            lines = [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
            return list(
                dict.fromkeys(Path(line).parent.name if "/" in line else line for line in lines)
            )
    raise InputError(f"{root}/ImageSets: no 2016/{name}.txt, 480p/{name}.txt or 2017/{name}.txt")


def bring_pp_humanseg(root: Path, raw: Path, workers: int) -> None:
    """PP-HumanSeg14K: `image label` lists -> clips; palette labels 0/1 become 0/255 masks.

    The clip is the image's path without `images/` and the trailing frame number. `test.txt` (else
    `val.txt`) becomes the evaluation split.
    """
    lists = {
        "train": root / "train.txt",
        "val": root / "test.txt" if (root / "test.txt").is_file() else root / "val.txt",
    }
    jobs = []
    for name, file in lists.items():
        if not file.is_file():
            raise InputError(
                f"{file}: missing; PP-HumanSeg14K has train.txt, val.txt and test.txt of `image "
                "label` lines"
            )
        clips: dict[str, list[tuple[str, Path, Path]]] = defaultdict(list)
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if not line.strip():
                continue
            fields = line.split()
            if len(fields) != 2:
                raise InputError(
                    f"{file}, line {number}: expected `image label`, found '{line.strip()}'"
                )
            clip, stem = split_frame_name(fields[0])
            clips[clip].append((stem, root / fields[0], root / fields[1]))
        for clip, rows in sorted(clips.items()):
            jobs += [(raw, clip, *row) for row in rows]
        write_text(
            raw / "ImageSets" / f"{name}.txt", "".join(clip + "\n" for clip in sorted(clips))
        )
    each(_bring_pp_frame, jobs, "PP-HumanSeg14K", workers=workers, unit="frame")


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


def _bring_pp_frame(job: tuple[Path, str, str, Path, Path]) -> None:
    raw, clip, stem, image, label = job
    mask = raw / "Annotations" / "480p" / clip / f"{stem}.png"
    if not mask.is_file():
        labels = read_labels(label)
        write_image(mask, np.where(labels > 0, 255, 0).astype(np.uint8))
    frame = raw / "Keyframes" / "480p" / clip / f"{stem}{image.suffix.lower()}"
    frame.parent.mkdir(parents=True, exist_ok=True)
    if not image.is_file():
        raise InputError(f"{image}: listed, but not on disk")
    frame.unlink(missing_ok=True)
    frame.symlink_to(image.resolve())
