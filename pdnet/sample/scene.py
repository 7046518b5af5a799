"""A scene: who and what is in a clip, and one frame of it with true mask, parts and joints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pdnet.data.skeleton import PARTS_PER_PERSON
from pdnet.sample.backdrop import camera_matrix, make_backdrop, view
from pdnet.sample.body import ACTIONS, MOVES, Motion, make_motion, pose
from pdnet.sample.paint import PATTERNS, Canvas, Look, cloth, make_look, paint_person

FPS = 30
# height, width
SIZES = {"landscape": (720, 1280), "portrait": (1280, 720), "small": (240, 320)}


class Person(BaseModel):
    """One person of a scene script."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    action: Literal[tuple(ACTIONS)]  # type: ignore[valid-type]
    at: tuple[float, float] = (0.5, 0.55)  # pelvis at time 0, share of width and height
    height: float = Field(0.8, gt=0.1, lt=4)  # standing height, share of the frame's height
    drift: tuple[float, float] = (0.0, 0.0)  # share of width and height per second
    limb_speed: float = Field(1.0, ge=0, le=100)
    torso_speed: float = Field(1.0, ge=0, le=100)
    holds: bool = False  # something in the left hand, in front of the person
    # what of the person moves; the rest is held as it is at `moment` (seconds)
    moves: Literal[tuple(MOVES)] = "all"  # type: ignore[valid-type]
    moment: float = Field(0.0, ge=0, le=3600)
    # False: a figure (mannequin, statue, cut-out), background in the truth
    alive: bool = True
    board: bool = False  # stands before a board, as a poster's person does


class SceneScript(BaseModel):
    """One clip of the scene scripts (`pipelines/sample/scenes.yaml`)."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    name: str = Field(pattern=r"^[a-z-]+/[a-z0-9-]+$")  # category/clip
    split: Literal["train", "val"]
    seed: int = Field(ge=0, lt=2**63)
    frames: int = Field(61, ge=1, le=100_000)  # an hour
    format: Literal["landscape", "portrait", "small"] = "landscape"
    backdrop: str
    camera: Literal["still", "hand", "pan", "zoom"] = "still"
    anchored: bool = False  # people stand in the scene: in the frame they move with the backdrop
    # a label is 10 * person + 1 + part, in 8 bits
    people: list[Person] = Field(max_length=24)
    distractors: list[Literal["ball", "creature", "robot", "box"]] = []
    desk: float | None = Field(
        None, gt=0, lt=1
    )  # a table in front from this share of the height down
    pole: bool = False  # something thin in front, which everybody passes behind
    spotlights: bool = False
    subtitle: str | None = None

    @property
    def has_figures(self) -> bool:
        """Whether somebody in it is none."""
        return not all(person.alive for person in self.people)


@dataclass
class Frame:
    """One rendered frame.

    Attributes:
        colour: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8, 0 or 10 * person + 1 + part.
        joints: per person or figure, joint name -> (x, y) in pixels.
        figures: labels of the figures, which `labels` has as background.
        camera: (2, 3) affine map from where a thing of the scene is seen by the camera at rest to
            where it is in this frame.
    """

    colour: np.ndarray
    labels: np.ndarray
    joints: list[dict[str, np.ndarray]]
    figures: np.ndarray
    camera: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """(H, W) uint8, 255 on people."""
        return np.where(self.labels > 0, 255, 0).astype(np.uint8)


class Scene:
    """A clip's cast and set, drawn once from the clip's seed; then any frame can be rendered by its
    number.
    """

    def __init__(self, clip: SceneScript) -> None:
        rng = np.random.default_rng(clip.seed)
        self.clip, self.size = clip, SIZES[clip.format]
        self.backdrop = make_backdrop(clip.backdrop, self.size, rng)
        self.motions = [
            make_motion(
                person.action,
                rng,
                start=person.at,
                drift=person.drift,
                limb_speed=person.limb_speed,
                torso_speed=person.torso_speed,
                moves=person.moves,
                moment=person.moment,
            )
            for person in clip.people
        ]
        self.looks = [make_look(rng) for _ in clip.people]
        self.distractors = [_Distractor(kind, self.size, rng) for kind in clip.distractors]
        self.desk = cloth(rng.uniform(40, 220, 3), PATTERNS[rng.integers(len(PATTERNS))], rng)
        self.prop = cloth(rng.uniform(20, 245, 3), PATTERNS[rng.integers(len(PATTERNS))], rng)
        self.lights = (
            rng.uniform(0.2, 0.8, (3, 2)),
            rng.uniform(0.5, 1.5, 3),
            rng.uniform(0.5, 1.4, (3, 3)),
        )
        self.phase, self.noise = (
            rng.uniform(0, 2 * np.pi),
            rng.normal(0, 3.0, (256, 256, 3)).astype(np.float32),
        )
        self.boards = [_board(rng) if person.board else None for person in clip.people]
        # by label: whether it is a figure's
        lifeless = np.repeat([not person.alive for person in clip.people], PARTS_PER_PERSON)
        self.lifeless = np.zeros(256, bool)
        self.lifeless[1 : 1 + len(lifeless)] = lifeless

    def render(self, number: int) -> Frame:
        """Frame `number` (at 30 FPS), the same whenever and wherever it is rendered."""
        seconds, clip = number / FPS, self.clip
        matrix = camera_matrix(clip.camera, seconds, self.size, self.phase)
        canvas = Canvas(view(self.backdrop, matrix, self.size))
        for distractor in self.distractors[::2]:
            distractor.paint(canvas, seconds)
        camera = self._in_frame(matrix)
        joints = [self._paint(canvas, i, seconds, camera) for i in range(len(clip.people))]
        for distractor in self.distractors[1::2]:
            distractor.paint(canvas, seconds)
        self._foreground(canvas)
        of_figures = self.lifeless[canvas.labels]
        labels, figures = canvas.labels * ~of_figures, canvas.labels * of_figures
        return Frame(self._finish(canvas.colour, number), labels, joints, figures, camera)

    def _in_frame(self, matrix: np.ndarray) -> np.ndarray:
        """`Frame.camera` of a camera's map from frame to backdrop."""
        if not self.clip.anchored:
            return np.eye(2, 3)
        rest = camera_matrix("still", 0.0, self.size, self.phase)
        return _after(cv2.invertAffineTransform(matrix), rest)

    def _paint(
        self, canvas: Canvas, index: int, seconds: float, camera: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Paints a person or figure with what belongs to it; its joints in the frame."""
        person, motion = self.clip.people[index], self.motions[index]
        height = person.height * self.size[0]
        joints = pose(motion, seconds, height, self.size)
        if self.clip.anchored:
            joints = {name: camera @ [*point, 1.0] for name, point in joints.items()}
            height *= np.sqrt(np.linalg.det(camera[:, :2]))
        if self.boards[index] is not None:
            self.boards[index].paint(canvas, person, self.size, camera)
        paint_person(canvas, joints, self.looks[index], height, index)
        if person.holds:
            self._prop(canvas, joints["left wrist"], height)
        return joints

    def _prop(self, canvas: Canvas, wrist: np.ndarray, height: float) -> None:
        box = wrist + np.array([[-0.5, -1], [0.5, -1], [0.5, 0.35], [-0.5, 0.35]]) * 0.09 * height
        canvas.fill(box, self.prop, 0, box[[0, 1, 3]])

    def _foreground(self, canvas: Canvas) -> None:
        height, width = self.size
        if self.clip.desk is not None:
            top = self.clip.desk * height
            box = np.array(
                [[-9.0, top], [width + 9, top + 12], [width + 9, height + 9], [-9, height + 9]]
            )
            canvas.fill(box, self.desk, 0, box[[0, 1, 3]])
        if self.clip.pole:
            x = width * (0.3 + 0.4 * (self.phase / (2 * np.pi)))
            canvas.limb(
                np.array([x, -20.0]),
                np.array([x + 30, height + 20.0]),
                0.018 * height,
                0.02 * height,
                self.desk,
                0,
            )

    def _finish(self, colour: np.ndarray, number: int) -> np.ndarray:
        """Light, sensor noise, subtitle."""
        seconds = number / FPS
        image = colour.astype(np.float32)
        if self.clip.spotlights:
            image = image * self._light(seconds)
        image *= 1 + 0.03 * np.sin(5.0 * seconds + self.phase)
        shift = np.random.default_rng((self.clip.seed, number)).integers(0, 256, 2)
        noise = np.roll(self.noise, shift, (0, 1))
        tiles = [-(-side // 256) for side in self.size]
        image += np.tile(noise, (*tiles, 1))[: self.size[0], : self.size[1]]
        image = np.clip(image, 0, 255).astype(np.uint8)
        if self.clip.subtitle:
            _subtitle(image, self.clip.subtitle)
        return image

    def _light(self, seconds: float) -> np.ndarray:
        """Coloured spotlights that wander; (H, W, 3), computed coarsely and enlarged."""
        coarse = [side // 16 for side in self.size]
        v, u = np.mgrid[0 : coarse[0], 0 : coarse[1]] / np.array(coarse)[:, None, None]
        light = np.full((*coarse, 3), 0.62, np.float32)
        for (x, y), rate, tint in zip(*self.lights, strict=True):
            cx, cy = x + 0.25 * np.sin(rate * seconds * 2), y + 0.15 * np.cos(rate * seconds * 1.7)
            light += np.exp(-((u - cx) ** 2 + (v - cy) ** 2) / 0.03)[..., None] * tint * 0.55
        return cv2.resize(light.astype(np.float32), self.size[::-1], interpolation=cv2.INTER_LINEAR)


class _Distractor:
    """Something that moves and is no person."""

    def __init__(self, kind: str, size: tuple[int, int], rng: np.random.Generator) -> None:
        self.kind, self.size = kind, size
        self.paints = [
            cloth(rng.uniform(10, 245, 3), PATTERNS[rng.integers(len(PATTERNS))], rng)
            for _ in range(3)
        ]
        self.at, self.swing = rng.uniform((0.08, 0.25), (0.92, 0.85)), rng.uniform(0.05, 0.2, 2)
        self.rate, self.phase = rng.uniform(0.6, 1.6), rng.uniform(0, 6.28)
        self.scale = rng.uniform(0.7, 1.3)

    def paint(self, canvas: Canvas, seconds: float) -> None:
        turn = self.rate * seconds * 2 + self.phase
        centre = (self.at + self.swing * np.array([np.sin(turn), np.cos(0.7 * turn)])) * self.size[
            ::-1
        ]
        unit = min(self.size) * 0.1 * self.scale
        getattr(self, "_" + self.kind)(canvas, centre, unit, turn)

    def _ball(self, canvas: Canvas, centre: np.ndarray, unit: float, turn: float) -> None:
        canvas.ellipse(centre, (unit * 0.6, unit * 0.6), turn, self.paints[0], 0)

    def _box(self, canvas: Canvas, centre: np.ndarray, unit: float, turn: float) -> None:
        cos, sin = np.cos(turn / 3), np.sin(turn / 3)
        box = (
            np.array([[-1, -0.7], [1, -0.7], [1, 0.7], [-1, 0.7]])
            @ np.array([[cos, sin], [-sin, cos]])
            * unit
            + centre
        )
        canvas.fill(box, self.paints[0], 0, box[[0, 1, 3]])

    def _creature(self, canvas: Canvas, centre: np.ndarray, unit: float, turn: float) -> None:
        """Four legs, a long body, a head: limbs that swing, as a person's do."""
        body = np.array([unit * 1.1, 0])
        for i, end in enumerate((-body, -body * 0.8, body * 0.8, body)):
            foot = centre + end + unit * np.array([0.45 * np.sin(2 * turn + i * 1.7), 1.25])
            canvas.limb(centre + end, foot, unit * 0.22, unit * 0.12, self.paints[0], 0)
        canvas.limb(centre - body, centre + body, unit * 0.45, unit * 0.5, self.paints[0], 0)
        head = centre + body * 1.45 + unit * np.array([0.1, -0.5 + 0.15 * np.sin(turn)])
        canvas.ellipse(head, (unit * 0.42, unit * 0.3), 0.2, self.paints[1], 0)

    def _robot(self, canvas: Canvas, centre: np.ndarray, unit: float, turn: float) -> None:
        """A jointed arm on a base."""
        elbow = centre + unit * 1.6 * np.array(
            [np.sin(0.8 * np.sin(turn)), -np.cos(0.8 * np.sin(turn))]
        )
        bend = 1.4 * np.sin(1.3 * turn)
        tip = elbow + unit * 1.4 * np.array([np.sin(bend), -np.cos(bend)])
        canvas.limb(centre, elbow, unit * 0.25, unit * 0.2, self.paints[0], 0)
        canvas.limb(elbow, tip, unit * 0.2, unit * 0.14, self.paints[1], 0)
        canvas.ellipse(centre, (unit * 0.6, unit * 0.4), 0.0, self.paints[2], 0)


@dataclass(frozen=True)
class _Board:
    """A flat thing that stands where a person began, rigid with the scene.

    Attributes:
        texture: its paint.
        half: (width, height) of its half, in heights of the person.
    """

    texture: np.ndarray
    half: np.ndarray

    def paint(
        self, canvas: Canvas, person: Person, frame: tuple[int, int], camera: np.ndarray
    ) -> None:
        """Paints it into a frame of (height, width) pixels."""
        unit = person.height * frame[0]
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * self.half * unit
        corners = corners + np.array(person.at) * frame[::-1]
        box = corners @ camera[:, :2].T + camera[:, 2]
        canvas.fill(box, self.texture, 0, box[[0, 1, 3]])


def _board(rng: np.random.Generator) -> _Board:
    texture = cloth(rng.uniform(20, 235, 3), PATTERNS[rng.integers(len(PATTERNS))], rng)
    return _Board(texture, rng.uniform((0.25, 0.4), (0.45, 0.6)))


def _after(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The affine map (2, 3) that does `first`, then `second`."""
    return second @ np.vstack([first, [0.0, 0.0, 1.0]])


def _subtitle(image: np.ndarray, text: str) -> None:
    """White text with a dark rim near the bottom; it covers people, not their mask."""
    height, width = image.shape[:2]
    scale = width / 1280 * 1.4
    (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 3)
    where = ((width - wide) // 2, int(height * 0.93))
    cv2.putText(image, text, where, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 8, cv2.LINE_AA)
    cv2.putText(
        image, text, where, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 3, cv2.LINE_AA
    )


__all__ = ["FPS", "Frame", "Look", "Motion", "Person", "Scene", "SceneScript"]
