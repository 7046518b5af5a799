"""What comes from elsewhere: archives, COCO annotations, owners' trees."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pdnet.base.manifest import Hashes, bring, files_of
from pdnet.config import Config, PreprocessConfig, load_config
from pdnet.errors import InputError
from pdnet.sources.clips import download
from pdnet.sources.coco import read_people, union
from pdnet.sources.image_sets import image_set_units
from pdnet.sources.preprocess import preprocess
from pdnet.sources.unpack import unpacked
from tests.attack.core import Lost, Wrong, contents, keeps
from tests.attack.files import told
from tests.attack.mutate import some, spoil_bytes, spoil_value
from tests.helpers import TINY, make_tree, save_image, write_params

NAMES = (
    "a.txt",
    "d/b.txt",
    "d/e/c.bin",
    "../out.txt",
    "/tmp/out.txt",
    "c:\\x",
    "d",
    "",
    ".",
    "a\nb",
)


def _entries(rng: np.random.Generator) -> dict[str, bytes]:
    most = len(NAMES) if rng.random() < 0.3 else 3
    names = [NAMES[int(i)] for i in rng.integers(0, most, int(rng.integers(1, 5)))]
    return {name: rng.bytes(int(rng.integers(0, 3000))) for name in names}


def _zip(rng: np.random.Generator, entries: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    how = some(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name, content in entries.items():
            archive.writestr(name or "empty", content)
    return stream.getvalue()


def _tar(rng: np.random.Generator, entries: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{some(rng, ('', 'gz', 'bz2', 'xz'))}") as archive:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            kind = int(rng.integers(20))
            if kind < 3:
                links = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE)
                entry.type, entry.linkname = links[kind], "../../secret.txt"
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def archive(rng: np.random.Generator, folder: Path) -> str:
    """An archive, perhaps spoilt: all of it comes out inside its folder, or nothing."""
    entries, path = _entries(rng), folder / "in" / "data.archive"
    path.parent.mkdir()
    (folder / "secret.txt").write_text("mine")
    kind = some(rng, (_zip, _tar))
    made = kind(rng, entries)
    # a tar has no checksum of its files' content
    checked = kind is _zip
    if rng.random() < 0.5:
        made = spoil_bytes(rng, made)
    else:
        checked = True
    path.write_bytes(made)
    with keeps(folder):
        try:
            out = unpacked(path, folder / "in")
        except InputError as error:
            left = [
                name for name in contents(folder) if name not in ("secret.txt", "in/data.archive")
            ]
            if left:
                raise Wrong(f"refused, and yet it wrote {left[:3]}") from error
            return told(error)
    outside = [name for name in contents(folder) if not name.startswith(("in/", "secret.txt"))]
    if outside:
        raise Lost(f"written outside: {outside[:3]}")
    for name, content in contents(out).items():
        known = entries.get(name)
        if checked and known is not None and known != content:
            raise Wrong(f"{name} came out otherwise")
    return "right"


def _annotations(rng: np.random.Generator) -> dict[str, Any]:
    polygon = [10, 10, 90, 10, 90, 90, 10, 90]
    runs = {"size": [100, 120], "counts": [0, 12000]}
    people = [
        {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": [polygon]},
        {"id": 2, "image_id": 2, "category_id": 1, "iscrowd": 0, "segmentation": runs},
        {"id": 3, "image_id": 2, "category_id": 1, "iscrowd": 1, "segmentation": runs},
    ]
    images = [{"id": i, "file_name": f"{i:012d}.jpg", "height": 100, "width": 120} for i in (1, 2)]
    images[0] |= {"license": 4, "flickr_url": "http://farm1.staticflickr.com/1.jpg"}
    images[1] |= {"license": 1, "coco_url": "http://images.cocodataset.org/2.jpg"}
    licences = [{"id": i, "name": "Attribution", "url": "http://cc/by"} for i in (1, 4)]
    tables = {"licenses": licences, "images": images, "annotations": people}
    return {**tables, "categories": [{"id": 1, "name": "person"}]}


def coco(rng: np.random.Generator, folder: Path) -> str:
    """Spoilt annotations are refused by name, or give masks of the image's size."""
    root = folder / "coco"
    for i in (1, 2):
        save_image(root / f"train2017/{i:012d}.jpg", np.zeros((100, 120, 3), np.uint8))
    file = root / "annotations" / "instances_train2017.json"
    file.parent.mkdir()
    text = json.dumps(spoil_value(rng, _annotations(rng)))
    if rng.random() < 0.15:
        text = some(
            rng, ("[" * 100_000, "null", "5", '"x"', text.replace("10", "1e300"), text[:-9])
        )
    file.write_bytes(spoil_bytes(rng, text.encode()) if rng.random() < 0.15 else text.encode())
    try:
        for _, image, people in read_people(root):
            if not image.is_relative_to(root / "train2017"):
                raise Lost(f"{image} lies elsewhere")
            if union(people).shape != (people.height, people.width):
                raise Wrong("a mask of another size")
        hashes = Hashes(folder / "raw")
        licences = some(rng, (None, [4], [1, 4]))
        names, root = ["coco_person"], str(folder)
        units = image_set_units(names, root=root, hashes=hashes, licences=licences)
        bring(folder / "raw", units, "images", hashes=hashes, workers=1)
    except InputError as error:
        return told(error)
    return "right"


def _config(folder: Path, source: str, root: Path, **changes: Any) -> Config:
    values = {**TINY, "data__source": source, "data__root": str(root), "data__image_sets": []}
    return load_config(write_params(folder / "params.yaml", **{**values, **changes}))


def _spoil_tree(rng: np.random.Generator, tree: Path) -> None:
    files = sorted(file for file in tree.rglob("*") if file.is_file())
    file = some(rng, files)
    twin = file.with_suffix(some(rng, (".png", ".jpg", ".PNG")))
    ways = {
        "garble": lambda: file.write_bytes(spoil_bytes(rng, file.read_bytes())),
        "remove": file.unlink,
        "rename": lambda: file.rename(
            file.with_name(some(rng, ("x.png", "a,b.jpg", ".x", "é.jpg")))
        ),
        "capitals": lambda: file.rename(file.with_suffix(file.suffix.upper())),
        "double": lambda: twin.write_bytes(file.read_bytes()),
        "resize": lambda: save_image(file, np.zeros((9, 9, 3), np.uint8)),
        "loop": lambda: (file.unlink(), file.symlink_to(file.name)),
        "folder": lambda: (file.unlink(), file.mkdir()),
        "leftover": lambda: (file.parent / ".writing-abc.jpg").write_bytes(b"half"),
    }
    way = some(rng, list(ways))
    if way == "resize" and file.suffix not in (".jpg", ".png"):
        way = "garble"
    ways[way]()


def tree(rng: np.random.Generator, folder: Path) -> str:
    """An owner's tree changes again and again; ours follows it, or it is refused, and it stays."""
    owner = make_tree(folder / "owner", train=("a/one",), val=("b/two",), frames=3)
    return _followed(rng, folder, owner, _config(folder, "mvps", owner))


def people(rng: np.random.Generator, folder: Path) -> str:
    """Two trees and a set of photographs, composed, change again and again; as above."""
    owner = folder / "owner"
    make_tree(owner / "one", train=("a",), val=("b",), frames=2)
    make_tree(owner / "two", train=("c",), val=(), frames=2)
    for stem in ("x", "y"):
        save_image(owner / f"two/images/street/img/{stem}.jpg", np.zeros((48, 64, 3), np.uint8))
        save_image(owner / f"two/images/street/mask/{stem}.png", np.zeros((48, 64), np.uint8))
    values = {"data__trees": ["one", "two"], "data__image_sets": ["street"]}
    return _followed(rng, folder, owner, _config(folder, "people", owner, **values))


def _followed(rng: np.random.Generator, folder: Path, owner: Path, config: Config) -> str:
    data, how = folder / "data", PreprocessConfig(short_side=48)
    verdict = "right"
    for step in range(int(rng.integers(1, 4))):
        if step or rng.random() < 0.8:
            _spoil_tree(rng, owner)
        if step and rng.random() < 0.4:
            _garble(rng, data)
        made = []
        for place in (data, folder / f"cold-{step}"):
            with keeps(owner):
                try:
                    download(config, owner, place / "raw")
                    preprocess(place / "raw", place / "480p", how, 1)
                    made.append(_both(place))
                except InputError as error:
                    verdict = told(error)
                    made.append(None)
        if made[0] != made[1]:
            raise Wrong(f"step {step}: not what a cold rebuild gives")
    return verdict


def _garble(rng: np.random.Generator, data: Path) -> None:
    """Spoils a file that we made, not one behind a link."""
    ours = [path for path in data.rglob("*") if path.is_file() and not path.is_symlink()]
    ours = [path for path in ours if path.name[0] != "." and data / "raw" not in path.parents]
    if ours:
        file = some(rng, sorted(ours))
        file.write_bytes(spoil_bytes(rng, file.read_bytes()))


def _both(data: Path) -> dict[str, bytes]:
    found = {}
    for kind in ("raw", "480p"):
        for path in files_of(data / kind):
            found[f"{kind}/{path}"] = (data / kind / path).read_bytes()
    return found
