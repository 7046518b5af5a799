"""One look for every figure, strips of frames, and figures as files."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from pdnet.base.files import write_atomically

if TYPE_CHECKING:
    from IPython.display import HTML

matplotlib.rcParams.update({"svg.hashsalt": "pdnet", "figure.dpi": 100, "savefig.bbox": "tight"})


def save(figure: Figure, folder: Path | str | None, name: str, *, alt: str) -> HTML:
    """A figure as a picture for the notebook; with a folder also as `name.png` and `name.svg`.

    The same figure gives the same bytes. The picture is the PNG itself: whether Jupyter draws a
    bare `Figure` depends on what was drawn before. It is HTML, since neither JupyterLab nor
    nbconvert's page show the words that a picture carries.

    Args:
        figure: to show.
        folder: to write to; None writes nothing.
        name: of the files.
        alt: what it shows in words, for who cannot see it.
    """
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png")
    if folder is not None:
        # no date in the file: the same figure is the same bytes
        figure.savefig(svg, format="svg", metadata={"Date": None})
        for suffix, content in (("png", png), ("svg", svg)):
            path = Path(folder) / f"{name}.{suffix}"
            write_atomically(
                path, lambda temporary, content=content: temporary.write_bytes(content.getvalue())
            )
    return picture(png.getvalue(), alt)


def picture(content: bytes, alt: str, kind: str = "png") -> HTML:
    """A picture's file for the notebook, with what it shows in words."""
    from IPython.display import HTML

    code, said = base64.b64encode(content).decode(), html.escape(alt, quote=True)
    shown = f"data:image/{kind};base64,{code}"
    return HTML(f'<img alt="{said}" style="max-width: 100%" src="{shown}">')


def say(value: Any) -> Any:
    """A sentence as prose, anything else as it is: a notebook shows a bare string in quotes."""
    from IPython.display import Markdown

    return Markdown(value) if isinstance(value, str) else value


def style() -> None:
    """One look for every figure."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind")


def tile(
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str],
    labels: Sequence[str],
    *,
    height: float = 2.1,
) -> Figure:
    """A table of pictures with column titles and row labels."""
    columns = len(titles)
    figure = Figure(
        figsize=(columns * height * 1.6, len(rows) * height + 0.3), layout="constrained"
    )
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for row, (pictures, label) in enumerate(zip(rows, labels, strict=True)):
        for column, picture in enumerate(pictures):
            axis = axes[row, column]
            axis.imshow(picture)
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            if row == 0:
                axis.set_title(titles[column])
            if column == 0:
                axis.set_ylabel(label, fontsize=9)
    return figure
