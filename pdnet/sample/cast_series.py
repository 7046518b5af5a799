"""The imbalance series on casts: torsos that rest and arms that move faster and faster, beside
figures of the same looks. Who of them is a person only the arms tell.
"""

from __future__ import annotations

from collections.abc import Sequence

from pdnet.base.manifest import Unit
from pdnet.sample.casts import LONGEST, cast
from pdnet.sample.render import ANNOTATED_EVERY, frames_unit
from pdnet.sample.scene import SceneScript

SCENES = 10
FIRST = 100_000  # casts of the kind `eval` from this number on: no other looks like them
# speed of the arms' swings; at 0 nothing moves, and nothing can be known
LEVELS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)


def cast_series(levels: Sequence[float], *, seed: int) -> list[SceneScript]:
    """Clips `imbalance/<scene>-<level in per cent>`; only the speed of people's arms differs
    between levels.

    Args:
        levels: factors on the swings' rates.
        seed: of all casts.
    """
    scripts = []
    for scene in range(SCENES):
        script = cast("eval", FIRST + scene, seed=seed)
        for level in levels:
            people = [
                person.model_copy(update={"moves": "arms", "limb_speed": level})
                if person.alive
                else person
                for person in script.people
            ]
            name = f"imbalance/{scene:02d}-{round(100 * level)}"
            scripts.append(script.model_copy(update={"name": name, "people": people}))
    return scripts


def series_units(scripts: Sequence[SceneScript]) -> list[Unit]:
    """Every fifth frame of each clip, all of them annotated."""
    numbers = list(range(0, LONGEST, ANNOTATED_EVERY))
    return [frames_unit(script, numbers, annotated=numbers, name="00000") for script in scripts]
