"""The official evaluator's steps, written plainly: boundary map, dilation by a disk with OpenCV,
per frame.
"""

from __future__ import annotations

from math import ceil, hypot

import cv2
import numpy as np


def plain_boundary(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool -> its one-pixel boundary map, as the DAVIS toolkit makes it."""
    east, south, south_east = mask.copy(), mask.copy(), mask.copy()
    east[:, :-1] = mask[:, 1:]
    south[:-1] = mask[1:]
    south_east[:-1, :-1] = mask[1:, 1:]
    edges = (mask ^ east) | (mask ^ south) | (mask ^ south_east)
    edges[-1] = mask[-1] ^ east[-1]
    edges[:, -1] = mask[:, -1] ^ south[:, -1]
    edges[-1, -1] = False
    return edges


def plain_frame_scores(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """J and F of one frame."""
    union = np.sum(truth | prediction)
    j = 1.0 if union == 0 else float(np.sum(truth & prediction) / union)
    radius = ceil(0.008 * hypot(*truth.shape))
    v, u = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (u * u + v * v <= radius * radius).astype(np.uint8)
    edges, found = plain_boundary(truth), plain_boundary(prediction)
    near_edges = cv2.dilate(edges.astype(np.uint8), disk) > 0
    near_found = cv2.dilate(found.astype(np.uint8), disk) > 0
    n_edges, n_found = np.sum(edges), np.sum(found)
    if n_found == 0 and n_edges > 0:
        precision, recall = 1.0, 0.0
    elif n_found > 0 and n_edges == 0:
        precision, recall = 0.0, 1.0
    elif n_found == 0 and n_edges == 0:
        precision, recall = 1.0, 1.0
    else:
        precision = float(np.sum(found & near_edges) / n_found)
        recall = float(np.sum(edges & near_found) / n_edges)
    return j, 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)
