"""The way into the pages: scores, what they say, and every page with a picture of it."""

from __future__ import annotations

import base64
import html
from pathlib import Path

import cv2
import pandas as pd

from pdnet.base.files import file_hash, need, write_text
from pdnet.data.images import read_frame
from pdnet.data.layout import SCORED_ON, data_hash
from pdnet.report.report import in_words

# page -> what it shows, and the figure that stands for it, below reports/
PAGES = {
    "report": ("Scores, best and worst clips, every clip as a video", "figures/report/best.png"),
    "dataset": ("What is in the data, and how hard it is", "figures/dataset/examples.png"),
    "parts": ("The parts that the network found by itself", "figures/parts/over-time.png"),
    "explore": ("One clip, two networks, every layer", "figures/explore/layers.png"),
    "failures": ("Where the network fails, and what failures share", "figures/failures/worst.png"),
    "ablations": ("Tables 3 to 5, the imbalance experiment", "figures/ablations/imbalance.png"),
    "study": ("Recorded: whole trainings where looks cannot decide", "figures/study/scores.png"),
    "comparison": ("PDNet beside other interactions", "figures/comparison/frames.png"),
    "people": ("Clips and photographs beside public tools", "figures/people/frames.png"),
    # without a picture: it would be another each time
    "runs": ("What differs from run to run: learning curves, speed", ""),
}
THUMBNAIL = (320, 180)  # pixels, width and height
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2em auto; padding: 0 1em; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); gap: 1.5em; }
a { color: #016195; } main img { width: 320px; height: 180px; border: 1px solid #ccc; }
table { border-collapse: collapse; } td, th { padding: 0.2em 1em 0.2em 0; text-align: left; }
"""


def write_index(
    reports: Path, results: Path, *, data: Path, checkpoint: Path, profile: str
) -> Path:
    """Writes `index.html` into `reports`, the same whenever the results are; a page that is not
    there, or has no picture, is left out or stands without one.

    Args:
        reports: folder of the pages and their figures.
        results: of the evaluation, with the tables.
        data: working copy, whose hash is named.
        checkpoint: likewise.
        profile: in the heading.

    Raises:
        InputError: the results are not there.
    """
    scores = pd.read_csv(need(results / "methods.csv")).set_index("method")
    rows = []
    for method, row in scores.iterrows():
        values = (f"<td>{100 * row[name]:.1f}</td>" for name in ("J&F-Mean", "J-Mean", "F-Mean"))
        rows.append(f"<tr><th>{html.escape(str(method))}</th>{''.join(values)}</tr>")
    said = [in_words(results, profile), need(results / "tables/conclusion.txt").read_text()]
    cards = [_card(reports, name) for name in PAGES if (reports / f"{name}.html").is_file()]
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>PDNet, {html.escape(profile)}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;
style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<style>{STYLE}</style></head><body>
<h1>PDNet on the profile <code>{html.escape(profile)}</code></h1>
<table><tr><th></th><th>J&amp;F (%)</th><th>J</th><th>F</th></tr>
{"".join(rows)}</table>
{"".join(f"<p>{html.escape(one.strip())}</p>" for one in said)}
<main>{"".join(cards)}</main>
<p>Evaluation clips and their truth: <code>{data_hash(data, SCORED_ON)[:16]}</code>; checkpoint:
<code>{html.escape(checkpoint.name)}</code>, <code>{file_hash(need(checkpoint))[:16]}</code> (the
beginning of their SHA-256). Commit, dates and machine: page <a href="runs.html">runs</a> and
MLflow, since they differ from run to run.</p>
</body></html>
"""
    write_text(reports / "index.html", text)
    return reports / "index.html"


def navigation(own: str) -> str:
    """A line of links to the other pages, HTML."""
    links = [f'<a href="{name}.html">{name}</a>' for name in ("index", *PAGES) if name != own]
    return f'<nav style="padding: 0.5em 1em">{" · ".join(links)}</nav>'


def _card(reports: Path, name: str) -> str:
    what, figure = PAGES[name]
    picture = ""
    if (reports / figure).is_file():
        image = read_frame(reports / figure)
        scale = max(THUMBNAIL[0] / image.shape[1], THUMBNAIL[1] / image.shape[0])
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        small = small[: THUMBNAIL[1], : THUMBNAIL[0], ::-1]  # OpenCV writes blue first
        content = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
        source = base64.b64encode(content).decode()
        picture = f'<img alt="a figure of the page {name}" src="data:image/jpeg;base64,{source}">'
    return (
        f'<section><a href="{name}.html">{picture}<br><b>{name}</b></a><br>{html.escape(what)}'
        "</section>"
    )
