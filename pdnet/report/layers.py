"""What lies on a frame when it is looked at: masks, errors, parts, motion; arrays in, arrays out.

The explorer draws them anew at every move of the slider, so nothing here makes a figure but
`Curve`, which does so once a clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pdnet.data.overlays import overlay_errors, overlay_mask, overlay_parts, part_palette
from pdnet.data.skeleton import PARTS
from pdnet.report.clip_outputs import ClipOutputs, ClipPictures

LAYERS = ("mask", "errors", "parts", "one part", "true parts", "probability", "frame")
OF_PARTS = ("parts", "one part")  # layers that a network without parts does not have
ARROW = 4  # times the motion: most of it is a few pixels from frame to frame
LEAST_SHARE = 0.01  # of a frame: of a smaller part the mean motion is noise
WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (230, 20, 20)
IN_A_ROW = 3  # pictures of where a pixel looks
TITLE = 22  # pixels of a line of text above a picture
JPEG_QUALITY = 85


def layer_picture(
    layer: str, pictures: ClipPictures, outputs: ClipOutputs, index: int, *, part: int = 0
) -> np.ndarray:
    """A frame with one layer, (h, w, 3) uint8; the bare frame where there is no such layer.

    Args:
        layer: one of `LAYERS`.
        pictures, outputs: of a clip, and of a network on it.
        index: of the frame.
        part: for the layer `one part`, from 0.
    """
    frame, probability = pictures.frames[index], outputs.probabilities[index]
    if layer == "mask":
        return overlay_mask(frame, outputs.masks[index])
    if layer == "errors":
        return overlay_errors(frame, outputs.masks[index], pictures.truths[index])
    if layer == "probability":
        return heated(frame, probability.astype(np.float32))
    if layer == "true parts" and pictures.bodies:
        return overlay_bodies(frame, pictures.bodies[index])
    if layer in OF_PARTS and outputs.part_masks:
        masks = outputs.part_masks[index]
        if layer == "parts":
            return overlay_parts(frame, masks, probability.astype(np.float32))
        return heated(frame, enlarged(masks[min(part, len(masks) - 1)], frame.shape[:2]))
    return frame.copy()


def enlarged(map_: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A (h', w') map of the part grid at the picture's size (h, w)."""
    return cv2.resize(map_, size[::-1], interpolation=cv2.INTER_LINEAR)


def heated(frame: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A frame in bright grey under a map in 0..1: the frame stays seen where the map is low.

    Args:
        frame: (h, w, 3) uint8 RGB.
        heat: (h, w) float32 in 0..1.
    """
    grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    bright = 115 + grey.astype(np.float32) * (140 / 255)
    level = np.clip(heat * 255, 0, 255).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_PLASMA), cv2.COLOR_BGR2RGB)
    weight = (0.85 * np.clip(heat, 0, 1))[..., None]
    return ((1 - weight) * bright + weight * colours).astype(np.uint8)


def overlay_bodies(frame: np.ndarray, bodies: np.ndarray) -> np.ndarray:
    """True body parts (h, w), -1 where nobody is, in a colour each."""
    colours = (part_palette(len(PARTS)) * 255).astype(np.float32)
    person = bodies >= 0
    picture = frame.astype(np.float32)
    picture[person] = 0.25 * picture[person] + 0.75 * colours[bodies[person]]
    return picture.astype(np.uint8)


def part_motion(part_masks: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Where each part is and how it moves on average.

    Args:
        part_masks: (p, h', w').
        flow: (h, w, 2), (x, y) since the frame before.

    Returns:
        (p, 5): centre (x, y) in shares of width and height, motion (x, y) in the flow's pixels,
            and the share of the frame that the part takes.
    """
    height, width = flow.shape[:2]
    v, u = np.mgrid[:height, :width].astype(np.float32)
    rows = []
    for part in part_masks:
        weight = enlarged(part, (height, width))
        total = max(float(weight.sum()), 1e-6)
        centre = [((u + 0.5) * weight).sum() / width, ((v + 0.5) * weight).sum() / height]
        moved = (flow.astype(np.float32) * weight[..., None]).sum((0, 1))
        rows.append([*(c / total for c in centre), *(moved / total), total / weight.size])
    return np.array(rows)


def draw_arrows(picture: np.ndarray, motion: np.ndarray) -> None:
    """Draws each part's motion on a picture, `ARROW` times as long, in the part's colour.

    Args:
        picture: (h, w, 3) uint8, changed.
        motion: of `part_motion`, in pixels of the picture.
    """
    height, width = picture.shape[:2]
    colours = (part_palette(len(motion)) * 255).astype(int).tolist()
    for (x, y, dx, dy, share), colour in zip(motion, colours, strict=True):
        if share < LEAST_SHARE:
            continue
        start = (round(x * width), round(y * height))
        end = (round(x * width + ARROW * dx), round(y * height + ARROW * dy))
        cv2.arrowedLine(picture, start, end, WHITE, 6, cv2.LINE_AA, tipLength=0.3)
        cv2.arrowedLine(picture, start, end, colour, 3, cv2.LINE_AA, tipLength=0.3)
        cv2.circle(picture, start, 4, colour, -1, cv2.LINE_AA)


def draw_pixel(picture: np.ndarray, at: tuple[float, float]) -> None:
    """Draws a ring round a pixel, (x, y) in shares of width and height, on a picture."""
    height, width = picture.shape[:2]
    centre = (round(at[0] * width), round(at[1] * height))
    cv2.circle(picture, centre, 9, WHITE, 4, cv2.LINE_AA)
    cv2.circle(picture, centre, 9, RED, 2, cv2.LINE_AA)


def gaze_pictures(reference: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """Where a pixel looks, a picture a part, each against its own brightest place.

    Args:
        reference: (h, w, 3) uint8 RGB, the clip's first frame.
        weights: (p, h', w') of `gaze`.
    """
    shares = [part / max(float(part.max()), 1e-12) for part in weights]
    return [heated(reference, enlarged(share, reference.shape[:2])) for share in shares]


def gaze_sheet(
    reference: np.ndarray, weights: np.ndarray, own: np.ndarray, *, width: int
) -> np.ndarray:
    """`gaze_pictures` in rows of three, the part that the pixel belongs to most first, each with
    its number, its colour and how much of the pixel belongs to it, (h, width, 3).

    Args:
        reference, weights: see `gaze_pictures`.
        own: (p,) in 0..1.
        width: of all, in pixels.
    """
    order = np.argsort(-own, kind="stable")
    each = width // min(IN_A_ROW, len(order))
    height = round(reference.shape[0] * each / reference.shape[1])
    # shrunk first: the parts are drawn on what is seen of them
    small = cv2.resize(reference, (each, height), interpolation=cv2.INTER_AREA)
    pictures = gaze_pictures(small, weights)
    colours = (part_palette(len(order)) * 255).astype(int).tolist()
    cells = [_titled(pictures[k], f"part {k + 1}: {100 * own[k]:.0f} %", colours[k]) for k in order]
    rows = [np.hstack(cells[i : i + IN_A_ROW]) for i in range(0, len(cells), IN_A_ROW)]
    white = {"constant_values": 255}
    return np.vstack([np.pad(r, ((0, 0), (0, width - r.shape[1]), (0, 0)), **white) for r in rows])


def _titled(picture: np.ndarray, text: str, colour: Sequence[int]) -> np.ndarray:
    """A picture under a line of text that a small square of a colour begins."""
    line = np.full((TITLE, picture.shape[1], 3), 255, np.uint8)
    cv2.rectangle(line, (2, 5), (14, 17), colour, -1)
    cv2.putText(line, text, (20, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, BLACK, 1, cv2.LINE_AA)
    return np.vstack([line, picture])


class Curve:
    """J and F over a clip as a picture with a cursor.

    Args:
        scores: a name -> its J and F, (n,) each in 0..1.
        stems: (n,) names of the frames.
        size: (height, width) in pixels.
    """

    def __init__(
        self,
        scores: Mapping[str, tuple[Sequence[float], Sequence[float]]],
        stems: Sequence[str],
        size: tuple[int, int] = (190, 2 * 560),
    ) -> None:
        figure = Figure(figsize=(size[1] / 100, size[0] / 100), dpi=100, layout="constrained")
        canvas, axis = FigureCanvasAgg(figure), figure.subplots()
        for number, (name, (j, f)) in enumerate(scores.items()):
            axis.plot(100 * np.array(j), color=f"C{number}", marker="o", ms=3, label=f"J, {name}")
            axis.plot(100 * np.array(f), color=f"C{number}", ls="--", label=f"F, {name}")
        step = max(1, len(stems) // 14)
        axis.set_xticks(range(0, len(stems), step), stems[::step], fontsize=8)
        axis.set(ylabel="J, F (%)", ylim=(-2, 102), xlim=(-0.5, len(stems) - 0.5))
        axis.grid(alpha=0.4)
        axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        canvas.draw()
        self._picture = np.asarray(canvas.buffer_rgba())[..., :3].copy()
        box = axis.get_window_extent()
        self._rows = (round(size[0] - box.y1), round(size[0] - box.y0))
        steps = np.column_stack([np.arange(len(stems)), np.zeros(len(stems))])
        self._columns = axis.transData.transform(steps)[:, 0]

    def at(self, index: int) -> np.ndarray:
        """The picture with the cursor at a frame, (h, w, 3) uint8."""
        picture, column = self._picture.copy(), round(float(self._columns[index]))
        top, bottom = self._rows
        picture[top:bottom, column - 1 : column + 1] = RED
        return picture

    def nearest(self, share: float) -> int:
        """The frame nearest to a place on the picture, in shares of its width."""
        return int(np.abs(self._columns - share * self._picture.shape[1]).argmin())


def jpeg(picture: np.ndarray) -> bytes:
    """(h, w, 3) uint8 RGB -> a JPEG."""
    how = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), how)[1].tobytes()


def png(picture: np.ndarray) -> bytes:
    """(h, w, 3) uint8 RGB -> a PNG, packed fast rather than small."""
    how = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), how)[1].tobytes()
