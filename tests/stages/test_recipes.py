"""A change reruns the stages that it can change, since the recipes of the others stay."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from pdnet.config import load_config
from pdnet.stages.recipes import READS, run
from tests.helpers import ROOT, write_params

SCORING = {"evaluate", "references", "notebooks", "comparison", "ablate/full", "compare/ipda"}
TRAINING = {"train", "tables", "comparison", "ablate/full", "compare/ipda"}
SHORT = {"ablation__run": ["full"], "comparison__methods": ["ipda", "hfan"]}
SHORT |= {"comparison__run": ["ipda"]}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    for folder in ("pipelines", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipes(**changes: object) -> dict[str, str]:
    """Stage -> its recipe with these parameters."""
    run(write_params(Path("params.yaml"), **SHORT | changes))
    folder = Path("results/recipes")
    files = sorted(folder.rglob("*.yaml"))
    return {str(file.relative_to(folder).with_suffix("")): file.read_text() for file in files}


def test_every_stage_has_a_recipe(project):
    assert set(recipes()) == {*READS, "ablate/full", "compare/ipda", "compare/hfan"}
    assert recipes() == recipes(), "the same parameters and code give the same bytes"


@pytest.mark.parametrize(
    ("changes", "reruns"),
    [
        ({"machine__threads": 1}, set()),
        ({"profiles__davis__train__epochs": 1}, set()),
        ({"ablation__variants__one-part": {"model.parts": 2}}, {"tables"}),
        ({"preprocess__short_side": 96}, {"preprocess"}),
        ({"imbalance__frames": 31}, {"imbalance"}),
        ({"evaluate__threshold": 0.4}, SCORING),
        ({"model__parts": 3}, TRAINING),
        ({"train__jpeg": 0.3}, TRAINING),
        # by its other layers
        ({"profiles__sample__train__batch_size": 2}, TRAINING),
        ({"presets__paper__loss__smoothing": 0.0}, TRAINING - {"tables", "comparison"}),
        ({"ablation__set__model.parts": 3}, {"tables", "ablate/full"}),
    ],
)
def test_a_change_reruns_the_stages_that_read_it(project, changes, reruns):
    before = recipes()
    after = recipes(**changes)
    assert {name for name in before if before[name] != after[name]} == reruns


def test_a_changed_file_reruns_the_stages_that_reach_it(project):
    before = yaml.safe_load(recipes()["tables"])["code"]
    text = Path("pipelines/tables.py").read_text()
    Path("pipelines/tables.py").write_text(text + "\n# changed\n")
    from pdnet.stages.recipes import code_of

    code_of.cache_clear()
    after = yaml.safe_load(recipes()["tables"])["code"]
    assert {name for name in after if after[name] != before[name]} == {"pipelines/tables.py"}


def test_readers_of_experiments_see_resolved_values(project):
    recipes(profile="paper", train__epochs=7)
    shown, config = yaml.safe_load(Path("results/parameters.yaml").read_text()), load_config()
    assert shown["train"]["epochs"] == 7 and shown["model"]["input_size"] == [480, 480]
    assert shown["model"]["backbone"] == config.model.backbone == "resnet50"
