"""A trained network as a registered model, and which version is the champion."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest

from pdnet.base.registry import ALIAS, MODEL
from pdnet.base.store import tracking_client
from pdnet.base.tracking import Run
from pdnet.errors import InputError
from pdnet.inference import served
from pdnet.inference.people import Cutter
from pdnet.inference.segment import ClipSegmenter
from pdnet.model.checkpoint import load_network, save_network
from tests.helpers import small

FRAMES = np.random.default_rng(1).integers(0, 256, (3, 48, 64, 3), np.uint8)


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "pdnet.safetensors"
    save_network(small(), path)
    return path


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    """Which version is the best depends on all that there are."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")


def published(checkpoint, data: str, score: float | None, profile: str = "sample") -> str:
    run = Run("models", "train", tags={"parts": "3", "profile": profile})
    run.model(checkpoint, loader=served.__name__, data=data, score=score)
    run.end()
    return run.run_id


def champion(alias: str = ALIAS) -> str:
    return tracking_client().get_model_version_by_alias(MODEL, alias).run_id


def test_the_champion_is_loaded_by_its_alias_and_gives_our_masks(checkpoint):
    run = published(checkpoint, "data", 70.0)
    model = mlflow.pyfunc.load_model(f"models:/{MODEL}@{ALIAS}")
    network, cut = load_network(checkpoint), Cutter("all", threshold=0.5)
    segmenter = ClipSegmenter(network, lambda index: FRAMES[index], len(FRAMES))
    expected = np.stack([cut.mask(found.probability) for found in segmenter])
    masks = model.predict(FRAMES)
    assert masks.dtype == np.uint8 and np.array_equal(masks, 255 * expected.astype(np.uint8))
    assert 0 < expected.mean() < 1
    assert model.metadata.get_input_schema().to_dict()[0]["tensor-spec"]["dtype"] == "uint8"
    version = tracking_client().get_model_version_by_alias(MODEL, ALIAS)
    assert version.run_id == run and version.tags["data_hash"] == "data"
    assert version.tags["validation_JandF"] == "70.0000" and version.tags["parts"] == "3"


def test_an_experiment_in_a_copy_registers_in_the_project(checkpoint, tmp_path, monkeypatch):
    project, copy = tmp_path / "project", tmp_path / "project/.dvc/tmp/exps/tmpabc"
    copy.mkdir(parents=True)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("DVC_ROOT", str(project))
    monkeypatch.chdir(copy)
    run = published(checkpoint, "data", 70.0)
    assert not (copy / "mlflow.db").exists()
    monkeypatch.delenv("DVC_ROOT")
    monkeypatch.chdir(project)
    assert champion() == run
    model = mlflow.pyfunc.load_model(f"models:/{MODEL}@{ALIAS}")
    assert model.predict(FRAMES).shape == FRAMES.shape[:3]


def test_on_the_same_data_the_better_on_held_back_clips_is_champion(checkpoint):
    good = published(checkpoint, "one", 80.0)
    published(checkpoint, "one", 75.0)
    assert champion() == good
    better = published(checkpoint, "one", 81.0)
    assert champion() == better
    other = published(checkpoint, "two", 20.0)
    assert champion() == other


def test_another_profile_has_a_champion_of_its_own(checkpoint):
    good = published(checkpoint, "clips", 80.0)
    tried = published(checkpoint, "few clips", 90.0, profile="tiny")
    published(checkpoint, "few clips", 10.0, profile="tiny")
    assert champion() == good and champion(f"{ALIAS}-tiny") == tried


def test_frames_of_another_form_are_refused(checkpoint):
    model = served._load_pyfunc(str(checkpoint))
    for wrong in (FRAMES[0], FRAMES.astype(np.float32), FRAMES[:0], FRAMES[..., :2]):
        with pytest.raises(InputError, match="expected \\(N, H, W, 3\\) uint8"):
            model.predict(wrong)
