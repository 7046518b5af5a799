"""The page of people: what a checkpoint makes of the clips and photographs at hand, beside what
public tools reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pdnet.base.parallel import progress
from pdnet.base.parameters_file import shown
from pdnet.config import EvaluateConfig
from pdnet.data.images import read_frame, read_mask
from pdnet.data.layout import Clip, image_pairs, read_tree
from pdnet.data.overlays import overlay_errors, overlay_mask
from pdnet.errors import InputError
from pdnet.inference.near import clip_segmenter_of
from pdnet.inference.people import Cutter, pieces
from pdnet.inference.pictures import clip_row
from pdnet.inference.score import spread
from pdnet.inference.segment import walk
from pdnet.inference.shipped import cutting_of, network_at_hand, terms_of
from pdnet.inference.stills import careful_mask
from pdnet.metrics.region_contour import ClipScore, frame_scores, region_similarity
from pdnet.metrics.stability import clip_flows, clip_stability
from pdnet.model import PDNet
from pdnet.model.checkpoint import load_network, read_header
from pdnet.report.figures import style, tile
from pdnet.training.groups import split_images

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
PEERS_CLIP = "dance-twirl"  # on which public tools were measured
OURS = "PDNet, this checkpoint"
SHARPNESS_AT = 384  # pixels of the long side: sharpness means nothing without a size
THIRDS = ("lowest", "middle", "highest")
Pair = tuple[Path, Path]


PIECES = ("none", "one", "two", "three or more")  # of people that do not touch each other
BORDER = {False: "inside the picture", True: "cut off by its border"}


@dataclass(frozen=True)
class Chosen:
    """The checkpoint that the page is about.

    Attributes:
        network: as `pdnet segment` runs it.
        cutting: threshold and people that its header chooses.
        about: what its header says, by name.
    """

    network: PDNet
    cutting: EvaluateConfig
    about: dict[str, str]


def choose(checkpoint: Path | None) -> Chosen:
    """A checkpoint, or the name of a shipped one; None takes the shipped network of real people,
    and where none is shipped what the training leaves.
    """
    path = network_at_hand(checkpoint)
    header = read_header(path)
    cutting = cutting_of(header, path)
    about = {
        "checkpoint": path.name,  # without its folder: that differs from machine to machine
        "trained on": shown(header.get("data", header.get("profile", "not noted")), 200),
        "terms": terms_of(header),
        "threshold": f"{cutting.threshold:g}",
        "people": cutting.people,
        "look": cutting.look,
    }
    return Chosen(load_network(path), cutting, about)


def choose_clips(
    data: Path, names: Sequence[str], *, set_name: str = "val", frames: int | None = None
) -> list[Clip]:
    """The named clips, without names those of a split; each of at most `frames` frames from its
    beginning, one after another as stability wants them.

    Raises:
        InputError: no such clip.
    """
    tree = read_tree(data)
    known = {clip.name: clip for clip in tree.every_clip()}
    for name in names:
        if name not in known:
            raise InputError(f"{data}: no clip '{name}'; known: {', '.join(known)}")
    clips = [known[name] for name in names] or list(tree.clips(set_name))
    return [replace(clip, frames=clip.frames[:frames]) for clip in clips]


@dataclass(frozen=True)
class Watched:
    """What a network made of clips; all shares in 0..1.

    Attributes:
        scores: clip -> J and F of its scored frames.
        curve: a row per threshold, a column per clip: J&F.
        stability: a row per clip: warped IoU and flicker (per 100 frames) of mask and truth.
    """

    scores: dict[str, ClipScore]
    curve: pd.DataFrame
    stability: pd.DataFrame

    def frames(self) -> pd.DataFrame:
        """A row per scored frame: clip, frame, J, F, J&F."""
        tables = []
        for name, score in self.scores.items():
            table = pd.DataFrame({"clip": name, "frame": score.frames, "J": score.j, "F": score.f})
            tables.append(table)
        frames = pd.concat(tables, ignore_index=True)
        return frames.assign(**{"J&F": (frames["J"] + frames["F"]) / 2})


def watch(chosen: Chosen, clips: Sequence[Clip]) -> Watched:
    """Goes through the clips once: masks at every threshold, their scores and their stability."""
    scores, curve, stability = {}, {}, {}
    for clip in progress(clips, "people", unit="clip"):
        masks, truths, by_threshold = _clip(chosen, clip)
        scores[clip.name] = by_threshold[chosen.cutting.threshold]
        curve[clip.name] = {at: by_threshold[at].row()["J&F-Mean"] for at in THRESHOLDS}
        flows = [flow.astype(np.float32) for flow in clip_flows(clip)]
        ours, true = (clip_stability(of, flows) for of in (masks, truths))
        stability[clip.name] = {
            "warped IoU": ours["warped_iou"],
            "warped IoU of the truth": true["warped_iou"],
            "flicker": ours["flicker"],
            "flicker of the truth": true["flicker"],
        }
    return Watched(scores, pd.DataFrame(curve), pd.DataFrame.from_dict(stability, orient="index"))


def _clip(
    chosen: Chosen, clip: Clip
) -> tuple[list[np.ndarray], list[np.ndarray], dict[float, ClipScore]]:
    """Every frame's mask and truth, (H, W) bool, and the scores at each threshold."""
    at_once = sorted({*THRESHOLDS, chosen.cutting.threshold})
    cutters = {at: Cutter(chosen.cutting.people, threshold=at) for at in at_once}
    scored = clip.scored_frames()
    values: dict[float, list[tuple[float, float]]] = {at: [] for at in at_once}
    masks, truths = [], []
    for seen in walk(clip_segmenter_of(chosen.network, clip, chosen.cutting), clip):
        truths.append(read_mask(clip.mask(seen.stem)))
        # every frame by every cutter: who is followed depends on the frames before
        cut = {at: cutter.mask(seen.found.probability) for at, cutter in cutters.items()}
        masks.append(cut[chosen.cutting.threshold])
        if seen.stem in scored:
            for at, mask in cut.items():
                values[at].append(frame_scores(mask, truths[-1]))
    by_threshold = {}
    for at, rows in values.items():
        j, f = np.array(rows).T
        by_threshold[at] = ClipScore(scored, j, f)
    return masks, truths, by_threshold


def score_table(watched: Watched) -> pd.DataFrame:
    """J&F, J and F of each clip and their mean, per cent."""
    rows = {name: score.row() for name, score in watched.scores.items()}
    table = 100 * pd.DataFrame.from_dict(rows, orient="index")[["J&F-Mean", "J-Mean", "F-Mean"]]
    table.columns = ["J&F", "J", "F"]
    table.loc["mean over clips"] = table.mean()
    table.insert(0, "frames", [len(score.frames) for score in watched.scores.values()] + [""])
    return table.round(1).rename_axis("clip")


def beside_peers(watched: Watched, peers: Path, *, frames: int | None) -> pd.DataFrame | str:
    """Our J&F on the peers' clip among theirs, best first; or a sentence why it is not there.

    Args:
        watched: of the clips.
        peers: CSV of tools: `tool`, `dance-twirl`, and what else is known of them.
        frames: what the clips were cut to; the peers saw all.
    """
    if PEERS_CLIP not in watched.scores:
        return f"The public tools were measured on {PEERS_CLIP}, which is not among these clips."
    if frames is not None:
        return f"The public tools saw all frames of {PEERS_CLIP}; set `frames` to None to compare."
    if not peers.is_file():
        raise InputError(f"{peers}: missing; it comes with the project")
    table = pd.read_csv(peers, comment="#").set_index("tool")
    ours = 100 * watched.scores[PEERS_CLIP].row()["J&F-Mean"]
    table.loc[OURS, PEERS_CLIP] = round(ours, 1)
    # of ours nothing else is known here
    return table.sort_values(PEERS_CLIP, ascending=False).map(lambda v: "" if v != v else f"{v:g}")


def over_time_figure(watched: Watched) -> Figure:
    """J and F of every scored frame, a panel per clip."""
    style()
    rows = -(-len(watched.scores) // 2)
    figure, axes = plt.subplots(
        rows, 2, figsize=(11, 2.1 * rows + 0.4), layout="constrained", sharey=True, squeeze=False
    )
    for axis in axes.flat[len(watched.scores) :]:
        axis.set_axis_off()
    for axis, (name, score) in zip(axes.flat, watched.scores.items(), strict=False):
        # by place, not by name: a clip's frames may be called anything
        places = np.arange(1, len(score.frames) + 1)
        axis.plot(places, 100 * score.j, marker="o", ms=2.5, lw=1, label="J")
        axis.plot(places, 100 * score.f, marker="s", ms=2.5, lw=1, label="F")
        axis.set(title=name, ylim=(0, 102), xlabel="scored frame", ylabel="%")
    axes[0, 0].legend(loc="lower left")
    return figure


def threshold_figure(watched: Watched, threshold: float) -> Figure:
    """J&F of each clip against the threshold, the one in use marked."""
    style()
    figure, axis = plt.subplots(figsize=(8, 3.8), layout="constrained")
    for name in watched.curve:
        axis.plot(
            watched.curve.index, 100 * watched.curve[name], lw=1, marker="o", ms=3, label=name
        )
    mean = 100 * watched.curve.mean(axis=1)
    axis.plot(mean.index, mean, color="black", lw=2.5, label="mean over clips")
    axis.axvline(threshold, color="grey", ls="--", lw=1)
    axis.set(xlabel="threshold on the probability", ylabel="J&F (%)", ylim=(0, 102))
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def stability_table(watched: Watched) -> pd.DataFrame:
    """Warped IoU (%) and flicker (per 100 frames) of each clip beside the truth's, and the mean."""
    table = watched.stability.copy()
    table.loc["mean over clips"] = table.mean()
    for column in table:
        if column.startswith("warped"):
            table[column] *= 100
    return table.round(1).rename_axis("clip")


def best_and_worst(watched: Watched, count: int) -> pd.DataFrame:
    """The best frames, then the worst, by J&F: at most one of a clip each, rows as of
    `Watched.frames` with `which`.
    """
    groups = watched.frames().groupby("clip", sort=False)["J&F"]
    frames = watched.frames()
    best = frames.loc[groups.idxmax()].nlargest(count, "J&F")
    worst = frames.loc[groups.idxmin()].nsmallest(count, "J&F")
    return pd.concat([best.assign(which="best"), worst.assign(which="worst")], ignore_index=True)


def frames_figure(
    chosen: Chosen, clips: Sequence[Clip], watched: Watched, *, count: int = 2
) -> Figure:
    """Frame, truth, errors and parts of `best_and_worst`."""
    known = {clip.name: clip for clip in clips}
    rows, labels = [], []
    for row in best_and_worst(watched, count).to_dict("records"):
        clip = known[row["clip"]]
        index = clip.frames.index(row["frame"])
        rows.append(clip_row(chosen.network, clip, index, chosen.cutting))
        place = clip.name.replace("/", "\n")
        labels.append(f"{row['which']}\n{place}\n{row['frame']}, J&F {100 * row['J&F']:.0f}")
    return tile(rows, ("frame", "truth", "green hit, orange missed, pink false", "parts"), labels)


def held_out(data: Path, share: float, most: int | None = None) -> list[Pair]:
    """The single photographs that a training with `train.holdout_images: share` leaves out, at most
    `most` of them, evenly spread.
    """
    return list(spread(split_images(image_pairs(data), share)[1], most))


def photograph_rows(chosen: Chosen, pairs: Sequence[Pair]) -> pd.DataFrame:
    """A row per photograph: set, name, J of all its people (sets of photographs count everybody),
    and what may make it hard: in how many pieces people are (1, 2, 3 or more), whether they reach
    the picture's border, their share of it in per cent, its mean luma (0 to 255), and the variance
    of its Laplacian at 384 pixels of the long side, which is low where a picture is blurred.
    """
    rows = []
    for image, mask in progress(pairs, "photographs", unit="photograph"):
        frame = read_frame(image)
        truth = read_mask(mask)
        found = careful_mask(chosen.network, frame, chosen.cutting.threshold)
        rows.append(
            {
                "set": image.parent.parent.name,
                "photograph": image.stem,
                "J": region_similarity(found, truth),
                "pieces": PIECES[min(len(pieces(truth)[1]) - 1, len(PIECES) - 1)],
                "border": BORDER[reaches_border(truth)],
                "size": 100 * float(truth.mean()),
                "light": float(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).mean()),
                "sharpness": sharpness(frame),
            }
        )
    return pd.DataFrame(rows)


def reaches_border(mask: np.ndarray) -> bool:
    """True where a (H, W) bool mask goes on beyond the picture: somebody is cut off."""
    edges = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    return any(edge.any() for edge in edges)


def sharpness(frame: np.ndarray) -> float:
    """Variance of the Laplacian of a (H, W, 3) uint8 RGB picture's luma, made smaller to
    `SHARPNESS_AT` where it is larger (Pech-Pacheco et al., ICPR 2000).
    """
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    scale = SHARPNESS_AT / max(grey.shape)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def photograph_table(rows: pd.DataFrame) -> pd.DataFrame | str:
    """Mean J by set, pieces and border, and in thirds by size, light and sharpness; a sentence
    without photographs.
    """
    if rows.empty:
        return "No photographs are held out here."
    table = [_group("all", "", rows)]
    for kind in ("set", "pieces", "border"):
        for name, group in rows.groupby(kind):
            table.append(_group(kind, str(name), group))
    # of three or more there is one for each third
    for kind in ("size", "light", "sharpness") if len(rows) >= len(THIRDS) else ():
        ordered = rows.sort_values(kind, kind="stable")
        cuts = np.linspace(0, len(rows), len(THIRDS) + 1).round().astype(int)
        for name, (start, end) in zip(THIRDS, pairwise(cuts), strict=True):
            third = ordered.iloc[start:end]
            limits = f"{name} third, {_rounded(third[kind].min())} to {_rounded(third[kind].max())}"
            table.append(_group(kind, limits, third))
    return pd.DataFrame(table).set_index(["by", "which"]).round(1)


def _rounded(value: float) -> str:
    return f"{round(value, 1 if value < 10 else 0):g}"


def _group(by: str, which: str, rows: pd.DataFrame) -> dict[str, object]:
    values = 100 * rows["J"]
    return {
        "by": by,
        "which": which,
        "photographs": len(rows),
        "J": values.mean(),
        "median J": values.median(),
        "J below 50 (%)": 100 * (values < 50).mean(),
    }


def photographs_figure(
    chosen: Chosen, pairs: Sequence[Pair], rows: pd.DataFrame, *, count: int = 4
) -> Figure:
    """Picture, truth and errors of the photographs with the lowest J.

    Args:
        chosen: the network.
        pairs: as `photograph_rows` was given.
        rows: as it gave.
        count: how many.
    """
    pictures, labels = [], []
    for place, row in rows.nsmallest(count, "J").iterrows():
        image, mask = pairs[place]
        frame, truth = read_frame(image), read_mask(mask)
        found = careful_mask(chosen.network, frame, chosen.cutting.threshold)
        pictures.append([frame, overlay_mask(frame, truth), overlay_errors(frame, found, truth)])
        labels.append(f"{row['set']}\n{row['photograph']}\nJ {100 * row['J']:.0f}")
    titles = ("photograph", "truth", "green hit, orange missed, pink false")
    return tile(pictures, titles, labels, height=2.4)
