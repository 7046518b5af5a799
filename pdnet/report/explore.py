"""The explorer: a clip, two networks side by side, every layer, and where a pixel looks."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path

import ipywidgets
from ipyevents import Event

from pdnet.errors import InputError
from pdnet.report.checkpoints import checkpoints_at_hand, the_checkpoint
from pdnet.report.clip_outputs import LONG_SIDE, ClipOutputs, ClipPictures, gaze
from pdnet.report.explore_side import Side, WordedImage
from pdnet.report.layers import (
    ARROW,
    LAYERS,
    OF_PARTS,
    Curve,
    draw_arrows,
    draw_pixel,
    gaze_sheet,
    jpeg,
    layer_picture,
    part_motion,
    png,
)
from pdnet.report.library import Library

PLAY_STEP = 250  # milliseconds from frame to frame; a move takes less
NOTES = {
    "mask": "the predicted mask",
    "errors": "green hit, orange missed, pink no person",
    "parts": "a colour a part",
    "one part": "bright where the part is",
    "true parts": "the body parts that were rendered",
    "probability": "bright where the network sees a person",
    "frame": "the bare frame",
}


class Explorer:
    """Widgets to look at a clip with two networks; `box` is what a notebook shows.

    Args:
        data: an MVPS tree.
        models, results: where trainings left their checkpoints.
        threshold, people: how probabilities become masks, see `Library`.
        set_name, clip, frame: what to begin with; None takes the split's first clip and its middle
            frame.
        first, second: titles or paths of the checkpoints to begin with, see `the_checkpoint`.

    Raises:
        InputError: no such tree, clip or checkpoint; those that there are are listed.
    """

    def __init__(
        self,
        data: Path,
        models: Path,
        results: Path,
        *,
        threshold: float = 0.5,
        people: str = "all",
        set_name: str = "val",
        clip: str | None = None,
        frame: int | None = None,
        first: str | None = None,
        second: str | None = None,
    ) -> None:
        self.library = Library(data, threshold=threshold, people=people)
        at_hand = checkpoints_at_hand(models, results)
        chosen = (the_checkpoint(first, at_hand, 0), the_checkpoint(second, at_hand, 1))
        self.sides = [Side(name, at_hand, path) for name, path in zip("AB", chosen, strict=True)]
        if clip is not None:
            set_name = self.library.set_of(clip)
        if set_name not in self.library.sets:
            raise InputError(
                f"{data}: no split '{set_name}'; known: {', '.join(self.library.sets)}"
            )
        self.pictures: ClipPictures | None = None
        self.curve: Curve | None = None
        self.pixel: tuple[float, float] | None = None
        self._make_controls(set_name, clip)
        self._arrange()
        self._listen()
        self.load(frame)

    def _make_controls(self, set_name: str, clip: str | None) -> None:
        self.split = ipywidgets.Dropdown(
            options=list(self.library.sets), value=set_name, description="split"
        )
        names = self._clip_names()
        self.clip = ipywidgets.Dropdown(options=names, value=clip or names[0], description="clip")
        self.layer = ipywidgets.Dropdown(options=LAYERS, value="parts", description="layer")
        self.part = ipywidgets.Dropdown(options=[("1", 0)], value=0, description="part")
        self.arrows = ipywidgets.Checkbox(
            value=False, description=f"motion of each part (x{ARROW})", indent=False
        )
        self.slider = ipywidgets.IntSlider(
            description="frame", readout=False, layout=ipywidgets.Layout(width="600px")
        )
        self.play = ipywidgets.Play(interval=PLAY_STEP, description="play")
        self.stem = ipywidgets.Label()
        self.forget = ipywidgets.Button(
            description="forget the pixel", layout=ipywidgets.Layout(width="auto")
        )
        self.curve_picture = WordedImage(format="png")
        self.status = ipywidgets.HTML()

    def _arrange(self) -> None:
        rows = [
            ipywidgets.HBox([self.split, self.clip, self.layer, self.part, self.arrows]),
            ipywidgets.HBox([self.play, self.slider, self.stem, self.forget]),
            self.status,
            ipywidgets.HBox([side.box for side in self.sides]),
            self.curve_picture,
        ]
        self.box = ipywidgets.VBox(rows)

    def _listen(self) -> None:
        ipywidgets.jslink((self.play, "value"), (self.slider, "value"))
        self.split.observe(lambda _: self._new_split(), "value")
        for widget in (self.clip, *(side.choice for side in self.sides)):
            widget.observe(lambda _: self.load(), "value")
        for widget in (self.slider, self.layer, self.part, self.arrows):
            widget.observe(lambda _: self.draw(), "value")
        for side in self.sides:
            side.file.observe(lambda _, side=side: self._new_file(side), "value")
            self._on_click(side.picture, self.look_from)
        self._on_click(self.curve_picture, lambda x, _: self._go_to(x))
        self.forget.on_click(lambda _: self._look_at(None))

    def _on_click(self, picture: WordedImage, then: Callable[[float, float], None]) -> None:
        """Calls `then(x, y)` with the place of a click in shares of the picture's sides."""

        def clicked(event: dict) -> None:
            width, height = event["boundingRectWidth"], event["boundingRectHeight"]
            then(event["relativeX"] / max(width, 1), event["relativeY"] / max(height, 1))

        Event(source=picture, watched_events=["click"]).on_dom_event(clicked)

    def _clip_names(self) -> list[str]:
        return [clip.name for clip in self.library.sets[self.split.value]]

    def _new_split(self) -> None:
        # the first clip of the split is chosen by the list itself, which loads it
        self.clip.options = self._clip_names()

    def _new_file(self, side: Side) -> None:
        if not side.file.value.strip():
            return
        try:
            side.add_file()
        except InputError as error:
            self._say(str(error))

    def _say(self, text: str) -> None:
        self.status.value = html.escape(text)

    def _go_to(self, share: float) -> None:
        if self.curve is not None:
            self.slider.value = self.curve.nearest(share)

    def look_from(self, x: float, y: float) -> None:
        """Shows where a pixel looks, (x, y) in shares of width and height."""
        self._look_at((x, y))

    def _look_at(self, pixel: tuple[float, float] | None) -> None:
        self.pixel = pixel
        self.draw()

    def load(self, frame: int | None = None) -> None:
        """Computes what is not kept yet of the chosen clip and networks, and shows it.

        Args:
            frame: to show; None stays where the slider is, or takes the middle of another clip.
        """
        name = self.clip.value
        try:
            pictures = self.library.pictures(name)
            found = [self._outputs(side, name) for side in self.sides]
        except InputError as error:
            self._say(str(error))
            return
        self._say("")
        another = self.pictures is None or self.pictures.clip.name != name
        self.pictures = pictures
        for side, outputs in zip(self.sides, found, strict=True):
            side.outputs = outputs
        scores = {side.name: (side.outputs.j, side.outputs.f) for side in self.sides}
        self.curve = Curve(scores, pictures.clip.frames, (190, 2 * LONG_SIDE))
        self._offer_parts()
        count = len(pictures.frames)
        if another:
            self.pixel = None
            frame = count // 2 if frame is None else min(max(frame, 0), count - 1)
        self._move_to(count, frame)
        self.draw()

    def _outputs(self, side: Side, name: str) -> ClipOutputs:
        def report(done: int, count: int) -> None:
            self._say(f"{side.name} ({side.title}): frame {done} of {count}")

        return self.library.outputs(name, side.choice.value, report)

    def _offer_parts(self) -> None:
        with_parts = [side.outputs.part_masks for side in self.sides if side.outputs.part_masks]
        most = max([1, *(len(masks[0]) for masks in with_parts)])
        if len(self.part.options) != most:
            self.part.options = [(str(k + 1), k) for k in range(most)]

    def _move_to(self, count: int, frame: int | None) -> None:
        # the range first, so that no value lies outside of it
        for widget in (self.slider, self.play):
            widget.min, widget.max = 0, count - 1
        if frame is not None:
            # both: in the browser the one sets the other
            self.play.value = self.slider.value = frame

    def draw(self) -> None:
        """Shows the frame that the slider is at."""
        pictures, index = self.pictures, self.slider.value
        if pictures is None or index >= len(pictures.frames):
            return
        self.stem.value = f"{pictures.clip.frames[index]} ({index + 1} of {len(pictures.frames)})"
        for side in self.sides:
            self._draw_side(side, index)
        self.curve_picture.value = png(self.curve.at(index))
        self.curve_picture.tooltip = (
            f"J and F of A and B over the clip; cursor at {self.stem.value}"
        )

    def _draw_side(self, side: Side, index: int) -> None:
        pictures, outputs, layer = self.pictures, side.outputs, self.layer.value
        picture = layer_picture(layer, pictures, outputs, index, part=self.part.value)
        if self.arrows.value and outputs.part_masks:
            draw_arrows(picture, part_motion(outputs.part_masks[index], pictures.flows[index]))
        if self.pixel is not None:
            draw_pixel(picture, self.pixel)
        side.picture.value = jpeg(picture)
        said = f"J {100 * outputs.j[index]:.1f}, F {100 * outputs.f[index]:.1f}"
        side.caption.value = html.escape(f"{side.name}: {said}; {self._note(outputs)}")
        side.picture.tooltip = f"{side.title}, {self.clip.value}, frame {self.stem.value}: {layer}"
        self._draw_gaze(side, index)

    def _note(self, outputs: ClipOutputs) -> str:
        """What the layer shows, or why it is not there."""
        layer = self.layer.value
        if layer in OF_PARTS and not outputs.part_masks:
            return "this network has no parts"
        if layer == "true parts" and not self.pictures.bodies:
            return "this clip has no true parts"
        return NOTES[layer]

    def _draw_gaze(self, side: Side, index: int) -> None:
        shown = self.pixel is not None and side.outputs.attention is not None
        side.gaze.layout.display = None if shown else "none"
        if not shown:
            none = self.pixel is not None
            side.gaze_caption.value = "no parts, so no attention" if none else ""
            return
        weights, own = gaze(side.outputs, index, self.pixel)
        strip = gaze_sheet(self.pictures.frames[0], weights, own, width=LONG_SIDE)
        side.gaze.value = png(strip)
        said = "where the pixel looks in the first frame, the part it belongs to most first"
        side.gaze_caption.value = side.gaze.tooltip = said
