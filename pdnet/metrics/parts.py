"""How well unsupervised parts agree with true ones, and whether a part stays the same one. Only
rendered clips can tell.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score


def part_labels(part_masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The strongest part of every pixel.

    Args:
        part_masks: (p, h, w) on the part grid.
        size: (H, W) of the labels.

    Returns:
        (H, W) int in 0..p-1.
    """
    maps = [cv2.resize(part, size[::-1], interpolation=cv2.INTER_LINEAR) for part in part_masks]
    return np.argmax(maps, axis=0)


def agreement(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Agreement of two labellings of the same pixels.

    Args:
        found: (n,) part of each true portrait pixel.
        truth: (n,) its true body part.

    Returns:
        nmi, ari (1 is perfect, about 0 is chance), and matched_iou: mean over the found parts of
        the IoU with the body part that the best one-to-one assignment gives them.
    """
    scores = {
        "nmi": normalized_mutual_info_score(truth, found),
        "ari": adjusted_rand_score(truth, found),
    }
    overlap = overlap_matrix(found, truth)
    # parts have no names: the assignment that fits best is the fairest reading of them
    rows, columns = linear_sum_assignment(-overlap)
    return {
        **{k: float(v) for k, v in scores.items()},
        "matched_iou": float(overlap[rows, columns].mean()),
    }


def overlap_matrix(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """IoU of every found part (rows: those that occur) with every true part (columns: those that
    occur).
    """
    # parts that occur nowhere must not enter the mean as zeros
    found_ids, found = np.unique(found, return_inverse=True)
    true_ids, truth = np.unique(truth, return_inverse=True)
    both = np.zeros((len(found_ids), len(true_ids)))
    np.add.at(both, (found, truth), 1)
    union = both.sum(1, keepdims=True) + both.sum(0, keepdims=True) - both
    return both / union


def identity(found: np.ndarray, truth: np.ndarray, frame: np.ndarray) -> dict[str, float]:
    """Does a body part keep its found part?

    Args:
        found, truth: (n,) of the true portrait pixels of all frames of a clip.
        frame: (n,) number of the frame; frame 0 is the reference.

    Returns:
        to_reference: share of pixels whose found part is the one that their body part mostly
            has in the reference;
        over_time: the same with the frame before. Body parts that the earlier frame does not
            show are left out.
    """
    kinds = int(truth.max(initial=0)) + 1
    parts = int(found.max(initial=0)) + 1
    frames = int(frame.max(initial=0)) + 1
    # votes[frame, body part, found part] counts pixels
    votes = np.zeros((frames, kinds, parts))
    np.add.at(votes, (frame, truth, found), 1)
    seen, favourite = votes.sum(2) > 0, votes.argmax(2)
    kept = {}
    for name, earlier in (
        ("to_reference", np.zeros(frames, int)),
        ("over_time", np.maximum(0, np.arange(frames) - 1)),
    ):
        mine = favourite[earlier[frame], truth] == found
        counted = seen[earlier[frame], truth] & (frame > 0)
        kept[name] = float(mine[counted].mean()) if counted.any() else float("nan")
    return kept
