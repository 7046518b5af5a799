"""A person's own video: masks, an overlay, and one line for what cannot be read."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from pdnet.config import ModelConfig
from pdnet.data.images import read_labels
from pdnet.model import PDNet
from pdnet.model.checkpoint import save_network
from tests.helpers import make_tree, save_image


@pytest.fixture
def checkpoint(tmp_path):
    values = {
        "backbone": "resnet18",
        "weights": "none",
        "channels": 16,
        "part_channels": 8,
        "attention_channels": 8,
    }
    save_network(PDNet(ModelConfig(**values, input_size=(64, 64))), tmp_path / "n.safetensors")
    return tmp_path / "n.safetensors"


def make_video(path: Path, frames: int = 6) -> Path:
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(frames):
            picture = rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_segment_a_video_file(cli, tmp_path, checkpoint):
    video = make_video(tmp_path / "film.mp4")
    status, text = cli("segment", video, "--checkpoint", checkpoint, "--overlay")
    assert status == 0 and "6 masks" in text
    masks = sorted((tmp_path / "film-masks").glob("*.png"))
    assert [m.stem for m in masks] == [f"{i:05d}" for i in range(6)]
    assert read_labels(masks[0]).shape == (64, 96)
    with av.open(str(tmp_path / "film-masks/overlay.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6


def test_segment_a_folder_of_frames(cli, tmp_path, checkpoint):
    tree = make_tree(tmp_path / "tree")
    folder = tree / "Keyframes/480p/a/one"
    assert cli("segment", folder, "-o", tmp_path / "out", "--checkpoint", checkpoint)[0] == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 5


@pytest.mark.parametrize("kind", ["missing", "rubbish", "empty folder", "truncated frame"])
def test_segment_refuses_what_it_cannot_read(cli, tmp_path, checkpoint, kind):
    source = tmp_path / "input"
    if kind == "rubbish":
        source.write_bytes(b"no video at all")
    elif kind != "missing":
        source.mkdir()
    if kind == "truncated frame":
        file = save_image(
            source / "1.jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        )
        file.write_bytes(file.read_bytes()[:-100])
    status, text = cli("segment", source, "--checkpoint", checkpoint)
    last = text.splitlines()[-1]  # a progress bar may stand before it
    assert status == 2 and last.startswith("error: ") and str(source) in last, text
