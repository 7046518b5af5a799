"""The sample as a data set: scene scripts -> frames, masks, true parts and joints in the MVPS
layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import skimage
from pydantic import ValidationError

from pdnet.base.files import write_image, write_json
from pdnet.base.imports import code_hash
from pdnet.base.manifest import Unit, recipe, text_unit
from pdnet.base.parameters_file import read_parameters, shown
from pdnet.data.skeleton import JOINTS, PARTS
from pdnet.errors import InputError
from pdnet.sample.body import ACTIONS
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
        raw = read_parameters(path)
        clips = [SceneScript(**clip) for clip in raw["clips"]]
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: missing; `dvc checkout` or `dvc update data.dvc` brings the scene scripts"
        ) from error
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not a list of scenes under `clips:` ({shown(error)})") from error
    except ValidationError as error:
        first = error.errors()[0]
        name = shown(".".join(map(str, first["loc"])))
        raise InputError(
            f"{path}: {name} = {shown(repr(first['input']))}: {first['msg']}"
        ) from error
    names = [clip.name for clip in clips]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{path}: clip '{twice[0]}' is described twice")
    return clips


def clip_units(clips: Sequence[SceneScript], *, between: bool = True) -> list[Unit]:
    """Units of a tree (MVPS layout) that holds these clips: `CHUNK` frames each, and split lists.

    Args:
        clips: their scripts.
        between: also render the frames between the annotated ones.
    """
    units = []
    for clip in clips:
        for first in range(0, clip.frames, CHUNK):
            numbers = [
                number
                for number in range(first, min(first + CHUNK, clip.frames))
                if between or number % ANNOTATED_EVERY == 0
            ]
            shown = [number for number in numbers if number % ANNOTATED_EVERY == 0]
            units.append(frames_unit(clip, numbers, annotated=shown, name=f"{first:05d}"))
    for split in ("train", "val"):
        names = "".join(f"{clip.name}\n" for clip in clips if clip.split == split)
        units.append(text_unit(f"ImageSets/{split}.txt", names))
    return units


def frames_unit(
    clip: SceneScript, numbers: Sequence[int], *, annotated: Sequence[int], name: str
) -> Unit:
    """Frames of a clip that are rendered together, with their truth.

    Args:
        clip: its script.
        numbers: of the frames, at 30 FPS.
        annotated: those of them that are among the key frames.
        name: of the file of their joints.
    """
    files: list[str] = []
    for number in numbers:
        files += _frame_files(clip, number, number in annotated).values()
    files.append(f"Joints/{clip.name}/{name}.json")
    made_by = recipe("clip", clip.model_dump_json(), numbers, annotated, _renderer())
    given = (clip, numbers, annotated, files[-1])
    return Unit(tuple(files), made_by, _render_frames, given)


def image_units(count: int, *, seed: int) -> list[Unit]:
    """Units of `count` single images of people in `Images/sample`, for the alternating image
    steps.
    """
    units = []
    for index in range(count):
        files = (f"Images/sample/img/{index:05d}.jpg", f"Images/sample/mask/{index:05d}.png")
        made_by = recipe("image", seed, index, _renderer())
        units.append(Unit(files, made_by, _render_image, (seed, index)))
    return units


@cache
def _renderer() -> str:
    """What draws: this package's code, and the libraries that its pixels depend on."""
    libraries = (cv2.__version__, np.__version__, skimage.__version__)
    return recipe(code_hash("pdnet.sample.render"), libraries, JPEG_QUALITY)


def _frame_files(clip: SceneScript, number: int, annotated: bool) -> dict[str, str]:
    """Kind of content -> path of a frame's files; parts of every frame: the truth about motion
    between annotated frames too.
    """
    stem = f"480p/{clip.name}/{number:05d}"
    truth = {"labels": f"Parts/{stem}.png"}
    if clip.has_figures:
        truth["figures"] = f"Figures/{stem}.png"
    if annotated:
        return {"colour": f"Keyframes/{stem}.jpg", "mask": f"Annotations/{stem}.png", **truth}
    return {"colour": f"Frames/{stem}.jpg", **truth}


def _render_frames(
    root: Path, clip: SceneScript, numbers: Sequence[int], annotated: Sequence[int], joints: str
) -> None:
    """Renders some frames of a clip and their truth."""
    scene, tracks, cameras = Scene(clip), {}, {}
    for number in numbers:
        frame, name = scene.render(number), f"{number:05d}"
        for kind, path in _frame_files(clip, number, number in annotated).items():
            write_image(root / path, getattr(frame, kind), jpeg_quality=JPEG_QUALITY)
        tracks[name] = [
            {joint: [round(float(v), 2) for v in j[joint]] for joint in JOINTS}
            for j in frame.joints
        ]
        cameras[name] = frame.camera.round(6).tolist()
    about = {"fps": FPS, "size": list(scene.size), "parts": PARTS, "joints": tracks}
    if clip.anchored:
        about |= {"alive": [person.alive for person in clip.people], "camera": cameras}
    write_json(root / joints, about)


def _render_image(root: Path, seed: int, index: int) -> None:
    """A single image of one to three people, for the image steps."""
    folder, stem = root / "Images" / "sample", f"{index:05d}"
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
