"""The imbalance series: the same people in the same scenes, whose limbs move faster and faster
against the torso.
"""

from __future__ import annotations

from collections.abc import Sequence

from pdnet.sample.scene import Person, SceneScript

# scenes of their own: no seed is used by the sample's clips
SCENES = {
    "dancer": {
        "seed": 301, "backdrop": "clutter", "camera": "hand", "distractors": ["ball", "creature"],
        "people": [Person(action="dance", at=(0.5, 0.57), height=0.8)],
    },
    "speaker": {
        "seed": 302, "backdrop": "shelves", "camera": "still", "distractors": ["robot"],
        "desk": 0.84, "people": [Person(action="talk", at=(0.45, 0.8), height=1.3)],
    },
    "walkers": {
        "seed": 303, "backdrop": "photo:brick", "camera": "pan", "distractors": ["creature", "box"],
        "people": [
            Person(action="walk", at=(0.35, 0.56), height=0.72, drift=(0.05, 0.0)),
            Person(action="run", at=(0.7, 0.57), height=0.74, drift=(-0.04, 0.0)),
        ],
    },
}  # fmt: skip


def series(levels: Sequence[float], frames: int) -> list[SceneScript]:
    """Clips `imbalance/<scene>-<level in per cent>`; only the limbs' speed differs between levels.

    Args:
        levels: speed of the limbs relative to the torso's; 0 holds them still in their pose.
        frames: of each clip, at 30 FPS.
    """
    scripts = []
    for name, scene in SCENES.items():
        for level in levels:
            people = [p.model_copy(update={"limb_speed": level}) for p in scene["people"]]
            about = {"name": f"imbalance/{name}-{round(100 * level)}", "split": "val"}
            scripts.append(SceneScript(**{**scene, **about, "people": people, "frames": frames}))
    return scripts
