"""What the explorer shows, for a page that nobody can click on."""

from __future__ import annotations

from matplotlib.figure import Figure

from pdnet.report.clip_outputs import LONG_SIDE, gaze, surest_pixel
from pdnet.report.explore import Explorer
from pdnet.report.figures import tile
from pdnet.report.layers import draw_arrows, draw_pixel, gaze_sheet, layer_picture, part_motion

STILL_LAYERS = ("mask", "errors", "parts", "probability")


def still_figure(explorer: Explorer) -> Figure:
    """Every layer of the frame, a row a network; the arrows are the parts' motion."""
    pictures, index = explorer.pictures, explorer.slider.value
    rows, labels = [], []
    for side in explorer.sides:
        row = [layer_picture(layer, pictures, side.outputs, index) for layer in STILL_LAYERS]
        if side.outputs.part_masks:
            motion = part_motion(side.outputs.part_masks[index], pictures.flows[index])
            draw_arrows(row[STILL_LAYERS.index("parts")], motion)
        rows.append(row)
        labels.append(f"{side.name}: {side.title}")
    return tile(rows, STILL_LAYERS, labels)


def gaze_figure(explorer: Explorer) -> Figure:
    """Where the surest pixel of each network with parts looks in the clip's first frame."""
    index, reference = explorer.slider.value, explorer.pictures.frames[0]
    sides = [side for side in explorer.sides if side.outputs.attention is not None]
    figure = Figure(figsize=(12, 3.2 * len(sides) + 0.5), layout="constrained")
    for number, side in enumerate(sides):
        at = surest_pixel(side.outputs, index)
        target = explorer.pictures.frames[index].copy()
        draw_pixel(target, at)
        weights, own = gaze(side.outputs, index, at)
        sheet = gaze_sheet(reference, weights, own, width=2 * LONG_SIDE)
        for place, picture in enumerate((target, sheet)):
            axis = figure.add_subplot(len(sides), 2, 2 * number + place + 1)
            axis.imshow(picture)
            axis.axis("off")
            axis.set_title((f"{side.name}: the pixel", "where it looks")[place], fontsize=9)
    return figure


def curve_figure(explorer: Explorer) -> Figure:
    """J and F of both networks over the clip."""
    picture = explorer.curve.at(explorer.slider.value)
    figure = Figure(figsize=(picture.shape[1] / 100, picture.shape[0] / 100))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.imshow(picture)
    axis.axis("off")
    return figure
