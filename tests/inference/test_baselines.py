"""Rows that no network is needed for."""

from __future__ import annotations

import numpy as np

from pdnet.base.files import write_image
from pdnet.data.images import read_mask
from pdnet.data.layout import read_tree
from pdnet.inference.baselines import HELD_STILL, MEAN_MASK_GRID, mean_mask, trivial_rows


def test_a_mask_held_still_is_right_where_nothing_moves_and_nothing_is_right_nowhere(
    tree, tmp_path
):
    data = read_tree(tree)
    clip = data.clips("val")[0]
    first = read_mask(clip.mask(clip.frames[0]))
    write_image(tmp_path / clip.name / f"{clip.frames[0]}.png", first.astype(np.uint8) * 255)
    rows = trivial_rows(
        [clip], training=data.clips("train"), predictions=tmp_path, include_first_last=True
    )
    assert set(rows) == {"all background", "mean training mask", HELD_STILL}
    held = rows[HELD_STILL][clip.name]
    assert held.frames == clip.frames and held.j[0] == held.f[0] == 1.0
    overlap = [read_mask(clip.mask(stem)) for stem in clip.frames]
    expected = [(first & truth).sum() / (first | truth).sum() for truth in overlap]
    np.testing.assert_allclose(held.j, expected)
    assert not rows["all background"][clip.name].j.any()


def test_the_mean_mask_is_a_share_of_clips(tree):
    clips = read_tree(tree).clips("train")
    mean = mean_mask(clips[:1])
    assert mean.shape == MEAN_MASK_GRID and mean.min() >= 0 and mean.max() <= 1
    shares = [read_mask(clips[0].mask(stem)).mean() for stem in clips[0].frames]
    assert abs(mean.mean() - np.mean(shares)) < 0.02
