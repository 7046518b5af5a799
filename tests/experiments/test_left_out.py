"""Trainings on all clips but one, small: from an owner's clips to tables and their picture."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from pdnet.config import left_out_configs
from pdnet.errors import InputError
from pdnet.experiments.left_out import LeftOutFolders, run_left_out
from pdnet.experiments.left_out_tables import write_summary
from pdnet.report.left_out import scores, write_figure
from pdnet.training.loop import Training
from tests.helpers import TINY, make_tree, write_params

CLIPS = ["b/three", "a/one", "a/two"]  # of the evaluation list, of the training list
SMALL = {
    **TINY,
    "data.source": "mvps",
    "data.image_sets": [],
    "train.epochs": 1,
    "train.steps_per_epoch": 2,
    "train.image_steps": "none",
    "left_out.run": ["no-ipda", "full"],
    "left_out.set": {"train.clips": "all"},
}


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> LeftOutFolders:
    root = tmp_path_factory.mktemp("left-out")
    make_tree(root / "clips", size=(96, 128))
    where = {name: root / name for name in ("source", "raw", "data", "work", "out")}
    return LeftOutFolders(**where)


@pytest.fixture(scope="module")
def values(places) -> dict[str, str]:
    return {"data.root": str(places.data.with_name("clips"))}


@pytest.fixture(scope="module")
def params(places, values, tracking_store) -> Path:
    """The parameters of trainings that two machines have done, one after the other."""
    params = write_params(places.data.with_name("params.yaml"), **SMALL)
    with pytest.MonkeyPatch.context() as patched:
        # a module's fixture comes before `own_tracking`
        patched.setenv("MLFLOW_TRACKING_URI", tracking_store)
        missing = run_left_out(params, values, places, (1, 2))
        assert missing == ["no-ipda a/one 1", "full b/three 1", "full a/two 1"]
        before = {file: file.stat().st_mtime_ns for file in checkpoints(places)}
        assert run_left_out(params, values, places, (2, 2)) == []
    assert len(before) == 3 and len(checkpoints(places)) == 6
    assert all(file.stat().st_mtime_ns == when for file, when in before.items())
    return params


def checkpoints(places: LeftOutFolders) -> list[Path]:
    return sorted(places.work.rglob("pdnet.safetensors"))


def test_every_clip_is_scored_by_a_network_of_its_own(places, params):
    clips = pd.read_csv(places.out / "clips.csv")
    assert list(clips["left_out"]) == CLIPS * 2 and set(clips["seed"]) == {1}
    assert clips[["J", "F", "J&F", "taken", "warped_iou"]].notna().all(axis=None)
    assert clips[clips.variant == "full"]["unrelated J&F"].notna().all()
    assert clips[clips.variant == "no-ipda"]["unrelated J&F"].isna().all()
    assert pd.read_csv(places.out / "trainings.csv").weights.nunique() == 6
    frames = pd.read_csv(places.out / "frames.csv")
    # five frames a clip, of which the first and the last are not scored
    assert frames.groupby(["variant", "left_out"]).size().eq(3).all()
    means = frames.groupby(["variant", "left_out"])["J"].mean()
    found = clips.set_index(["variant", "left_out"])["J"]
    np.testing.assert_allclose(means, found.reindex(means.index), atol=1e-4)
    assert (frames["imbalance"] >= 0).all()
    # the disc moves the same whoever looks
    assert frames.groupby(["left_out", "frame"])["imbalance"].nunique().eq(1).all()


def test_a_network_never_saw_the_clip_that_it_is_scored_on(places, params, values, tmp_path):
    configs = left_out_configs(params, values, CLIPS)
    for (_, clip, _), config in configs.items():
        training = Training(config, places.data, tmp_path / clip)
        seen = {name for name in training.datasets["video"].groups()}
        assert seen == set(CLIPS) - {clip}


def test_what_is_recorded_stays_where_one_row_is_here(places, params, values, tmp_path):
    recorded = {file: file.read_bytes() for file in sorted(places.out.glob("*.csv"))}
    elsewhere = replace(places, work=tmp_path)
    shutil.copytree(places.work / "full", tmp_path / "full")
    assert run_left_out(params, values, elsewhere, rows=["full"]) == []
    assert {file: file.read_bytes() for file in sorted(places.out.glob("*.csv"))} == recorded
    # the same clips from another folder are the same
    moved = shutil.copytree(values["data.root"], tmp_path / "moved")
    assert run_left_out(params, {"data.root": str(moved)}, elsewhere, rows=["full"]) == []


def test_an_unknown_row_is_refused_before_anything_is_brought(places, params, values, tmp_path):
    untouched = replace(places, raw=tmp_path / "raw", data=tmp_path / "data")
    with pytest.raises(InputError, match="--row: 'nobody' is no row; known: no-ipda, full"):
        run_left_out(params, values, untouched, rows=["nobody"])
    assert not list(tmp_path.iterdir())


def test_the_tables_are_drawn(places, params, tmp_path):
    figure = scores(places.out)
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == sorted(CLIPS)
    # own and another's first frame of `full`, none of another's without IPDA
    assert len(axis.collections) == 3
    write_figure(places.out)
    assert cv2.imread(str(places.out / "scores.png")).std() > 5


def tables(folder: Path, gain: float, slope: float) -> None:
    """Twelve clips on which a row is better by `gain`, and more so by `slope` in frames of more
    imbalance.
    """
    rng = np.random.default_rng(0)
    rows, frames = [], []
    for clip in range(12):
        hard = rng.uniform(0.4, 0.8)
        imbalance = rng.uniform(0, 1, 20)
        for variant, more in (("no-ipda", 0.0), ("full", 1.0)):
            noise = rng.normal(0, 0.01, 20)
            j = hard + more * (gain + slope * (imbalance - 0.5)) + noise
            key = {"variant": variant, "left_out": f"{clip:02d}", "seed": 1}
            row = key | {name: j.mean() for name in ("J", "F", "J&F")} | {"taken": 0.2}
            rows.append(row | ({"unrelated J&F": hard} if more else {}))
            for stem, (value, spread) in enumerate(zip(j, imbalance, strict=True)):
                frames.append(key | {"frame": stem, "J": value, "imbalance": spread})
    pd.DataFrame(rows).to_csv(folder / "clips.csv", index=False)
    pd.DataFrame(frames).to_csv(folder / "frames.csv", index=False)


@pytest.mark.parametrize("gain", [0.1, 0.0])
@pytest.mark.parametrize("slope", [0.2, 0.0])
def test_the_summary_says_what_is_better_and_whether_imbalance_has_to_do_with_it(
    tmp_path, gain, slope
):
    tables(tmp_path, gain, slope)
    row = write_summary(tmp_path, ["no-ipda", "full", "never-trained"]).loc["full"]
    assert float(row["vs no-ipda"]) == pytest.approx(100 * gain, abs=1.5)
    assert (float(row["p (Holm)"]) < 0.01) == (gain > 0)
    assert float(row["its own is worth"].split()[0]) == pytest.approx(100 * gain, abs=1.5)
    assert row["taken beside people"] == "20"
    said = row["gain with imbalance (rank correlation)"]
    assert (float(said.split()[0]) > 0.5) == (slope > 0) and "12 clips" in said
    assert (float(said.split("p = ")[1].rstrip(")")) < 0.01) == (slope > 0)
    assert "12 clips, 1 seed(s)" in (tmp_path / "summary.md").read_text()


def test_nothing_to_run_is_refused(places, values, tmp_path):
    params = write_params(tmp_path / "params.yaml", **{**SMALL, "left_out.run": []})
    with pytest.raises(InputError, match=r"left_out\.run: empty in the profile 'sample'"):
        run_left_out(params, values, places)
    params = write_params(tmp_path / "params.yaml", **{**SMALL, "left_out.run": ["nobody"]})
    with pytest.raises(InputError, match="'nobody' is no variant"):
        left_out_configs(params, values, CLIPS)
