"""The sample as a tree, and wrong scripts by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from pdnet.base.manifest import bring
from pdnet.data.images import read_labels
from pdnet.data.layout import problems, read_tree
from pdnet.data.skeleton import PARTS
from pdnet.errors import InputError
from pdnet.sample.render import clip_units, image_units, read_scenes
from tests.helpers import ROOT

SCENES = ROOT / "pipelines/sample/scenes.yaml"


def small_script(path: Path) -> Path:
    raw = yaml.safe_load(SCENES.read_text())
    clips = [
        c
        for c in raw["clips"]
        if c["name"] in ("lecture/museum", "news/evening", "online-shopping/kettle")
    ]
    path.write_text(yaml.safe_dump({"clips": [{**c, "frames": 7} for c in clips]}))
    return path


def test_rendering_makes_a_sound_tree_and_resumes(tmp_path):
    script = small_script(tmp_path / "scenes.yaml")
    units = clip_units(read_scenes(script)) + image_units(2, seed=0)
    assert bring(tmp_path / "raw", units, "render", workers=1).kept == 0
    assert bring(tmp_path / "raw", units, "render", workers=1).made == 0
    tree = read_tree(tmp_path / "raw")
    assert problems(tree) == [] and tree.clips("val")[0].frames == ("00000", "00005")
    names = {p.name for p in (tmp_path / "raw/Frames/480p/lecture/museum").iterdir()}
    assert names == {f"{i:05d}.jpg" for i in (1, 2, 3, 4, 6)}
    parts = read_labels(tmp_path / "raw/Parts/480p/lecture/museum/00003.png")
    assert set(np.unique(parts)) <= set(range(len(PARTS) + 1))
    assert len(list((tmp_path / "raw/Images/sample/img").iterdir())) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("clips: 3", "not a list of scenes"),
        (
            "clips: "
            "[{name: a/b, split: train, seed: 1, backdrop: clutter, people: [], color: red}]",
            "color",
        ),
        (
            "clips: [{name: a/b, split: test, seed: 1, backdrop: clutter, people: []}]",
            "split = 'test'",
        ),
    ],
)
def test_a_wrong_script_is_named(tmp_path, text, says):
    (tmp_path / "scenes.yaml").write_text(text)
    with pytest.raises(InputError, match="scenes.yaml") as error:
        read_scenes(tmp_path / "scenes.yaml")
    assert says in str(error.value)
