"""Clip sampling: which frame meets which reference, which pictures come in which order (paper,
section 5.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from pdnet.config import Config
from pdnet.data.augment import Augmenter, Geometry, Picture
from pdnet.data.cache import PictureReader
from pdnet.data.flow import read_flow
from pdnet.data.images import read_labels
from pdnet.data.layout import Clip
from pdnet.data.pairs import pasted_pair, warped_pair
from pdnet.data.true_motion import body_part_maps, read_truth
from pdnet.errors import InputError

NAMES = ("target", "mask"), ("reference", "reference_mask")


class PairDataset(Dataset):
    """Video samples: a target frame and its reference frame with masks.

    Every draw depends on (seed, epoch, index) alone, so a resumed run sees what an uninterrupted
    one sees, whatever the number of workers.

    Args:
        clips: to sample from.
        config: `train.reference` is the `first` annotated frame of the clip (paper) or a `random`
            one; `train.targets` are `all` frames (paper) or all but the first; `train` and `model`
            say how pictures are augmented and fit the input.
        flow: also give the target's optical flow.
    """

    def __init__(self, clips: Sequence[Clip], config: Config, *, flow: bool = False) -> None:
        self.flow = flow
        self.samples: list[tuple[Clip, str]] = []
        for clip in clips:
            targets = clip.frames[1:] if config.train.targets == "later" else clip.frames
            self.samples += [(clip, stem) for stem in targets]
        self.reference, self.seed = config.train.reference, config.seed
        self.true_motion = config.model.steps == "learned"
        self.augmenter = Augmenter(config.train, config.model)
        self.reader = PictureReader(config.machine.cache_gib)

    def __len__(self) -> int:
        return len(self.samples)

    def groups(self) -> list[str]:
        """The clip of every sample."""
        return [clip.name for clip, _ in self.samples]

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        """(epoch, index) -> target, reference (3, H, W) in 0..1; mask, reference_mask (1, H, W);
        and flow (3, H, W), colours in 0..1. Where steps are learned: steps (2, H, W) of what the
        target shows, in pixels, and body_parts, reference_body_parts (kinds, H, W) in 0..1.

        Raises:
            InputError: steps are to be learned, and nobody rendered the clip with its motion.
        """
        epoch, index = key
        rng = np.random.default_rng((self.seed, 1, epoch, index))
        clip, stem = self.samples[index]
        other = (
            clip.frames[0]
            if self.reference == "first"
            else clip.frames[rng.integers(len(clip.frames))]
        )
        # one draw for both frames: another crop of the reference would look like motion
        geometry = self.augmenter.geometry(rng)
        pictures = [self.reader.read(clip.frame(f), clip.mask(f)) for f in (stem, other)]
        placed = [self.augmenter.placed(picture, geometry) for picture in pictures]
        sample = _sample(self.augmenter.finished(rng, placed))
        if self.flow:
            sample["flow"] = self.augmenter.placed_flow(read_flow(clip.flow(stem)), geometry)
        if self.true_motion:
            sample |= self._true_motion(clip, stem, other, geometry)
        return sample

    def _true_motion(
        self, clip: Clip, stem: str, other: str, geometry: Geometry
    ) -> dict[str, Tensor]:
        truth = read_truth(clip)
        if truth is None:
            raise InputError(
                f"{clip.name}: no true motion of people and figures; loss.steps and "
                "loss.body_parts learn from clips of data.source: casts"
            )
        people, figures = _bodies(clip, stem)
        steps = truth.step_map(stem, people)
        # of figures too: looks tell a limb, not who is alive
        seen = {"body_parts": people + figures, "reference_body_parts": sum(_bodies(clip, other))}
        named = {
            name: self.augmenter.placed_shares(body_part_maps(labels), geometry)
            for name, labels in seen.items()
        }
        return {"steps": self.augmenter.placed_steps(steps, geometry), **named}


def _bodies(clip: Clip, stem: str) -> tuple[np.ndarray, np.ndarray]:
    """Rendered labels of people's parts and of figures', each (h, w)."""
    return read_labels(clip.parts(stem)), read_labels(clip.figures(stem))


class ImageDataset(Dataset):
    """Single images of people for the image steps.

    Args:
        pairs: an image and its mask each, in ROOT/SET/{img,mask}.
        config: `train.image_reference` makes an image its own reference (`same`), another warp of
            it (`warp`), its people moved before another image (`paste`), or either of the last two
            by chance (`mixed`).
    """

    def __init__(self, pairs: Sequence[tuple[Path, Path]], config: Config) -> None:
        self.pairs, self.seed = pairs, config.seed
        self.how = config.train.image_reference
        self.augmenter = Augmenter(config.train, config.model)
        self.reader = PictureReader(config.machine.cache_gib)

    def __len__(self) -> int:
        return len(self.pairs)

    def groups(self) -> list[str]:
        """The set of every image."""
        return [image.parent.parent.name for image, _ in self.pairs]

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        """(epoch, index) -> target (3, H, W) in 0..1 and mask (1, H, W); with another reference
        than itself also reference and reference_mask.
        """
        epoch, index = key
        rng = np.random.default_rng((self.seed, 2, epoch, index))
        return _sample(self.augmenter.finished(rng, self._pictures(rng, index)))

    def _pictures(self, rng: np.random.Generator, index: int) -> tuple[Picture, ...]:
        picture = self.reader.read(*self.pairs[index])
        if self.how == "same":
            return (self.augmenter.placed(picture, self.augmenter.geometry(rng)),)
        paste = self.how == "paste" or (self.how == "mixed" and rng.random() < 0.5)
        if not paste:
            return warped_pair(rng, self.augmenter, picture)
        other = self.reader.read(*self.pairs[rng.integers(len(self.pairs))])
        return pasted_pair(rng, self.augmenter, picture, other)


def _sample(tensors: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Images and masks, the target's first, under their names."""
    named: dict[str, Tensor] = {}
    for names, pair in zip(NAMES, tensors, strict=False):
        named |= dict(zip(names, pair, strict=True))
    return named


def copies(groups: Sequence[str], weights: Mapping[str, float]) -> np.ndarray | None:
    """How often each sample comes in a shuffle, by its clip's or set's weight; None where none
    differs from 1.

    Raises:
        InputError: nothing is left.
    """
    if not any(weights.get(group, 1.0) != 1 for group in groups):
        return None
    wanted = np.array([weights.get(group, 1.0) for group in groups])
    if not wanted.any():
        raise InputError("train.sample_weights: every weight is 0; nothing is left to train on")
    return wanted


class EpochSampler:
    """Batches of (epoch, index) keys, epoch after epoch; each epoch's are drawn from (seed, stream,
    epoch) alone.

    One sampler serves a whole training, so that a loader's workers start once. When an epoch wants
    more samples than there are, the next shuffle follows on.

    Args:
        samples: in the data set.
        batch_size: keys per batch.
        steps: batches per epoch.
        epochs: of the training.
        seed, stream: of the draws; video and image samples are two streams.
        start: (epoch, batch) to begin with; a resumed training skips what it has had.
        copies: of each sample in a shuffle; a fraction is the chance of one more. None: one each.
    """

    def __init__(
        self,
        samples: int,
        *,
        batch_size: int,
        steps: int,
        epochs: int,
        seed: int,
        stream: int,
        start: tuple[int, int],
        copies: np.ndarray | None = None,
    ) -> None:
        self.samples, self.batch_size, self.steps, self.epochs = samples, batch_size, steps, epochs
        self.seed, self.stream, self.start, self.copies = seed, stream, start, copies

    def __len__(self) -> int:
        return (self.epochs - self.start[0]) * self.steps - self.start[1]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Yields lists of `batch_size` keys."""
        first, skip = self.start
        for epoch in range(first, self.epochs):
            rng = np.random.default_rng((self.seed, 10 + self.stream, epoch))
            wanted = self.steps * self.batch_size
            # several shuffles one after another, so that no sample comes twice before all came once
            order = self._shuffle(rng)
            while len(order) < wanted:
                order = np.concatenate([order, self._shuffle(rng)])
            for step in range(skip if epoch == first else 0, self.steps):
                yield [
                    (epoch, int(i))
                    for i in order[step * self.batch_size : (step + 1) * self.batch_size]
                ]

    def _shuffle(self, rng: np.random.Generator) -> np.ndarray:
        """Every sample once, or as often as its weight says, in random order."""
        if self.copies is None:
            return rng.permutation(self.samples)
        whole = np.floor(self.copies).astype(int)
        more = rng.random(self.samples) < self.copies - whole
        return rng.permutation(np.repeat(np.arange(self.samples), whole + more))
