"""The working copy: sizes, alignment, what is done stays."""

from __future__ import annotations

import numpy as np

from pdnet.config import PreprocessConfig
from pdnet.data.images import read_frame, read_labels, read_mask
from pdnet.data.layout import read_tree
from pdnet.sources.preprocess import preprocess, resized
from tests.helpers import make_tree, save_image


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
    preprocess(tree, out, PreprocessConfig(short_side=48), workers=1)
    linked = out / "Keyframes/480p/a/one/00000.jpg"
    assert linked.samefile(tree / "Keyframes/480p/a/one/00000.jpg")
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*.png")}
    (out / "Annotations/480p/a/one/00010.png").unlink()  # as a kill would leave it
    (out / "Annotations/480p/stray").mkdir()
    save_image(out / "Annotations/480p/stray/00000.png", np.zeros((4, 4), np.uint8))
    preprocess(tree, out, PreprocessConfig(short_side=48), workers=1)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.png")} == times


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
