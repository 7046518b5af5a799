"""The sample as a data set: scene scripts -> frames, masks, true parts and joints in the MVPS
layout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from pydantic import ValidationError

from pdnet.base.files import write_image, write_json, write_text
from pdnet.base.parallel import each
from pdnet.errors import InputError
from pdnet.sample.body import ACTIONS, JOINTS, PARTS
from pdnet.sample.scene import FPS, Person, Scene, SceneScript

ANNOTATED_EVERY = 5  # as MVPS
JPEG_QUALITY = 90
CHUNK = 20  # frames that a worker renders at a time: a scene's cast and set are drawn once for them
IMAGE_BACKDROPS = (
    "clutter",
    "shelves",
    "studio",
    "stage",
    "photo:brick",
    "photo:gravel",
    "photo:grass",
    "photo:rocket",
)


def read_scenes(path: Path) -> list[SceneScript]:
    """Reads and checks the scene scripts.

    Raises:
        InputError: missing, not YAML, a field that is unknown or wrong (named), or a clip's
            name twice.
    """
    try:
        raw = yaml.safe_load(path.read_text())
        clips = [SceneScript(**clip) for clip in raw["clips"]]
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: missing; `dvc checkout` or `dvc update data.dvc` brings the scene scripts"
        ) from error
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not a list of scenes under `clips:` ({' '.join(str(error).split())[:150]})"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"{path}: {'.'.join(map(str, first['loc']))} = {first['input']!r}: {first['msg']}"
        ) from error
    names = [clip.name for clip in clips]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{path}: clip '{twice[0]}' is described twice")
    return clips


def render_clips(
    clips: Sequence[SceneScript], root: Path, workers: int = 0, *, between: bool = True
) -> None:
    """Renders clips below `root` (MVPS layout); what is done already is left as it is.

    Args:
        clips: their scripts.
        root: of the tree.
        workers: processes, 0 for all cores.
        between: also render the frames between the annotated ones.
    """
    jobs: list[tuple[Path, SceneScript, int, bool]] = []
    for clip in clips:
        jobs += [(root, clip, number, between) for number in range(0, clip.frames, CHUNK)]
    each(_render_chunk, jobs, "render clips", workers=workers, unit="chunk")
    for split in ("train", "val"):
        write_text(
            root / "ImageSets" / f"{split}.txt",
            "".join(c.name + "\n" for c in clips if c.split == split),
        )


def render_images(root: Path, count: int, *, seed: int, workers: int = 0) -> None:
    """Renders `count` single images of people to `root/Images/sample`, for the alternating image
    steps.
    """
    each(
        _render_image,
        [(root, seed, i) for i in range(count)],
        "render images",
        workers=workers,
        unit="image",
    )


def _digest(clip: SceneScript, number: int) -> str:
    return hashlib.sha256(f"{clip.model_dump_json()}|{number}|{JPEG_QUALITY}".encode()).hexdigest()


def _render_chunk(job: tuple[Path, SceneScript, int, bool]) -> None:
    """Renders `CHUNK` frames of a clip and their truth; a marker with the script's hash says that
    they
    are done.
    """
    root, clip, first, between = job
    # the marker holds the script's hash: another script of the same name is rendered anew
    done = root / "Joints" / clip.name / f"{first:05d}.json"
    if done.is_file() and f'"script": "{_digest(clip, first)}"' in done.read_text():
        return
    scene, tracks = Scene(clip), {}
    for number in range(first, min(first + CHUNK, clip.frames)):
        annotated = number % ANNOTATED_EVERY == 0
        if not (annotated or between):
            continue
        frame, stem = scene.render(number), f"{number:05d}"
        folder = "Keyframes" if annotated else "Frames"
        write_image(
            root / folder / "480p" / clip.name / f"{stem}.jpg",
            frame.colour,
            jpeg_quality=JPEG_QUALITY,
        )
        if annotated:
            write_image(root / "Annotations" / "480p" / clip.name / f"{stem}.png", frame.mask)
        # parts of every frame: the truth about motion between annotated frames too
        write_image(root / "Parts" / "480p" / clip.name / f"{stem}.png", frame.labels)
        tracks[stem] = [
            {name: [round(float(v), 2) for v in j[name]] for name in JOINTS} for j in frame.joints
        ]
    height, width = scene.size
    write_json(
        done,
        {
            "fps": FPS,
            "size": [height, width],
            "parts": PARTS,
            "joints": tracks,
            "script": _digest(clip, first),
        },
    )


def _render_image(job: tuple[Path, int, int]) -> None:
    """A single image of one to three people, for the image steps."""
    root, seed, index = job
    folder, stem = root / "Images" / "sample", f"{index:05d}"
    if (folder / "mask" / f"{stem}.png").is_file() and (folder / "img" / f"{stem}.jpg").is_file():
        return
    # of its own number, so that a longer series begins with the shorter one's images
    rng = np.random.default_rng((seed, index))
    frame = Scene(random_clip(rng)).render(int(rng.integers(0, 60)))
    write_image(folder / "img" / f"{stem}.jpg", frame.colour, jpeg_quality=JPEG_QUALITY)
    write_image(folder / "mask" / f"{stem}.png", frame.mask)


def random_clip(rng: np.random.Generator) -> SceneScript:
    """A scene of random cast and set."""
    close = rng.random() < 0.5
    people = []
    for i in range(count := int(rng.integers(1, 4))):
        x = (i + 0.5 + rng.uniform(-0.25, 0.25)) / count
        height = rng.uniform(1.1, 1.7) if close else rng.uniform(0.55, 0.9)
        y = rng.uniform(0.7, 0.9) if close else rng.uniform(0.5, 0.6)
        people.append(
            Person(
                action=str(rng.choice(sorted(ACTIONS))),
                at=(x, y),
                height=height,
                holds=bool(rng.random() < 0.2),
            )
        )
    kinds = ["ball", "creature", "robot", "box"]
    return SceneScript(
        name="images/image",
        split="train",
        seed=int(rng.integers(1 << 31)),
        format="portrait" if count == 1 and rng.random() < 0.4 else "landscape",
        backdrop=str(rng.choice(IMAGE_BACKDROPS)),
        people=people,
        distractors=[str(k) for k in rng.choice(kinds, int(rng.integers(0, 4)))],
        desk=float(rng.uniform(0.72, 0.9)) if close and rng.random() < 0.6 else None,
        pole=bool(rng.random() < 0.2),
        spotlights=bool(rng.random() < 0.15),
        subtitle="words that mean nothing" if rng.random() < 0.2 else None,
    )
