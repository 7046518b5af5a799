"""Articulated people: a planar skeleton with joints, and how it moves in each kind of scene.

Lengths are in units of the person's height, angles in radians from "straight down", positive
towards +x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TORSO, NECK, HEAD = 0.30, 0.05, 0.075
UPPER_ARM, LOWER_ARM = 0.165, 0.17
UPPER_LEG, LOWER_LEG = 0.24, 0.25
SHOULDER, HIP = 0.105, 0.055  # half widths


@dataclass(frozen=True)
class Swing:
    """One joint's angle over time: base + amplitude * sin(2 pi frequency t + phase), with a second
    harmonic.
    """

    base: float
    amplitude: float
    frequency: float
    phase: float

    def at(self, seconds: float, speed: float) -> float:
        """Angle at a time; `speed` multiplies the frequency (0 holds the joint still)."""
        turn = 2 * np.pi * self.frequency * speed * seconds + self.phase
        return self.base + self.amplitude * (
            np.sin(turn) + 0.25 * np.sin(2 * turn + 1.3 * self.phase)
        )


# base and amplitude (radians) of shoulder, elbow, hip, knee; frequency of the limbs (Hz); amplitude
# of the torso
ACTIONS: dict[str, dict[str, tuple[float, float] | float]] = {
    "dance": {
        "shoulder": (1.5, 1.0), "elbow": (0.6, 0.9), "hip": (0.2, 0.35), "knee": (-0.3, 0.35),
        "rate": 0.8, "torso": 0.14,
    },
    "handwork": {
        "shoulder": (0.35, 0.3), "elbow": (1.5, 0.55), "hip": (0.1, 0.0), "knee": (0.0, 0.0),
        "rate": 1.2, "torso": 0.03,
    },
    "talk": {
        "shoulder": (0.3, 0.25), "elbow": (1.3, 0.7), "hip": (0.1, 0.02), "knee": (0.0, 0.0),
        "rate": 0.6, "torso": 0.04,
    },
    "point": {
        "shoulder": (1.3, 0.75), "elbow": (0.4, 0.5), "hip": (0.08, 0.05), "knee": (-0.05, 0.05),
        "rate": 0.5, "torso": 0.07,
    },
    "read": {
        "shoulder": (0.15, 0.06), "elbow": (1.2, 0.2), "hip": (0.05, 0.0), "knee": (0.0, 0.0),
        "rate": 0.5, "torso": 0.03,
    },
    "run": {
        "shoulder": (0.0, 0.9), "elbow": (1.2, 0.35), "hip": (0.1, 0.8), "knee": (-0.8, 0.7),
        "rate": 1.6, "torso": 0.08,
    },
    "walk": {
        "shoulder": (0.0, 0.5), "elbow": (0.35, 0.2), "hip": (0.0, 0.45), "knee": (-0.3, 0.3),
        "rate": 1.0, "torso": 0.04,
    },
    "show": {
        "shoulder": (0.7, 0.45), "elbow": (1.2, 0.6), "hip": (0.07, 0.03), "knee": (-0.03, 0.03),
        "rate": 0.7, "torso": 0.06,
    },
}  # fmt: skip


# what goes on moving in each kind of motion; None: everything
MOVES: dict[str, tuple[str, ...] | None] = {
    "all": None,
    "arms": ("left shoulder", "left elbow", "right shoulder", "right elbow"),
    # of the side that is painted before the torso
    "forearm": ("left elbow",),
    "nothing": (),
}


@dataclass(frozen=True)
class Motion:
    """How one person moves.

    Attributes:
        swings: joint name -> `Swing`.
        start: (x, y) of the pelvis at time 0, in units of the frame's width and height.
        drift: (x, y) path per second, same units; sways back after a while so that nobody leaves.
        limb_speed, torso_speed: factors on limbs and on torso, head and path: their ratio is
            the imbalance.
        held: swings, and `path`, that stay as they are at `moment`.
        moment: in seconds.
    """

    swings: dict[str, Swing]
    start: tuple[float, float]
    drift: tuple[float, float]
    limb_speed: float
    torso_speed: float
    held: frozenset[str] = frozenset()
    moment: float = 0.0

    def angle(self, joint: str, seconds: float, speed: float) -> float:
        """A joint's angle at a time, or at the moment at which it is held."""
        return self.swings[joint].at(self.time(joint, seconds), speed)

    def time(self, what: str, seconds: float) -> float:
        """The time that a joint, or the path, is at."""
        return self.moment if what in self.held else seconds


def make_motion(
    action: str,
    rng: np.random.Generator,
    *,
    start: tuple[float, float],
    drift: tuple[float, float],
    limb_speed: float,
    torso_speed: float,
    moves: str = "all",
    moment: float = 0.0,
) -> Motion:
    """Draws the swings of one person for an action of `ACTIONS`; what does not move by `MOVES` is
    held at a moment; the rest is as in `Motion`.
    """
    table = ACTIONS[action]
    swings: dict[str, Swing] = {}
    opposite = action in ("run", "walk")
    first = rng.uniform(0, 2 * np.pi)
    for joint in ("shoulder", "elbow", "hip", "knee"):
        base, amplitude = table[joint]
        for side, sign in (("left", 1.0), ("right", -1.0)):
            if opposite:  # a stride: the sides swing half a turn apart
                phase = first + (np.pi if side == "right" else 0.0)
            else:
                phase = rng.uniform(0, 2 * np.pi)
            if opposite and joint in ("hip", "knee"):
                phase += np.pi
            rate = table["rate"] * (1.0 if opposite else rng.uniform(0.8, 1.25))
            factor = rng.uniform(0.85, 1.15)
            # when walking in profile both sides swing in the same frame; otherwise the sides mirror
            # each other
            swings[f"{side} {joint}"] = Swing(
                base * (1.0 if opposite else sign) * factor,
                amplitude * rng.uniform(0.8, 1.1),
                rate,
                phase,
            )
    for joint, amplitude in (("torso", table["torso"]), ("head", 0.12)):
        swings[joint] = Swing(0.0, amplitude, rng.uniform(0.25, 0.5), rng.uniform(0, 2 * np.pi))
    going = MOVES[moves]
    held = frozenset() if going is None else frozenset({*swings, "path"}.difference(going))
    return Motion(swings, start, drift, limb_speed, torso_speed, held, moment)


def pose(
    motion: Motion, seconds: float, height: float, frame: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Joint positions in pixels at a time.

    Args:
        motion: of the person.
        seconds: time since the clip's start.
        height: the standing person's height in pixels.
        frame: (height, width) of the frame in pixels.

    Returns:
        joint name (`JOINTS`) -> (x, y) in pixels.
    """
    slow = motion.torso_speed
    wander = np.sin(1.1 * slow * motion.time("path", seconds)) / 1.1
    x = (motion.start[0] + motion.drift[0] * wander) * frame[1]
    y = (motion.start[1] + motion.drift[1] * wander) * frame[0]
    lean = motion.angle("torso", seconds, slow)
    joints = {"pelvis": np.array([x, y])}
    up, across = _direction(lean + np.pi), _direction(lean + np.pi / 2)
    joints["neck"] = joints["pelvis"] + up * TORSO * height
    nod = lean + motion.angle("head", seconds, slow) * 0.6
    joints["head"] = joints["neck"] + _direction(nod + np.pi) * (NECK + HEAD) * height
    for side, sign in (("left", 1.0), ("right", -1.0)):
        limb = {
            name: motion.angle(f"{side} {name}", seconds, motion.limb_speed)
            for name in ("shoulder", "elbow")
        }
        shoulder = joints["neck"] + across * SHOULDER * sign * height - up * 0.025 * height
        elbow = shoulder + _direction(lean + limb["shoulder"]) * UPPER_ARM * height
        wrist = elbow + _direction(lean + limb["shoulder"] + limb["elbow"]) * LOWER_ARM * height
        leg = {
            name: motion.angle(f"{side} {name}", seconds, motion.limb_speed)
            for name in ("hip", "knee")
        }
        hip = joints["pelvis"] + across * HIP * sign * height
        knee = hip + _direction(leg["hip"]) * UPPER_LEG * height
        ankle = knee + _direction(leg["hip"] + leg["knee"]) * LOWER_LEG * height
        for name, point in (("shoulder", shoulder), ("elbow", elbow), ("wrist", wrist)):
            joints[f"{side} {name}"] = point
        for name, point in (("hip", hip), ("knee", knee), ("ankle", ankle)):
            joints[f"{side} {name}"] = point
    return joints


def _direction(angle: float) -> np.ndarray:
    """Unit vector of an angle from straight down (image coordinates, y grows downwards)."""
    return np.array([np.sin(angle), np.cos(angle)])
