"""Figure 9, Tables 3 to 5 and the imbalance experiment as pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdnet.base.files import need
from pdnet.data.images import read_frame, read_mask
from pdnet.data.layout import read_tree
from pdnet.data.overlays import overlay_errors, overlay_parts
from pdnet.errors import InputError
from pdnet.experiments.imbalance import flow_imbalance
from pdnet.experiments.names import NAMES
from pdnet.experiments.statistics import SIGNIFICANT, inside_clips, signed_rank
from pdnet.experiments.tables import imbalance_gains, read_variants
from pdnet.inference.people import masks
from pdnet.inference.segment import clip_segmenter
from pdnet.metrics.stability import flow_back
from pdnet.model.checkpoint import load_network
from pdnet.report.figures import style, tile

# tables whose note says more than how the variants were trained; that of Table 4 is Table 3's
NOTED = {
    "table3": "Tables 3 and 4",
    "table5": "Table 5",
    "imbalance": "Gain against the limbs' speed",
}


def bare_table(tables: Path, name: str) -> str:
    """A table of `results/tables` in Markdown, without its note."""
    return _halves(tables, name)[0]


def notes(tables: Path) -> str:
    """How the numbers of Tables 3, 4 and 5 and of the imbalance experiment came about, in Markdown,
    each thing once.
    """
    trained = _halves(tables, "control")[1]  # all that is to be said of that table
    lines = [f"- **All but Table 5.** {trained}"]
    for name, title in NOTED.items():
        note = _halves(tables, name)[1].removeprefix(trained).strip()
        lines.append(f"- **{title}.** {note}")
    return "\n".join(lines)


def _halves(tables: Path, name: str) -> tuple[str, str]:
    """A table and its note, as `write_table_files` has joined them."""
    table, _, note = need(tables / f"{name}.md").read_text().partition("\n\n")
    return table, note.strip()


def seeds_figure(variants: Path) -> Figure:
    """J&F of every variant: a dot a seed, the mean a bar."""
    rows = read_variants(variants, "clips")
    seeds = rows.groupby(["variant", "seed"])["J&F"].mean().mul(100).reset_index()
    seeds["variant"] = seeds.variant.map(lambda v: NAMES.get(v, v))
    order = seeds.groupby("variant")["J&F"].mean().sort_values(ascending=False).index
    style()
    figure, axis = plt.subplots(figsize=(8, 0.45 * len(order) + 1.2), layout="constrained")
    sns.stripplot(
        seeds,
        y="variant",
        x="J&F",
        order=order,
        hue="variant",
        hue_order=order,
        legend=False,
        jitter=False,
        ax=axis,
    )
    means = seeds.groupby("variant")["J&F"].mean().reindex(order)
    axis.scatter(means, range(len(order)), marker="|", s=500, color="black", zorder=3)
    axis.set(
        ylabel="", xlabel="J&F (%) on the evaluation clips; a dot is a seed, the bar their mean"
    )
    return figure


def losses_figure(
    data: Path,
    variants: Path,
    count: int = 3,
    *,
    threshold: float,
    people: str = "all",
    set_name: str = "val",
) -> Figure:
    """Figure 9: parts (upper rows) and errors (lower rows) of the networks of Table 3 on the same
    frames.
    """
    names = [
        n
        for n in ("geometric", "geometric-area", "full")
        if (variants / n / "pdnet.safetensors").is_file()
    ]
    networks = {name: load_network(variants / name / "pdnet.safetensors") for name in names}
    rows, labels = [], []
    for clip in read_tree(data).clips(set_name)[:count]:
        index = len(clip.frames) // 2
        frame, truth = (
            read_frame(clip.frame(clip.frames[index])),
            read_mask(clip.mask(clip.frames[index])),
        )
        upper, lower = [frame], [overlay_errors(frame, truth, truth)]
        for network in networks.values():
            stem, how = clip.frames[index], {"threshold": threshold, "people": people}
            [(seen, mask)] = masks(clip_segmenter(network, clip), clip, [stem], **how)
            # parts are shown inside the true mask, so that a weak mask does not hide them
            upper.append(overlay_parts(frame, seen.found.part_masks, truth.astype(float)))
            lower.append(overlay_errors(frame, mask, truth))
        rows += [upper, lower]
        labels += [clip.name.replace("/", "\n"), ""]
    return tile(rows, ["frame / truth", *(NAMES.get(n, n) for n in names)], labels, height=1.6)


def parts_table(variants: Path) -> pd.DataFrame:
    """Part decoupling against the rendered truth: mean over clips, ± deviation over seeds."""
    rows = read_variants(variants, "parts")
    measures = ["nmi", "ari", "matched_iou", "to_reference", "over_time"]
    seeds = rows.groupby(["variant", "seed"])[measures].mean()
    mean, spread = seeds.groupby("variant").mean(), seeds.groupby("variant").std().fillna(0)
    table = mean.round(3).astype(str) + " ± " + spread.round(3).astype(str)
    return table.rename(index=lambda v: NAMES.get(v, v))


def parts_or_none(variants: Path) -> pd.DataFrame | str:
    """`parts_table`, or why there is none."""
    try:
        return parts_table(variants)
    except InputError:
        return "These clips have no true parts (only rendered ones do)."


def imbalance_figure(variants: Path) -> Figure:
    """J near the limbs of each network, and what the full one gains, against the limbs' speed;
    bars: SD over seeds.
    """
    rows = read_variants(variants, "imbalance")
    style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    means = rows.groupby(["variant", "seed", "level"]).J_limbs.mean().mul(100).reset_index()
    order = {
        name: place for place, name in enumerate(means.variant.unique())
    }  # colour and dodge, the same on both sides
    for name, group in means.groupby("variant"):
        _by_level(left, group, value="J_limbs", label=NAMES.get(name, name), place=order[name])
    for other, group in imbalance_gains(rows).groupby("other"):
        _by_level(
            right,
            group,
            value="gain",
            label=f"full minus {NAMES.get(other, other)}",
            place=order[other],
        )
    right.axhline(0, color="grey", lw=1)
    left.set(ylabel="J near forearms and shins (%)")
    right.set(ylabel="gain in J near the limbs (points)")
    for axis in (left, right):
        axis.set(xlabel="speed of the limbs (1 = the action's own)")
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncol=2, fontsize=9)
    return figure


def _by_level(axis: Axes, rows: pd.DataFrame, *, value: str, label: str, place: int) -> None:
    """Mean over seeds at each level, with their standard deviation as bars; dodged, so that bars
    don't hide each other.
    """
    levels = rows.groupby("level")[value]
    x = levels.mean().index + 0.03 * place
    axis.errorbar(
        x, levels.mean(), levels.std(), marker="o", capsize=3, label=label, color=f"C{place}"
    )


def frames_imbalance(
    data: Path, frames: Iterable[tuple[str, str]], set_name: str = "val"
) -> pd.DataFrame:
    """Motion imbalance of real or rendered frames, see `flow_imbalance`.

    Args:
        data: working copy.
        frames: clip and stem of each frame to measure; a clip's first has no motion and is left
            out.
        set_name: the clips' split.

    Returns:
        rows clip, frame, imbalance, by the flow from the annotated frame before; no row without
        people.
    """
    clips, rows = {clip.name: clip for clip in read_tree(data).clips(set_name)}, []
    for name, stem in frames:
        clip, place = clips[name], clips[name].frames.index(stem)
        if not place or not (mask := read_mask(clip.mask(stem))).any():
            continue
        earlier, later = (read_frame(clip.frame(clip.frames[i])) for i in (place - 1, place))
        spread = flow_imbalance(flow_back(earlier, later), mask)
        rows.append({"clip": name, "frame": stem, "imbalance": spread})
    return pd.DataFrame(rows, columns=["clip", "frame", "imbalance"])


def flow_gains(data: Path, variants: Path, set_name: str = "val") -> pd.DataFrame:
    """J of the full network minus J without IPDA, frame by frame, beside the frame's motion
    imbalance.

    Returns:
        rows clip, frame, imbalance (see `flow_imbalance`), gain (points, mean over seeds); none
        without both variants.
    """
    scores = read_variants(variants, "frames", ("full", "no-ipda"))
    means = scores.groupby(["clip", "frame", "variant"]).J.mean().mul(100).unstack("variant")
    if len(means.columns) < 2:
        return pd.DataFrame(columns=["clip", "frame", "gain", "imbalance"])
    gain = (means["full"] - means["no-ipda"]).rename("gain").reset_index()
    return gain.merge(
        frames_imbalance(data, gain[["clip", "frame"]].itertuples(index=False), set_name)
    )


def flow_figure(gains: pd.DataFrame) -> Figure:
    """IPDA's gain in J of each frame against the frame's motion imbalance by optical flow; colour:
    clip.
    """
    style()
    figure, axis = plt.subplots(figsize=(8, 3.8), layout="constrained")
    sns.scatterplot(gains, x="imbalance", y="gain", hue="clip", ax=axis)
    axis.axhline(0, color="grey", lw=1)
    axis.set(
        xlabel="imbalance: spread of the flow inside people / its mean",
        ylabel="gain of IPDA in J (points)",
    )
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def flow_trend(gains: pd.DataFrame) -> str:
    """Does the gain grow with imbalance inside a clip? Spearman's correlation of each, and
    Wilcoxon's test over clips.
    """
    if gains.empty:
        return "This takes the variants `full` and `no-ipda`: put them in `ablation.run`."
    rhos = inside_clips(gains, "imbalance", "gain")
    if not rhos:
        return "Too few frames."
    said = (
        "Rank correlation of gain and imbalance inside a clip, mean over "
        f"{len(rhos)} clip(s): {np.mean(rhos):+.2f}"
    )
    p_value = signed_rank(rhos)
    if np.isnan(p_value):
        return f"{said}; too few clips to test (neighbouring frames are no independent samples)."
    verdict = "within noise" if p_value >= SIGNIFICANT else "a trend"
    return f"{said}; {verdict} (Wilcoxon over clips, p = {p_value:.2f})."
