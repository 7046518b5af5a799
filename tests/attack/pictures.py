"""Masks and frames: `evaluate` against plain scores, `segment` against what lies around."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import av
import numpy as np
from PIL import Image

from pdnet.data.images import read_labels
from pdnet.model.checkpoint import save_network
from tests.attack.core import Wrong, call, contents, keeps, refused
from tests.attack.mutate import some, spoil_bytes
from tests.bench.plain_evaluator import plain_frame_scores
from tests.helpers import disc, save_image, small

SIZE = (24, 32)
STORED = ("0/255", "0/1", "1 bit", "palette", "grey and alpha", "colour", "16 bit", "probability")
# what is done to a sound evaluation, and whether it must then be refused
SPOILT = {
    "nothing": False,
    "BOM": False,
    "dots and slashes": False,
    "Windows lines": False,
    "capital suffix": False,
    "truncated": True,
    "missing": True,
    "another size": True,
    "twice in the list": True,
    "no UTF-8": True,
    "leads out": True,
    "a comma": True,
    "a bomb": True,
    "a loop": True,
    "list is a folder": True,
    "garbled": None,  # may still be a picture
    "garbled list": None,
}


def _store(path: Path, mask: np.ndarray, how: str) -> None:
    """Writes a mask in one of the ways in which people store them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    value = mask.astype(np.uint8)
    pictures = {
        "0/255": lambda: Image.fromarray(value * 255),
        "0/1": lambda: Image.fromarray(value),
        "1 bit": lambda: Image.fromarray(value * 255).convert("1"),
        "grey and alpha": lambda: Image.fromarray(value * 255).convert("LA"),
        "colour": lambda: Image.fromarray(value * 255).convert("RGB"),
        "16 bit": lambda: Image.fromarray(value.astype(np.uint16) * 65535),
        "probability": lambda: Image.fromarray(np.where(mask, 200, 40).astype(np.uint8)),
    }
    if how == "palette":
        picture = Image.fromarray(value, mode="P")
        picture.putpalette([0, 0, 0, 255, 255, 255] + [0] * 762)
    else:
        picture = pictures[how]()
    picture.save(path, format="PNG")


def evaluate(rng: np.random.Generator, folder: Path) -> str:
    """Two clips, stored in some way, spoilt in some way; right scores or a clear refusal."""
    root, predictions = folder / "truth", folder / "masks"
    how, spoil = some(rng, STORED), some(rng, list(SPOILT))
    clips = {}
    for clip in ("a/one", "two"):
        for i in range(4):
            centre, radius = rng.uniform(0, 1, 2) * SIZE, float(rng.uniform(0, 14))
            truth, mask = disc(SIZE, centre, radius), disc(SIZE, centre + 2, radius)
            save_image(root / f"Annotations/480p/{clip}/{i:05d}.png", truth.astype(np.uint8) * 255)
            _store(predictions / clip / f"{i:05d}.png", mask, how)
            clips.setdefault(clip, []).append((mask, truth))
    lists = root / "ImageSets"
    lists.mkdir()
    (lists / "val.txt").write_text("a/one\ntwo\n")
    _spoil(rng, spoil, lists / "val.txt", predictions / "a/one/00002.png")
    options = ["--threshold", 0.5] if how == "probability" or rng.random() < 0.3 else []
    with keeps(root):
        status, output = call("evaluate", predictions, root, "--out", folder / "out", *options)
    if status != 0:
        if SPOILT[spoil] is False:
            raise Wrong(f"{how}, {spoil}: refused: {output[-300:]}")
        return refused(status, output)
    if SPOILT[spoil]:
        raise Wrong(f"{how}, {spoil}: accepted")
    if spoil == "garbled list":
        return "right"
    scores = json.loads((folder / "out/per-frame_results-val.json").read_text())
    if spoil == "garbled":
        found = read_labels(predictions / "a/one/00002.png") > (127 if options else 0)
        clips["a/one"][2] = (found, clips["a/one"][2][1])
    for clip, pairs in clips.items():
        if spoil == "garbled" and clip == "a/one":
            continue  # how a half readable picture reads is its decoder's business
        for i, (mask, truth) in enumerate(pairs[1:-1]):
            plain = plain_frame_scores(mask, truth)
            ours = scores[clip]["J"][i], scores[clip]["F"][i]
            if not np.allclose(plain, ours, atol=1e-9):
                raise Wrong(f"{how}, {spoil}, {clip} {i}: {ours} is not {plain}")
    return "right"


def _spoil(rng: np.random.Generator, how: str, names: Path, mask: Path) -> None:
    text = "a/one\ntwo\n"
    lists = {
        "BOM": b"\xef\xbb\xbf" + text.encode(),
        "dots and slashes": b"./a//one/\n\n two \n",
        "Windows lines": b"a\\one\r\ntwo\r\n",
        "twice in the list": b"a/one\ntwo\n./two\n",
        "no UTF-8": b"a/one\n\xff\xfe\n",
        "leads out": b"a/one\n../truth/two\n",
        "a comma": b"a/one\ntwo,three\n",
        "garbled list": spoil_bytes(rng, text.encode()),
    }
    if how in lists:
        names.write_bytes(lists[how])
    elif how == "capital suffix":
        mask.rename(mask.with_suffix(".PNG"))
    elif how == "truncated":
        mask.write_bytes(mask.read_bytes()[:-13])
    elif how == "garbled":
        mask.write_bytes(spoil_bytes(rng, mask.read_bytes()))
    elif how in ("missing", "a loop"):
        mask.unlink()
        if how == "a loop":
            mask.symlink_to(mask.name)
    elif how == "another size":
        save_image(mask, np.zeros((SIZE[0], SIZE[1] + 1), np.uint8))
    elif how == "a bomb":
        data = bytearray(mask.read_bytes())
        data[16:24] = (2**17).to_bytes(4, "big") * 2
        mask.write_bytes(data)
    elif how == "list is a folder":
        names.unlink()
        names.mkdir()


@cache
def _checkpoint() -> Path:
    """A small network's file, one for the process."""
    import tempfile

    path = Path(tempfile.mkdtemp(prefix="attack-network-")) / "small.safetensors"
    save_network(small(input_size=(64, 64)), path)
    return path


def _video(rng: np.random.Generator, path: Path) -> bytes:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(3):
            frame = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


def segment(rng: np.random.Generator, folder: Path) -> str:
    """Frames or a video in, and an output folder that may hold the user's files."""
    source = folder / "frames"
    if rng.random() < 0.3:
        source = folder / "film.mp4"
        data = _video(rng, source)
        if rng.random() < 0.6:
            source.write_bytes(spoil_bytes(rng, data))
    else:
        size = (int(rng.integers(1, 40)), int(rng.integers(1, 40)))
        for i in range(int(rng.integers(1, 4))):
            suffix = some(rng, (".png", ".jpg", ".bmp"))
            stem = 0 if rng.random() < 0.1 else i
            picture = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
            save_image(source / f"{stem}{suffix}", picture)
        if rng.random() < 0.3:
            file = some(rng, sorted(source.iterdir()))
            file.write_bytes(spoil_bytes(rng, file.read_bytes()))
    out = folder / "out"
    if rng.random() < 0.3:
        out = some(rng, (source, source / "in", folder, folder / "theirs"))
    save_image(folder / "theirs" / "00000.png", np.zeros((3, 3), np.uint8))
    options = ["--overlay"] if rng.random() < 0.4 else []
    twice = rng.random() < 0.3
    with keeps(folder):
        given = ("segment", source, "--out", out, "--checkpoint", _checkpoint(), *options)
        status, output = call(*given)
    if status != 0:
        return refused(status, output)
    masks = {path: data for path, data in contents(out).items() if path.endswith(".png")}
    if not masks or str(len(masks)) not in output:
        raise Wrong(f"{len(masks)} masks, and it says: {output[-200:]}")
    if twice and call(*given)[0] != 0:
        raise Wrong("the same command does not run twice")
    return "right"
