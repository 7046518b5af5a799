"""Who is meant: which pieces of a frame's mask are the portrait, frame after frame.

A network that was shown photographs finds every person, the crowd behind a dancer too. What is not
meant comes away here, after the network, in pieces: a piece is all pixels that are connected (8
neighbours), or apart by no more than twice `JOIN`, so that a hand that lost its wrist, or a person
behind a lamp post, is one piece. Somebody whose mask runs into the portrait's is not told from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from pdnet.data.layout import Clip
from pdnet.errors import InputError
from pdnet.inference.segment import ClipSegmenter, Seen, walk

PEOPLE = ("all", "largest", "reference")  # as `evaluate.people` has them
# Lengths are shares of the frame's short side.
JOIN = 0.01  # 5 pixels at 480: a mask grown by it on either side closes gaps of up to 10
REACH = 0.05  # how far a person's outline may move from one frame to the next; 24 pixels at 480
WITHIN = 0.5  # share of a further piece that lies on the track: of the person, no neighbour's
GROWTH = 1.5  # times the usual area; more is somebody else beside the person
FAINT = 0.1  # of the usual area: less is a remnant, the person is lost
PATIENCE = 5  # frames without the person, after which the largest is the person
FORGETTING = 0.05  # weight of a frame in the usual area: half of it is the last 14 frames


class Cutter:
    """Cuts probabilities into masks, frames in order; it holds one mask, however long the film.

    Args:
        people: `all` cuts and no more; `largest` keeps each frame's largest piece; `reference`
            follows the largest piece of the first frame that has one, see `_followed`.
        threshold: on the probability.

    Raises:
        InputError: `people` is none of these.
    """

    def __init__(self, people: str, *, threshold: float) -> None:
        if people not in PEOPLE:
            raise InputError(f"people '{people}': expected {', '.join(PEOPLE)}")
        self.people, self.threshold = people, threshold
        self._track: np.ndarray | None = None  # (H, W) bool, the mask last kept
        self._usual = 0.0  # pixels
        self._lost = 0  # frames in a row

    def mask(self, probability: np.ndarray) -> np.ndarray:
        """The next frame's (H, W) probability -> its mask, (H, W) bool.

        Frames may differ in size.
        """
        cut = probability > self.threshold
        if self.people == "all":
            return cut
        labels, areas = pieces(cut)
        if len(areas) == 1:
            self._lost += 1
            return cut
        if self.people == "largest":
            return labels == areas.argmax()
        return self._followed(labels, areas)

    def _followed(self, labels: np.ndarray, areas: np.ndarray) -> np.ndarray:
        """The pieces of the person that is followed.

        It is the piece that shares the most pixels with the track (the mask last kept, grown by
        `REACH`). Others that mostly lie on the track are of the person too, as long as all together
        are not much more than the person was; so are others beside it as long as all are no more:
        whoever passes behind a post comes out on the other side. While the mask is much larger than
        the person was, because somebody's runs into it, the track stays where it was, and who parts
        again is left behind. Where nothing of the size of a person was near for `PATIENCE` frames
        (a cut, or whoever it was is gone), the largest piece is followed from there.
        """
        keep = self._near_the_track(labels, areas) if self._track is not None else []
        found = areas[keep].sum() > FAINT * self._usual if keep else False
        self._lost = 0 if found else self._lost + 1
        if self._track is None or self._lost > PATIENCE:
            keep, self._lost, self._usual = [int(areas.argmax())], 0, float(areas.max())
        mask = np.zeros(labels.shape, bool)
        for piece in keep:
            mask |= labels == piece
        if keep:
            area = float(areas[keep].sum())
            if area <= GROWTH * self._usual:
                self._track = mask
            self._usual += FORGETTING * (area - self._usual)
        return mask

    def _near_the_track(self, labels: np.ndarray, areas: np.ndarray) -> list[int]:
        """Numbers of the pieces that are the person; empty where none is near."""
        track = self._track.astype(np.uint8)
        if track.shape != labels.shape:
            track = cv2.resize(track, labels.shape[::-1], interpolation=cv2.INTER_NEAREST)
        track = grown(track, REACH)
        on = _shared(labels, areas, track)
        if on.any() and len(areas) == 2:
            return [1]  # the one piece there is; the rest would say so too, for more work
        # the longer nobody was seen, the farther the person may be
        near = _shared(labels, areas, grown(track, (1 + self._lost) * REACH))
        # who was not on the track is known by the size alone
        near[areas > GROWTH * self._usual] = 0
        if not on.any() and not near.any():
            return []
        keep = [int(on.argmax() if on.any() else near.argmax())]
        total = areas[keep[0]]
        # what is on the track before what is beside it
        for piece in np.lexsort((-near, -on)):
            of_it = on[piece] > WITHIN * areas[piece]
            most = GROWTH * self._usual if of_it else self._usual
            is_near = on[piece] > 0 or near[piece] > 0
            if is_near and piece not in keep and total + areas[piece] <= most:
                keep.append(int(piece))
                total += areas[piece]
        return keep


def _shared(labels: np.ndarray, areas: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Pixels of each piece that lie in a place, (H, W) uint8; of the background none."""
    shared = np.bincount(labels[place > 0], minlength=len(areas))
    shared[0] = 0
    return shared


def pieces(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mask's pieces.

    Args:
        mask: (H, W) bool.

    Returns:
        (H, W) int32 of piece numbers, 0 outside the mask; pixels of each piece, those of number 0
        counted as none.
    """
    joined = grown(mask.astype(np.uint8), JOIN)
    count, labels = cv2.connectedComponents(joined, connectivity=8)
    labels *= mask
    # without the background: it is most of a frame
    return labels, np.bincount(labels[mask], minlength=count)


def grown(mask: np.ndarray, share: float) -> np.ndarray:
    """A (H, W) uint8 mask, larger on all sides by a share of the frame's short side."""
    radius = round(share * min(mask.shape))
    # a square: OpenCV grows by one in two passes, and corners matter to nobody here
    return cv2.dilate(mask, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8))


def masks(
    segmenter: ClipSegmenter,
    clip: Clip,
    stems: Sequence[str] | None = None,
    *,
    threshold: float,
    people: str = "all",
) -> Iterator[tuple[Seen, np.ndarray]]:
    """Frames of a clip with the masks that are scored and shown, (H, W) bool.

    To follow a person, or to look from near, every frame up to the last wanted one is gone through,
    and only the wanted ones are given: which mask a frame has does not depend on who asks for it.

    Args:
        segmenter: where the references come from: this clip, or an unrelated one.
        clip: whose frames are read.
        stems: the wanted frames, in the clip's order; None takes all.
        threshold, people: see `Cutter`.
    """
    wanted = clip.frames if stems is None else tuple(stems)
    gone_through = wanted
    if (people == "reference" or segmenter.in_order) and wanted:
        gone_through = clip.frames[: clip.frames.index(wanted[-1]) + 1]
    cut = Cutter(people, threshold=threshold)
    for seen in walk(segmenter, clip, gone_through):
        mask = cut.mask(seen.found.probability)
        if seen.stem in wanted:
            yield seen, mask
