"""The evaluator against the official steps written plainly: equal in every digit, and how much
faster.

    python -m tests.bench evaluator [DATASET_ROOT PREDICTIONS CLIP]

Without a data set drawn 854x480 masks are used. Both ways run in this process, in turn; medians are
compared.
"""

from __future__ import annotations

import tempfile
import time
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from pdnet.base.files import write_image
from pdnet.data.images import read_mask
from pdnet.metrics.evaluator import score_folder
from pdnet.metrics.region_contour import frame_scores
from tests.bench.plain_evaluator import plain_frame_scores

ROUNDS = 3


def drawn_masks(folder: Path, frames: int = 60) -> tuple[Path, Path, str]:
    """Bodies that move, and predictions that miss a little, at 854x480."""
    rng = np.random.default_rng(0)
    for i in range(frames):
        truth = np.zeros((480, 854), np.uint8)
        x = 300 + 3 * i
        cv2.ellipse(truth, (x, 260), (70, 150), 5, 0, 360, 255, -1)
        cv2.circle(truth, (x, 80), 45, 255, -1)
        cv2.line(truth, (x, 180), (x + 160, 120 + 4 * (i % 30)), 255, 34)
        wobble = cv2.resize(rng.normal(size=(24, 40)), (854, 480), interpolation=cv2.INTER_CUBIC)
        soft = cv2.GaussianBlur(truth, (0, 0), 7)
        prediction = (soft + 60 * wobble * (soft > 20) > 127).astype(np.uint8) * 255
        if i % 6 == 0:  # now and then something far off is taken for a person
            cv2.ellipse(prediction, (80 + 4 * i, 420), (40, 25), 0, 0, 360, 255, -1)
        for kind, image in (("root/Annotations/480p", truth), ("predictions", prediction)):
            write_image(folder / kind / "drawn" / f"{i:05d}.png", image)
    (folder / "root/ImageSets").mkdir()
    copies = [f"drawn{i}" for i in range(39)]  # 40 clips, about as many as MVPS's test set
    (folder / "root/ImageSets/val.txt").write_text("\n".join(["drawn", *copies]) + "\n")
    for kind in ("root/Annotations/480p", "predictions"):
        for name in copies:
            (folder / kind / name).symlink_to(folder / kind / "drawn")
    return folder / "root", folder / "predictions", "drawn"


def plain_from_disk(root: Path, predictions: Path, clips: list[str]) -> list[tuple[float, float]]:
    """Reads and scores every frame one after another, as the official evaluator does."""
    values = []
    for clip in clips:
        for file in sorted((root / "Annotations/480p" / clip).iterdir())[1:-1]:
            prediction = cv2.imread(str(predictions / clip / file.name), cv2.IMREAD_GRAYSCALE) > 0
            truth = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) > 0
            values.append(plain_frame_scores(prediction, truth))
    return values


def main(root: Path, predictions: Path, clip: str) -> None:
    """Prints medians and ratios."""
    stems = [p.stem for p in sorted((root / "Annotations/480p" / clip).iterdir())][1:-1]
    pairs = [
        (
            read_mask(predictions / clip / f"{s}.png"),
            read_mask(root / "Annotations/480p" / clip / f"{s}.png"),
        )
        for s in stems
    ]
    cv2.setNumThreads(1)
    seconds: dict[str, list[float]] = {
        "plain": [],
        "ours": [],
        "plain, from disk": [],
        "ours, from disk": [],
    }
    clips = (root / "ImageSets/val.txt").read_text().split()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        plain = [plain_frame_scores(*pair) for pair in pairs]
        middle = time.perf_counter()
        ours = [frame_scores(*pair) for pair in pairs]
        seconds["plain"].append((middle - began) / len(pairs))
        seconds["ours"].append((time.perf_counter() - middle) / len(pairs))
        assert ours == plain, "the two differ"
        began = time.perf_counter()
        plain = plain_from_disk(root, predictions, clips)
        middle = time.perf_counter()
        scores = score_folder(predictions, root)
        seconds["plain, from disk"].append((middle - began) / len(plain))
        seconds["ours, from disk"].append((time.perf_counter() - middle) / len(plain))
        found = chain.from_iterable(zip(s.j, s.f, strict=True) for s in scores.values())
        assert list(found) == plain, "the two differ"
    medians = {name: 1000 * float(np.median(values)) for name, values in seconds.items()}
    for name, value in medians.items():
        print(f"{name:20s} {value:7.2f} ms a frame")
    print(f"J and F: {medians['plain'] / medians['ours']:.1f} x on one core, equal in every digit")
    print(
        f"end to end: {medians['plain, from disk'] / medians['ours, from disk']:.1f} x on all cores"
    )


def run(arguments: list[str]) -> None:
    """With DATASET_ROOT PREDICTIONS CLIP, or without anything on drawn masks."""
    with tempfile.TemporaryDirectory() as scratch:
        main(
            *(
                (Path(arguments[0]), Path(arguments[1]), arguments[2])
                if arguments
                else drawn_masks(Path(scratch))
            )
        )
