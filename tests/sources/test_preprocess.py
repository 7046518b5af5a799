"""The working copy: sizes, alignment, what is done stays."""

from __future__ import annotations

import numpy as np

from pdnet.config import PreprocessConfig
from pdnet.data.images import read_frame, read_labels, read_mask
from pdnet.data.layout import read_tree
from pdnet.sources.convert import resized
from pdnet.sources.preprocess import preprocess
from tests.helpers import make_tree


def test_preprocess_halves_frames_and_keeps_masks_binary_and_aligned(tmp_path):
    tree = make_tree(tmp_path / "raw", size=(144, 256), frames=3)
    preprocess(tree, tmp_path / "out", PreprocessConfig(short_side=72), workers=1)
    for clip in read_tree(tmp_path / "out").clips("train"):
        for stem in clip.frames:
            mask, frame = read_labels(clip.mask(stem)), read_frame(clip.frame(stem))
            assert mask.shape == frame.shape[:2] == (72, 128) and set(np.unique(mask)) <= {0, 255}
            before = read_mask(tree / "Annotations/480p" / clip.name / f"{stem}.png")
            centre, expected = (np.argwhere(m > 0).mean(0) + 0.5 for m in (mask, before))
            assert np.abs(centre - expected / 2).max() < 0.1
            assert abs(4 * (mask > 0).sum() / before.sum() - 1) < 0.02


def test_preprocess_links_what_has_the_size_and_skips_what_is_done(tree, tmp_path):
    out = tmp_path / "out"
    first = preprocess(tree, out, PreprocessConfig(short_side=48), workers=1)
    linked, source = (root / "Keyframes/480p/a/one/00000.jpg" for root in (out, tree))
    # a symbolic link or a clone of its own: an edit in place must not look like the owner's file
    assert linked.is_symlink() or not linked.samefile(source)
    assert source.stat().st_nlink == 1 and linked.read_bytes() == source.read_bytes()
    (out / "Annotations/480p/a/one/00010.png").unlink()
    again = preprocess(tree, out, PreprocessConfig(short_side=48), workers=1)
    assert (again.made, again.kept) == (1, first.made - 1)


def test_another_quality_or_side_is_made_anew(tmp_path):
    tree, out = make_tree(tmp_path / "raw", size=(144, 256), frames=3), tmp_path / "out"
    sizes = []
    for quality in (95, 60):
        preprocess(tree, out, PreprocessConfig(short_side=72, jpeg_quality=quality), workers=1)
        sizes.append((out / "Keyframes/480p/a/one/00000.jpg").stat().st_size)
    assert sizes[1] < sizes[0]


def test_the_working_size():
    assert resized((720, 1280), 480) == (480, 854) and resized((1280, 720), 480) == (854, 480)
    assert resized((480, 854), 480) == (480, 854)
