"""Who is alive? Scenes of random cast in which figures stand beside people: same looks, poses,
places, order and sharpness, but rigid with the scene. No single frame tells them apart; how things
move between two frames does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pdnet.base.manifest import Unit
from pdnet.sample.body import ACTIONS
from pdnet.sample.render import ANNOTATED_EVERY, IMAGE_BACKDROPS, frames_unit
from pdnet.sample.scene import FPS, Person, SceneScript

MEMBERS = (2, 5)  # people and figures together, the upper bound left out
LONGEST = 41  # frames: a second and a third, after which nearly everybody has moved
TRAINING_FRAMES = 3  # of a training cast: the first, which is no target, and two targets
SOONEST = 6  # frames from the first to a target
# how the cast's people move: whole, by the arms or by one forearm alone
MOVES, SHARES = ("all", "arms", "forearm"), (0.5, 0.25, 0.25)
# apart from the sample's and the series' seeds, and each split from the others
STREAMS = {"train": 71, "held": 72, "eval": 73}


def cast(kind: str, index: int, *, seed: int) -> SceneScript:
    """The script of a cast.

    Args:
        kind: `train`, `held` (kept from training, for choices) or `eval`.
        index: of the cast; no other cast of any kind looks like it.
        seed: of all casts.
    """
    rng = np.random.default_rng((seed, STREAMS[kind], index))
    count = int(rng.integers(*MEMBERS))
    # one of each at least: a frame without people has no overlap to measure
    alive = rng.permutation([True, False, *(rng.random(count - 2) < 0.5)])
    people = [
        _member(rng, place / count, 1 / count, bool(lives)) for place, lives in enumerate(alive)
    ]
    # whoever comes last is painted in front
    people = [people[i] for i in rng.permutation(count)]
    kinds = ["ball", "creature", "robot", "box"]
    return SceneScript(
        name=f"{kind}/{index:05d}",
        split="val" if kind == "eval" else "train",
        seed=int(rng.integers(1 << 31)),
        frames=LONGEST,
        format="small",
        backdrop=str(rng.choice(IMAGE_BACKDROPS)),
        camera="still" if rng.random() < 0.4 else "hand",
        anchored=True,
        people=people,
        distractors=[str(k) for k in rng.choice(kinds, int(rng.integers(0, 3)))],
        pole=bool(rng.random() < 0.2),
        spotlights=bool(rng.random() < 0.1),
    )


def training_frames(index: int, *, seed: int) -> Sequence[int]:
    """Numbers of the frames of a training cast that are rendered, the first being 0."""
    rng = np.random.default_rng((seed, STREAMS["train"], index, 1))
    later = rng.choice(np.arange(SOONEST, LONGEST), TRAINING_FRAMES - 1, replace=False)
    return [0, *sorted(int(number) for number in later)]


def cast_unit(kind: str, index: int, *, seed: int) -> Unit:
    """The rendered frames of a cast: a few of a training cast, each annotated; of the others every
    fifth, as in MVPS.
    """
    numbers = range(0, LONGEST, ANNOTATED_EVERY)
    if kind == "train":
        numbers = training_frames(index, seed=seed)
    script = cast(kind, index, seed=seed)
    return frames_unit(script, list(numbers), annotated=list(numbers), name="00000")


def _member(rng: np.random.Generator, left: float, width: float, alive: bool) -> Person:
    """Somebody in a strip of the frame; nothing but the motion depends on `alive`."""
    close = rng.random() < 0.25
    person = Person(
        action=str(rng.choice(sorted(ACTIONS))),
        at=(
            left + width * rng.uniform(0.2, 0.8),
            rng.uniform(0.7, 0.85) if close else rng.uniform(0.48, 0.62),
        ),
        height=rng.uniform(1.0, 1.4) if close else rng.uniform(0.6, 0.95),
        drift=(rng.uniform(-0.08, 0.08), 0.0),
        limb_speed=rng.uniform(0.8, 1.5),
        torso_speed=rng.uniform(0.5, 1.2),
        holds=bool(rng.random() < 0.15),
        moves=str(rng.choice(MOVES, p=SHARES)),
        moment=float(rng.uniform(0, (LONGEST - 1) / FPS)),
        board=bool(rng.random() < 0.25),
    )
    return person if alive else person.model_copy(update={"moves": "nothing", "alive": False})
