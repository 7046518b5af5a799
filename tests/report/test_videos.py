"""Clips as moving pictures."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import cv2
import numpy as np
from bs4 import BeautifulSoup
from PIL import Image

from pdnet.data.layout import Clip, read_tree
from pdnet.data.overlays import HIT, MISSED
from pdnet.report.videos import MILLISECONDS, clip_video, show_videos
from tests.helpers import make_tree


def colour_of_people(clip: Clip, masks: Path) -> np.ndarray:
    """Mean colour of the true people in a video's last frame, in 0..1."""
    shown = Image.open(io.BytesIO(clip_video(clip, masks)))
    shown.seek(len(clip.frames) - 1)
    truth = cv2.imread(str(clip.mask(clip.frames[-1])), cv2.IMREAD_GRAYSCALE) > 0
    inside = cv2.resize(truth.astype(np.uint8), shown.size) > 0
    return np.array(shown.convert("RGB"))[inside].mean(0) / 255


def test_a_video_shows_every_annotated_frame_with_hits_and_misses(tmp_path):
    data = make_tree(tmp_path / "data")
    [clip] = read_tree(data).clips("val")
    right, empty = data / "Annotations/480p", tmp_path / "masks"
    video = Image.open(io.BytesIO(clip_video(clip, right)))
    assert video.n_frames == len(clip.frames) == 5
    video.load()
    assert video.info["duration"] == MILLISECONDS
    shutil.copytree(right, empty)
    for file in empty.rglob("*.png"):
        cv2.imwrite(str(file), np.zeros((48, 64), np.uint8))
    for masks, like, unlike in ((right, HIT, MISSED), (empty, MISSED, HIT)):
        colour = colour_of_people(clip, masks)
        assert np.abs(colour - like).sum() < np.abs(colour - unlike).sum()


def test_videos_are_shown_with_words_and_saved_the_same_each_time(tmp_path):
    data = make_tree(tmp_path / "data", val=("b/three", "four"))
    masks = data / "Annotations/480p"
    first, second = (show_videos(data, masks, tmp_path / name).data for name in ("x", "y"))
    assert first == second
    pictures = BeautifulSoup(first, "html.parser").select("img")
    assert ["b/three" in one["alt"] for one in pictures] == [True, False]
    saved = [sorted((tmp_path / name).iterdir()) for name in ("x", "y")]
    assert [file.name for file in saved[0]] == ["b-three.webp", "four.webp"]
    assert [f.read_bytes() for f in saved[0]] == [f.read_bytes() for f in saved[1]]
