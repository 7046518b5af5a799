"""One of the explorer's two networks, as widgets."""

from __future__ import annotations

from pathlib import Path

import ipywidgets
from traitlets import Unicode

from pdnet.report.checkpoints import the_checkpoint
from pdnet.report.clip_outputs import LONG_SIDE, ClipOutputs


class WordedImage(ipywidgets.Image):
    """A picture whose `tooltip` says in words what it shows, for who cannot see it."""

    # the browser asks a widget with a tooltip for it, and draws nothing where it is not there
    description = Unicode("").tag(sync=True)


class Side:
    """One of the two networks: its choice, its picture, its caption, and where a pixel looks.

    Args:
        name: A or B.
        choices: title -> checkpoint.
        chosen: one of `choices`' values.
    """

    def __init__(self, name: str, choices: dict[str, Path], chosen: Path) -> None:
        self.name = name
        titles = {path: title for title, path in choices.items()}
        options = choices if chosen in titles else {**choices, str(chosen): chosen}
        self.choice = ipywidgets.Dropdown(
            options=list(options.items()), value=chosen, description=name, layout=_wide()
        )
        self.file = ipywidgets.Text(
            placeholder=f"or the path of a checkpoint for {name}, then Enter",
            continuous_update=False,
            layout=_wide(),
        )
        self.caption = ipywidgets.HTML()
        self.picture = WordedImage(format="jpeg", layout=_wide())
        self.gaze = WordedImage(format="png", layout=_wide())
        self.gaze_caption = ipywidgets.HTML()
        rows = [self.choice, self.file, self.caption, self.picture, self.gaze_caption, self.gaze]
        self.box = ipywidgets.VBox(rows)
        self.outputs = ClipOutputs()

    @property
    def title(self) -> str:
        """Of the network that is shown."""
        return self.choice.label

    def add_file(self) -> None:
        """Takes the file whose path was typed.

        Raises:
            InputError: no such file.
        """
        path = the_checkpoint(self.file.value.strip(), dict(self.choice.options))
        if path not in dict(self.choice.options).values():
            self.choice.options = (*self.choice.options, (str(path), path))
        self.choice.value = path


def _wide() -> ipywidgets.Layout:
    """As wide as a picture; a layout of its own, since one that is shared hides all its widgets."""
    return ipywidgets.Layout(width=f"{LONG_SIDE}px")
