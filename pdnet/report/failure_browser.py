"""The scored frames as a table to search in: filters, sorting, a frame's errors and its neighbours.

It is HTML that holds its pictures and its script, so the page of the report needs no Jupyter and no
network; without scripts it is still a table.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from pdnet.data.fit import resized
from pdnet.data.images import read_frame, read_mask
from pdnet.data.layout import Clip, read_tree
from pdnet.data.overlays import overlay_errors
from pdnet.errors import InputError
from pdnet.metrics.evaluator import read_prediction
from pdnet.metrics.region_contour import frame_scores
from pdnet.report.browser_script import SCRIPT, STYLE

THUMBNAIL, OVERLAY = 96, 320  # pixels of a picture's long side
MOST_ROWS = 400  # of the table, worst first: 1.5 MB of thumbnails
MOST_OVERLAYS = 30  # frames with their errors and those of their neighbours: 3 MB with two sets
QUALITY = 72  # of the JPEGs
KINDS = ("missed", "false", "boundary")
PER_CENT = ("J&F", "J", "F", *KINDS, "motion", "size")
RANGES = {"J": "J (%)", "motion": "motion (%)", "size": "size of people (% of the frame)"}
TITLES = {"kind": "mostly", "people": "people", "other": "J&F of B", "gain": "A less B"}


@dataclass(frozen=True)
class MaskSet:
    """A set of masks: what it is called, and its folder `<clip>/<frame>.png`."""

    name: str
    folder: Path


def browser_table(
    frames: pd.DataFrame, data: Path, other: MaskSet | None = None, set_name: str = "val"
) -> pd.DataFrame:
    """The worst frames first: what `frame_table` knows of them, the kind of most of the error, and
    J&F of a second set of masks.

    Args:
        frames: of `frame_table`.
        data: working copy.
        other: masks to set against those of `frames`.
        set_name: split.

    Returns:
        `MOST_ROWS` rows at most, with `kind` and, where there is another set, `other` (its J&F)
            and `gain` (J&F less that), in shares.
    """
    table = frames.sort_values(["J&F", "clip", "frame"]).head(MOST_ROWS).reset_index(drop=True)
    table["kind"] = table[list(KINDS)].idxmax(axis=1)
    if other is not None:
        clips = {clip.name: clip for clip in read_tree(data).clips(set_name)}
        keys = zip(table["clip"], table["frame"], strict=True)
        table["other"] = [_score(other, clips[name], stem) for name, stem in keys]
        table["gain"] = table["J&F"] - table["other"]
    return table


def _score(masks: MaskSet, clip: Clip, stem: str) -> float:
    truth = read_mask(clip.mask(stem))
    return sum(frame_scores(_found(masks, clip, stem, truth), truth)) / 2


def _found(masks: MaskSet, clip: Clip, stem: str, truth: np.ndarray) -> np.ndarray:
    return read_prediction(masks.folder / clip.name / f"{stem}.png", truth.shape, None)


def given_masks(folder: Path | str | None) -> MaskSet | None:
    """A second set of masks; None where none is given or the folder is not there."""
    if folder is None or not Path(folder).is_dir():
        return None
    path = Path(folder)
    inner = path.name == "predictions"
    return MaskSet(path.parent.name if inner else path.name, path)


def browser_html(
    table: pd.DataFrame,
    data: Path,
    ours: MaskSet,
    other: MaskSet | None = None,
    set_name: str = "val",
) -> str:
    """The browser as HTML, the same bytes for the same masks.

    Args:
        table: of `browser_table`.
        data: working copy.
        ours, other: the masks of `frame_table`, and those set against them.
        set_name: split.

    Raises:
        InputError: the table is empty, or a frame or mask cannot be read.
    """
    if table.empty:
        raise InputError(f"{data}: no scored frame in the split '{set_name}'")
    clips = {clip.name: clip for clip in read_tree(data).clips(set_name)}
    sets = {"A": ours} if other is None else {"A": ours, "B": other}
    columns = ["clip", "frame", "J&F", "J", "F", "kind", *KINDS, "motion", "size", "people"]
    columns += ["other", "gain"] if other is not None else []
    rows = [_row(row, columns, clips[row["clip"]], ours) for row in table.to_dict("records")]
    head = "".join(f"<th><button type=button>{_title(name)}</button></th>" for name in columns)
    legend = "; ".join(f"{key}: {html.escape(masks.name)}" for key, masks in sets.items())
    parts = [
        f"<div class=failure-browser><style>{STYLE}</style>",
        f"<p>{legend}. Green is a hit, orange was missed, pink is no person. Click on a row for "
        "its errors and the frames before and after it; click on a column's title to sort.</p>",
        f"<form hidden>{_filters(table)}<output></output></form>",
        f"<div class=rows><table><thead><tr><th></th>{head}</tr></thead>",
        f"<tbody>{''.join(rows)}</tbody></table></div>",
        "<div class=detail aria-live=polite></div>",
        f"<div class=store hidden>{''.join(_overlays(table, clips, sets))}</div></div>",
        f"<script>{SCRIPT}</script>",
    ]
    return "".join(parts)


def _title(column: str) -> str:
    title = TITLES.get(column, column)
    return html.escape(f"{title} (%)" if column in (*PER_CENT, "other") else title)


def _filters(table: pd.DataFrame) -> str:
    fields = []
    for column, title in (("clip", "clip"), ("kind", "mostly"), ("people", "people")):
        values = sorted(table[column].unique())
        options = "".join(f"<option>{_cell(column, value)}</option>" for value in values)
        fields.append(
            f"<label>{title} <select name={column}><option value=''>all</option>{options}</select>"
            "</label>"
        )
    for column, title in RANGES.items():
        bounds = [
            f"<input type=number name={column} data-bound={bound} min=0 max=100 step=any "
            f"aria-label='{title}, {said}' placeholder='{said}'>"
            for bound, said in (("least", "from"), ("most", "to"))
        ]
        fields.append(f"<label>{title} {''.join(bounds)}</label>")
    fields.append("<button type=reset>all frames</button>")
    return "".join(fields)


def _cell(column: str, value: object) -> str:
    """A value as the table shows it and as the script compares it."""
    if column in (*PER_CENT, "other", "gain"):
        return f"{100 * value:.1f}"
    return f"{value:.0f}" if column == "people" else html.escape(str(value))


def _row(row: Mapping, columns: list[str], clip: Clip, ours: MaskSet) -> str:
    values = {name: _cell(name, row[name]) for name in columns}
    cells = "".join(f'<td data-column="{name}">{value}</td>' for name, value in values.items())
    key = html.escape(f"{clip.name}/{row['frame']}")
    alt = f"errors of A in {key}: J&amp;F {values['J&F']}, mostly {values['kind']}"
    picture = _picture(_errors(ours, clip, row["frame"]), THUMBNAIL, alt)
    near = _neighbours(clip, row["frame"])
    frames = "\t".join(f"{clip.name}/{stem}" for stem in near)
    return (
        f'<tr data-key="{key}" data-frames="{html.escape(frames)}"><td>'
        f'<button type=button class=open aria-label="show {key}">{picture}</button></td>'
        f"{cells}</tr>"
    )


def _neighbours(clip: Clip, stem: str) -> tuple[str, ...]:
    """The annotated frames before, at and after a frame."""
    at = clip.frames.index(stem)
    return clip.frames[max(0, at - 1) : at + 2]


def _overlays(
    table: pd.DataFrame, clips: Mapping[str, Clip], sets: Mapping[str, MaskSet]
) -> Iterable[str]:
    """The errors of the worst frames and of their neighbours, each once."""
    wanted: dict[tuple[str, str], None] = {}
    for row in table.head(MOST_OVERLAYS).to_dict("records"):
        for stem in _neighbours(clips[row["clip"]], row["frame"]):
            wanted[row["clip"], stem] = None
    for name, stem in wanted:
        for key, masks in sets.items():
            alt = html.escape(f"errors of {key} ({masks.name}) in {name}/{stem}")
            picture = _picture(_errors(masks, clips[name], stem), OVERLAY, alt)
            said = html.escape(f"{key}, frame {stem}")
            yield (
                f'<figure data-of="{html.escape(name)}/{stem}" data-set={key}>{picture}'
                f"<figcaption>{said}</figcaption></figure>"
            )


def _errors(masks: MaskSet, clip: Clip, stem: str) -> np.ndarray:
    frame, truth = read_frame(clip.frame(stem)), read_mask(clip.mask(stem))
    return overlay_errors(frame, _found(masks, clip, stem, truth), truth)


def _picture(picture: np.ndarray, side: int, alt: str) -> str:
    share = side / max(picture.shape[:2])
    size = (round(picture.shape[0] * share), round(picture.shape[1] * share))
    small = cv2.cvtColor(resized(picture, size), cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    code = base64.b64encode(data).decode()
    return f'<img src="data:image/jpeg;base64,{code}" alt="{alt}" width={size[1]} height={size[0]}>'
