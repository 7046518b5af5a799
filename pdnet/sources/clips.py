"""Sources of clips: each is a list of the files that `data/raw` is to hold in the MVPS layout, as
links wherever bytes can stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath

from pdnet.base.manifest import Hashes, Unit, bring, link_unit, recipe
from pdnet.base.parallel import progress
from pdnet.config import OUTPUTS, Config, DataConfig
from pdnet.data.layout import SETS, check, read_tree
from pdnet.data.lists import read_lines
from pdnet.errors import InputError
from pdnet.sample.casts import cast, cast_unit
from pdnet.sample.render import clip_units, image_units, read_scenes
from pdnet.sources.fetch import fetch
from pdnet.sources.image_sets import (
    code_of_masks,
    find_set,
    image_set_units,
    say_counts,
    write_binary_mask,
)
from pdnet.sources.originals import (
    ORIGINALS,
    address,
    folder_with,
    original_image_units,
    sets_of_originals,
)
from pdnet.sources.trees import (
    Clips,
    composed,
    folder_units,
    has_clips,
    mvps_clips,
    named_trees,
    refuse_own_folder,
)
from pdnet.sources.unpack import unpacked

SAMPLE = "sample"  # among trees and image sets: what this project renders

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
        config: `data.source` chooses: sample, casts, mvps, davis, pp_humanseg14k or people.
        source: what `data.dvc` tracks: the sample's scene scripts, or an owner's tree.
        raw: MVPS layout; it then holds what a cold rebuild gives, whatever it held before.

    Raises:
        InputError: nothing there, a broken tree (what is wrong, up to 20 lines), an owner's folder
            that is one of this project's, two clips of one name, or what `bring` refuses.
    """
    data, trees = config.data, _trees(config.data)
    _refuse_what_cannot_be(data, trees, raw)
    hashes, archives = Hashes(raw), raw.parent / "archives"
    clips = _clips(config, source=source, archives=archives, trees=trees, hashes=hashes)
    if "davis" in data.originals:
        clips["the original DAVIS"] = davis_clips(_davis_root(archives, data), hashes)
    units = composed(clips)
    if SAMPLE in data.image_sets:
        units += image_units(data.sample_images, seed=config.seed)
    others = [name for name in data.image_sets if name != SAMPLE]
    units += _image_sets(data, others, list(trees.values()), hashes=hashes)
    units += original_image_units(data, archives, hashes)
    what, workers = "bring clips and images", config.machine.workers
    bring(raw, units, what, hashes=hashes, workers=workers)
    say_counts([*others, *sets_of_originals(data)], raw)
    check(read_tree(raw))


def _trees(data: DataConfig) -> dict[str, Path]:
    """The folders that `data.trees` names, by name; the sample has none."""
    names = [name for name in data.trees if name != SAMPLE]
    if data.source != "people" or not names:
        return {}
    if data.root is None:
        raise InputError(
            f"data.root: not set; set it to the folder that holds {', '.join(names)} (data.trees)"
        )
    return named_trees(Path(data.root), names)


def _refuse_what_cannot_be(data: DataConfig, trees: Mapping[str, Path], raw: Path) -> None:
    """Refuses parameters that contradict each other, and this project's own folders."""
    owners = {"data.root": data.root, "data.image_root": data.image_root}
    for name, folder in (*owners.items(), *(("data.trees", tree) for tree in trees.values())):
        if folder is not None:
            refuse_own_folder(name, Path(folder), (raw, *OUTPUTS))
    fetched_sets = sets_of_originals(data)
    if data.licences is not None and "coco_person" not in (*data.image_sets, *fetched_sets):
        raise InputError(
            "data.licences: no picture of MSCOCO is asked for; name coco_person in "
            "data.image_sets or coco_val2017 in data.originals, or set it to null"
        )
    clips_of_trees = SAMPLE in data.trees or any(map(has_clips, trees.values()))
    if data.source == "people" and not clips_of_trees and "davis" not in data.originals:
        raise InputError(
            "data.trees: no clips; name a tree that has some (ImageSets/), or davis in "
            "data.originals"
        )


def _clips(
    config: Config, *, source: Path, archives: Path, trees: Mapping[str, Path], hashes: Hashes
) -> dict[str, Clips]:
    """The clips of what `data.source` names, by what a reader knows each part by."""
    kind, root = config.data.source, config.data.root
    if kind == "sample":
        return {"the sample": sample_clips(_scenes(source), config.data)}
    if kind == "casts":
        return {"the casts": cast_clips(config)}
    if kind == "mvps":
        return {"data.root": mvps_clips(_root(config, source), hashes)}
    if kind == "davis":
        tree = _root(config, source) if root else _davis_root(archives, config.data)
        read = mvps_clips if (tree / "Keyframes").is_dir() else davis_clips
        return {"data.root": read(tree, hashes)}
    if kind == "pp_humanseg14k":
        return {"data.root": pp_humanseg_clips(_root(config, source), hashes)}
    found: dict[str, Clips] = {}
    for name in progress(config.data.trees, "read trees", unit="tree"):
        if name == SAMPLE:
            found["the sample"] = sample_clips(_scenes(source), config.data, evaluated=False)
        elif has_clips(trees[name]):
            found[str(trees[name])] = mvps_clips(trees[name], hashes)
    return found


def _image_sets(
    data: DataConfig, names: Sequence[str], trees: Sequence[Path], *, hashes: Hashes
) -> list[Unit]:
    """Sets of single images, of `data.image_root` or, without one, of the trees of people."""
    if data.source != "people" or data.image_root is not None:
        return image_set_units(names, root=data.image_root, hashes=hashes, licences=data.licences)
    units: list[Unit] = []
    for name in progress(names, "read image sets", unit="set"):
        root = find_set(name, [tree / "images" for tree in trees])
        units += image_set_units([name], root=str(root), hashes=hashes, licences=data.licences)
    return units


def sample_clips(scenes: Path, data: DataConfig, *, evaluated: bool = True) -> Clips:
    """The embedded sample's rendered clips.

    Args:
        scenes: their scripts.
        data: how many of them, and of their frames.
        evaluated: without it the evaluation clips stay out. Beside clips of real people the
            rendered ones only train: a score there would say nothing of real footage.
    """
    told, scripts = read_scenes(scenes), []
    for split in SETS if evaluated else ("train",):
        scripts += [script for script in told if script.split == split][: data.sample_clips]
    if data.sample_frames is not None:
        shorter = [min(script.frames, data.sample_frames) for script in scripts]
        scripts = [
            script.model_copy(update={"frames": frames})
            for script, frames in zip(scripts, shorter, strict=True)
        ]
    # the renderer lists its own splits; here they may be a part of longer lists
    files = [unit for unit in clip_units(scripts) if not unit.files[0].startswith("ImageSets/")]
    names = {split: [script.name for script in scripts if script.split == split] for split in SETS}
    return Clips(files, names)


def cast_clips(config: Config) -> Clips:
    """Rendered casts of people and figures: who of them moves is alive."""
    data, seed = config.data, config.seed
    counts = {"train": data.casts, "held": data.held_casts, "eval": data.evaluated_casts}
    files: list[Unit] = []
    lists: dict[str, list[str]] = {split: [] for split in SETS}
    for kind, count in counts.items():
        for index in range(count):
            files.append(cast_unit(kind, index, seed=seed))
            script = cast(kind, index, seed=seed)
            lists[script.split].append(script.name)
    return Clips(files, lists)


def _scenes(source: Path) -> Path:
    return source / "scenes.yaml" if source.is_dir() else source


def _root(config: Config, source: Path) -> Path:
    root = Path(config.data.root) if config.data.root else source
    if not root.is_dir():
        raise InputError(f"data.root: no folder {root}; set it to the data set's tree")
    return root


def _davis_root(archives: Path, data: DataConfig) -> Path:
    """Where DAVIS lies once it is fetched, from `data.url` or else from its makers."""
    (davis,) = ORIGINALS["davis"]
    url, known = data.url, None
    if url is None:
        url, known = address(davis, data), data.checksums.get(davis.name, davis.checksum)
    archive = fetch(url, archives, data.sha256 or known)
    return folder_with("davis", unpacked(archive, archives), "JPEGImages")


def davis_clips(root: Path, hashes: Hashes) -> Clips:
    """DAVIS-2016 or 2017 at 480p: the sequences of the 2016 lists that show people; instance ids
    merge into one mask when the working copy is made.
    """
    frames, masks = root / "JPEGImages" / "480p", root / "Annotations" / "480p"
    if not frames.is_dir() or not masks.is_dir():
        raise InputError(
            f"{root}: expected JPEGImages/480p and Annotations/480p (DAVIS) or Keyframes/480p "
            "(MVPS)"
        )
    files: list[Unit] = []
    lists: dict[str, list[str]] = {}
    for split in SETS:
        listed = _davis_list(root, split)
        lists[split] = [clip for clip in DAVIS_PEOPLE[split] if clip in listed]
        for clip in progress(lists[split], f"read DAVIS {split}", unit="clip"):
            for folder in (frames / clip, masks / clip):
                if not folder.is_dir():
                    raise InputError(f"{folder}: listed in ImageSets, but not on disk")
            files += folder_units(frames / clip, f"Keyframes/480p/{clip}", hashes)
            files += folder_units(masks / clip, f"Annotations/480p/{clip}", hashes)
    return Clips(files, lists)


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


def pp_humanseg_clips(root: Path, hashes: Hashes) -> Clips:
    """PP-HumanSeg14K: `image label` lists -> clips; palette labels 0/1 become 0/255 masks.

    The clip is the image's path without `images/` and the trailing frame number. `test.txt` (else
    `val.txt`) becomes the evaluation split.
    """
    tables = {
        "train": root / "train.txt",
        "val": root / "test.txt" if (root / "test.txt").is_file() else root / "val.txt",
    }
    files: list[Unit] = []
    lists: dict[str, list[str]] = {}
    for split, table in tables.items():
        clips = set()
        rows = _pp_rows(root, table)
        hashes.learn(chain.from_iterable(rows))
        for image, label in rows:
            clip, stem = split_frame_name(image.relative_to(root).as_posix())
            clips.add(clip)
            frame = f"Keyframes/480p/{clip}/{stem}{image.suffix.lower()}"
            files.append(link_unit(frame, image, hashes))
            mask = f"Annotations/480p/{clip}/{stem}.png"
            made_by = recipe("binary mask", hashes.of(label), code_of_masks())
            files.append(Unit((mask,), made_by, write_binary_mask, (mask, label)))
        lists[split] = sorted(clips)
    return Clips(files, lists)


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
