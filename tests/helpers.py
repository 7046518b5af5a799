"""What several tests share: tiny data sets, tiny parameters, the rules of the golden numbers."""

from __future__ import annotations

import ast
import http.server
import zlib
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml

from pdnet.config import ModelConfig, read_values, with_values
from pdnet.data.layout import Clip, read_tree
from pdnet.model import PDNet
from pdnet.sample.casts import cast_unit

ROOT = Path(__file__).parent.parent
GOLDEN, GOLDEN_MODEL = ROOT / "tests/golden", ROOT / "tests/golden_model"


def save_image(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def disc(size: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    v, u = np.mgrid[: size[0], : size[1]]
    return (v - centre[0]) ** 2 + (u - centre[1]) ** 2 < radius**2


def make_tree(
    root: Path, train=("a/one", "a/two"), val=("b/three",), frames=5, size=(48, 64)
) -> Path:
    """An MVPS tree of a bright disc that wanders over noise."""
    rng = np.random.default_rng(0)
    for clip in (*train, *val):
        start = rng.uniform(0.3, 0.7, 2) * size
        for i in range(frames):
            mask = disc(size, start + i * rng.uniform(-1, 1, 2), 0.25 * size[0])
            image = rng.integers(0, 90, (*size, 3), dtype=np.uint8)
            image[mask] = image[mask] // 2 + np.array([60, 140, 200], np.uint8)
            save_image(root / "Keyframes/480p" / clip / f"{5 * i:05d}.jpg", image)
            save_image(
                root / "Annotations/480p" / clip / f"{5 * i:05d}.png", mask.astype(np.uint8) * 255
            )
    (root / "ImageSets").mkdir(parents=True, exist_ok=True)
    (root / "ImageSets/train.txt").write_text("".join(c + "\n" for c in train))
    (root / "ImageSets/val.txt").write_text("".join(c + "\n" for c in val))
    return root


def rendered_cast(root: Path, kind: str = "eval", index: int = 1) -> Clip:
    """People beside figures, rendered with their truth; the tree's only clip."""
    unit = cast_unit(kind, index, seed=7)
    unit.make(root, *unit.given)
    (root / "ImageSets").mkdir()
    split = "train" if kind == "train" else "val"
    for name in ("train", "val"):
        line = f"{kind}/{index:05d}\n" if name == split else ""
        (root / f"ImageSets/{name}.txt").write_text(line)
    return read_tree(root).clips(split)[0]


TINY = {
    "machine.workers": 1,
    "machine.threads": 1,
    "model.backbone": "resnet18",
    "model.weights": "none",
    "model.input_size": [64, 64],
    "model.channels": 16,
    "model.part_channels": 8,
    "model.attention_channels": 8,
    "model.parts": 3,
    "loss.feature_network": "resnet18",
    "loss.feature_weights": "none",
    "train.epochs": 2,
    "train.steps_per_epoch": 3,
    "train.batch_size": 2,
    "train.holdout": ["a/two"],
    "evaluate.fps_frames": 3,
}


def write_params(path: Path, **changes: object) -> Path:
    """The project's parameters, with their tables in one file, and values by dotted name set, `__`
    standing for a dot.
    """
    raw = read_values(ROOT / "params.yaml")
    raw = with_values(raw, {name.replace("__", "."): value for name, value in changes.items()})
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path


def official_state() -> dict[str, torch.Tensor]:
    """The golden weights, made by the rule of golden_model's README."""
    state = {}
    for line in (GOLDEN_MODEL / "official_state_dict.txt").read_text().splitlines():
        name, shape = line.split("\t")
        state[name] = weight_by_rule(name, ast.literal_eval(shape))
    return state


def weight_by_rule(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.long)
    phase = (zlib.crc32(name.encode()) % 10007) / 10007 * 2 * np.pi
    s = np.sin(phase + 1.618033988749895 * np.arange(int(np.prod(shape)))).reshape(shape)
    if "running_var" in name:
        value = 1 + 0.5 * s * s
    elif "running_mean" in name:
        value = 0.1 * s
    elif len(shape) == 4:
        value = s * 1.6 * np.sqrt(2) * np.sqrt(2 / (shape[1] * shape[2] * shape[3]))
    elif name.endswith("weight"):
        value = 1 + 0.1 * s
    else:
        value = 0.05 * s
    return torch.from_numpy(np.asarray(value, np.float32))


def image_by_rule(phase: float, height: int = 96, width: int = 96) -> torch.Tensor:
    i = np.arange(3 * height * width, dtype=np.float64).reshape(1, 3, height, width)
    return torch.from_numpy(
        (np.sin(phase + 0.013 * i) + 0.5 * np.cos(0.0007 * i * i + phase)).astype(np.float32)
    )


def small(**changes) -> PDNet:
    """A network of three parts with drawn weights, the same each time."""
    torch.manual_seed(0)
    values = {
        "backbone": "resnet18",
        "weights": "none",
        "channels": 16,
        "part_channels": 8,
        "attention_channels": 8,
    }
    return PDNet(ModelConfig(**{**values, "parts": 3, **changes})).eval()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one file with ranges, and breaks off the first answer in the middle."""

    content, ranges, broken = b"", [], False

    def do_GET(self):
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        Server.ranges.append(start)
        body = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not Server.broken:
            Server.broken = True
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_):
        pass
