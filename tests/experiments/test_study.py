"""The study of motion, small: from rendering to tables."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup

from pdnet.config import study_configs
from pdnet.data.layout import read_tree
from pdnet.data.true_motion import read_truth
from pdnet.errors import InputError
from pdnet.experiments import study
from pdnet.experiments.left_out_tables import write_summary as write_left_out_summary
from pdnet.experiments.part_motion import MOVING
from pdnet.experiments.record import share_of
from pdnet.experiments.statistics import smallest_p
from pdnet.experiments.study import StudyFolders, run_study, trainings, write_study
from pdnet.experiments.study_measures import EncoderHead
from pdnet.experiments.study_tables import write_imbalance, write_summary
from pdnet.report.pages import execute
from pdnet.report.study import recorded as read_record
from pdnet.report.study import scores, thresholds, write_figures
from pdnet.report.study_examples import EXAMPLES, examples, write_examples
from pdnet.sample import cast_series
from pdnet.stages.study import run
from tests.experiments.test_left_out import tables as left_out_tables
from tests.helpers import ROOT, TINY, small, write_params

SMALL = {
    **TINY,
    "train.holdout": [],
    "train.epochs": 1,
    "train.steps_per_epoch": 2,
    "data.casts": 2,
    "data.held_casts": 1,
    "data.evaluated_casts": 2,
    "study.run": ["no-ipda", "ours"],
    "study.seeds": [1, 2],
}


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> StudyFolders:
    root = tmp_path_factory.mktemp("study")
    return StudyFolders(data=root / "casts", work=root / "work", out=root / "out")


@pytest.fixture(scope="module")
def params(places, tracking_store) -> Path:
    """The parameters of a study that two machines have done, one after the other."""
    params = write_params(places.data.with_name("params.yaml"), **SMALL)
    with pytest.MonkeyPatch.context() as patched:
        # a module's fixture comes before `own_tracking`
        patched.setenv("MLFLOW_TRACKING_URI", tracking_store)
        patched.setattr(cast_series, "SCENES", 2)
        patched.setattr(study, "LEVELS", (0.0, 1.0))
        assert run_study(params, places, (1, 2)) == ["no-ipda 2", "ours 2"]
        files = sorted(places.work.glob("*/1/pdnet.safetensors"))
        before = [file.stat().st_mtime_ns for file in files]
        assert run_study(params, places, (2, 2)) == []
    # none is done twice
    assert [file.stat().st_mtime_ns for file in files] == before and len(files) == 2
    return params


def test_what_the_study_measures(places, params):
    clips = pd.read_csv(places.out / "clips.csv")
    assert len(clips) == 2 * 2 * 2 and clips.groupby(["variant", "seed"]).size().eq(2).all()
    of_motion = clips[clips.variant == "ours"]
    assert (
        of_motion[["unrelated J&F", "head J&F", "unrelated products", "nmi"]].notna().all(axis=None)
    )
    assert (clips["people_found"] <= clips["people"]).all() and (clips["people"] > 0).all()
    assert clips[clips.variant == "no-ipda"]["unrelated J&F"].isna().all()
    curves = pd.read_csv(places.out / "curves.csv")
    assert len(curves) == 19 * len(clips) and curves["J"].between(0, 1).all()
    series = pd.read_csv(places.out / "imbalance.csv")
    assert series.groupby(["variant", "seed"]).size().eq(2 * 2).all()
    assert (series["figures"] > 0).all() and series["J_limbs"].between(0, 1).all()
    members = pd.read_csv(places.out / "members.csv")
    assert members["probability"].between(0, 1).all() and set(members["alive"]) == {True, False}
    assert not members[~members["alive"]]["moved"].any(), "figures stay in the scene"
    oracle = pd.read_csv(places.out / "oracle.csv")
    assert len(oracle) == 2 and oracle["decided"].between(0, 1).all()
    assert pd.read_csv(places.out / "trainings.csv").weights.nunique() == 4


def test_what_is_recorded_stays_word_by_word(places, params, tmp_path):
    """On a machine that has done one row alone."""
    recorded = {file: file.read_bytes() for file in sorted(places.out.glob("*.*"))}
    elsewhere = replace(places, work=tmp_path)
    shutil.copytree(places.work / "no-ipda", tmp_path / "no-ipda")
    assert write_study(trainings(params), elsewhere) == []
    assert {file: file.read_bytes() for file in sorted(places.out.glob("*.*"))} == recorded
    # nor has it to know what became of the scores of a row
    (tmp_path / "no-ipda/1/scores.json").unlink()
    assert write_study(trainings(params), elsewhere) == []
    assert {file: file.read_bytes() for file in sorted(places.out.glob("*.*"))} == recorded
    # what was trained, or is recorded, with other parameters is none of these
    changed = write_params(tmp_path / "changed.yaml", **{**SMALL, "train.lr_video_heads": 0.5})
    elsewhere = replace(elsewhere, out=shutil.copytree(places.out, tmp_path / "out"))
    missing = write_study(trainings(changed), elsewhere)
    assert missing == ["no-ipda 1", "no-ipda 2", "ours 1", "ours 2"]


def test_casts_are_drawn_with_what_rows_see_and_how_parts_moved(places, params, tmp_path):
    clips = read_tree(places.data).clips("val")
    of_rows = {name: places.work / name / "1" / "pdnet.safetensors" for name in ("no-ipda", "ours")}
    figure = examples(of_rows, clips)
    axes = np.array(figure.axes).reshape(len(clips), -1)
    titles = ["first frame", "who is alive", "no-ipda", "ours", "steps of its parts"]
    assert [axis.get_title() for axis in axes[0]] == titles
    for row, clip in zip(axes, clips, strict=True):
        drawn = [axis.images[0].get_array() for axis in row]
        assert all(picture.shape == drawn[0].shape and picture.std() > 5 for picture in drawn)
        assert not np.array_equal(drawn[2], drawn[3]), "two networks see the same"
        truth = read_truth(clip)
        steps = truth.steps(clip.scored_frames()[-1])[truth.alive]
        arrows = row[-1].collections[1]
        assert len(arrows.U) == (np.linalg.norm(steps, axis=-1) >= MOVING).sum() > 0
        # an arrow out of the frame does not widen it
        assert row[-1].get_xlim() == row[0].get_xlim()
    write_examples(figure, tmp_path / EXAMPLES)
    assert cv2.imread(str(tmp_path / EXAMPLES)).std() > 10
    only = examples({"no-ipda": of_rows["no-ipda"]}, clips[:1])
    assert len(only.axes) == 3


def test_machines_share_the_trainings_and_do_none_twice(tmp_path):
    params = write_params(tmp_path / "params.yaml", **SMALL)
    every, shares = trainings(params), []
    for number in (1, 2, 3):
        shares += [training.key for training in share_of(every, (number, 3))]
    assert sorted(shares) == sorted(training.key for training in every)
    assert len(set(shares)) == len(shares) == 4


def test_rows_of_the_study_are_whole_trainings_of_the_casts(tmp_path):
    params = write_params(tmp_path / "params.yaml")
    for name, seeds in study_configs(params).items():
        for seed, config in seeds.items():
            assert config.seed == seed and config.data.source == "casts"
            assert config.train.start is None and not config.train.freeze_encoder, name
            assert config.train.targets == "later"


def test_a_row_that_is_no_variant_is_refused(tmp_path):
    params = write_params(tmp_path / "params.yaml", study__run=["nobody"])
    with pytest.raises(InputError, match="'nobody' is no variant"):
        study_configs(params)


def test_a_study_of_nothing_is_refused(places, tmp_path):
    params = write_params(tmp_path / "params.yaml", study__run=[])
    with pytest.raises(InputError, match=r"study\.run: empty"):
        run_study(params, places)


def test_a_row_alone_is_trained_and_one_that_the_study_has_not_is_refused(tmp_path):
    every = trainings(write_params(tmp_path / "params.yaml", **SMALL))
    assert [training.key for training in share_of(every, (2, 2), ["ours"])] == [("ours", "2")]
    with pytest.raises(InputError, match="'nobody' is no row; known: no-ipda, ours"):
        share_of(every, rows=["nobody"])


@pytest.mark.parametrize("shard", ["0/1", "2/1", "x", "1/2/3", ""])
def test_what_is_no_part_is_refused(tmp_path, shard):
    with pytest.raises(InputError, match="is no part such as 1/2"):
        run(tmp_path / "params.yaml", tmp_path / "out", shard)


def test_the_encoders_head_looks_at_nothing_else():
    network = small()
    head = EncoderHead(network)
    frame = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        output = head.segment(frame, None)
        auxiliary = network(frame, torch.rand(1, 3, 64, 64)).auxiliary_logits[0]
    np.testing.assert_array_equal(output.logits.numpy(), auxiliary.numpy())


def steps(rng, *, found: float, then: float) -> dict[str, float]:
    """Of forty limbs, found with a correlation, and with another one by the wrong reference."""
    truth, noise = rng.normal(0, 10, 80), rng.normal(0, 10, (2, 80))
    shares = np.array([[found], [then]])
    own, other = shares * truth + (1 - shares**2) ** 0.5 * noise
    said = {"limbs": 40, "end_point_error": 9.0}
    said |= {"true_steps": truth.sum(), "true_squares": truth @ truth}
    for prefix, values in (("", own), ("unrelated ", other)):
        said[f"{prefix}found_steps"] = values.sum()
        said[f"{prefix}found_squares"], said[f"{prefix}products"] = values @ values, values @ truth
    return said


def recorded(folder, gain: float):
    """Tables of two rows, of which one is better by `gain` on every clip, within noise."""
    rng, of_limbs = np.random.default_rng(0), np.random.default_rng(1)
    rows, curves = [], []
    for variant, more in (("no-ipda", 0.0), ("spread", gain)):
        for seed in (1, 2, 3):
            for clip in range(20):
                score = 0.4 + more + rng.normal(0, 0.01)
                row = {"variant": variant, "seed": seed, "clip": f"eval/{clip:05d}"}
                counts = {"people": 100, "people_found": 100 * score, "resting": 50}
                counts |= {f"motion_{i}": 50 for i in range(4)}
                counts |= {f"motion_{i}_found": 10 + 5 * i for i in range(4)}
                counts |= {"resting_found": 20, "figures": 80, "figures_taken": 20}
                values = {"J": score, "F": score, "J&F": score, "head J&F": 0.4, **counts}
                if variant == "spread":
                    values |= {"unrelated J&F": 0.4, **steps(of_limbs, found=0.7, then=0.1)}
                    values |= {"unrelated people_found": 55, "unrelated figures_taken": 60}
                rows.append(row | values | {"calibration_error": 0.1})
                curves += [row | {"threshold": t, "J": score + t / 100} for t in (0.4, 0.5)]
    pd.DataFrame(rows).to_csv(folder / "clips.csv", index=False)
    pd.DataFrame(curves).to_csv(folder / "curves.csv", index=False)
    members = [
        {"variant": variant, "seed": seed, "alive": alive, "moved": alive}
        | {"probability": rng.uniform() + (5 * gain if alive and more else 0)}
        for variant, more in (("no-ipda", 0.0), ("spread", gain))
        for seed in (1, 2, 3)
        for alive in (True, False)
        for _ in range(200)
    ]
    pd.DataFrame(members).to_csv(folder / "members.csv", index=False)
    series = [
        {"variant": variant, "seed": seed, "scene": f"{scene:02d}", "level": level}
        | {"J_limbs": 0.3 + more * level + rng.normal(0, 0.01), "people": 100, "figures": 80}
        | {"people_found": 30 + 100 * more * level, "figures_taken": 20}
        for variant, more in (("no-ipda", 0.0), ("spread", gain))
        for seed in (1, 2, 3)
        for scene in range(10)
        for level in (0.0, 0.5, 1.0)
    ]
    pd.DataFrame(series).to_csv(folder / "imbalance.csv", index=False)
    oracle = [{"clip": f"eval/{i:05d}", "J&F": 0.9, "decided": 0.75} for i in range(20)]
    pd.DataFrame(oracle).to_csv(folder / "oracle.csv", index=False)


@pytest.mark.parametrize("gain", [0.2, 0.0])
def test_the_summary_says_what_is_better_and_by_how_much(tmp_path, gain):
    recorded(tmp_path, gain)
    table = write_summary(tmp_path, ["no-ipda", "spread", "never-trained"])
    assert list(table.index) == ["no-ipda", "spread", "oracle: who moved, by true joints"]
    row = table.loc["spread"]
    assert float(row["J&F"]) == pytest.approx(40 + 100 * gain, abs=0.5)
    assert float(row["vs no-ipda"]) == pytest.approx(100 * gain, abs=0.5)
    assert (float(row["p (Holm)"]) < 0.001) == (gain > 0)
    assert float(row["its own is worth"].split()[0]) == pytest.approx(100 * gain, abs=0.5)
    assert float(row["told apart (AUC)"]) == pytest.approx(1.0 if gain else 0.5, abs=0.03)
    assert row["people found then"] == "55.0" and row["figures taken then"] == "75.0"
    assert row["resting parts found"] == "40.0" and row["figures taken for people"] == "25.0"
    assert row["J, best threshold"].endswith("(0.50)")
    for title, value in (("steps: correlation", 0.7), ("steps: correlation then", 0.1)):
        mean, low, _, high = row[title].replace("(", "").replace(")", "").split()
        assert float(low) <= float(mean) <= float(high) < float(low) + 0.15
        assert float(mean) == pytest.approx(value, abs=0.05)
    assert row["steps: error (px)"] == "9.0"
    assert not table.loc["no-ipda", "steps: correlation"]
    assert table.loc["oracle: who moved, by true joints", "J&F"] == "90.0"
    assert "75 % of the frames" in (tmp_path / "summary.md").read_text()


@pytest.mark.parametrize("gain", [0.2, 0.0])
def test_the_series_says_what_speed_is_worth_and_what_could_have_been_seen(tmp_path, gain):
    recorded(tmp_path, gain)
    table = write_imbalance(tmp_path, ["no-ipda", "spread", "never-trained"])
    assert list(table.index) == ["no-ipda", "spread"]
    row = table.loc["spread"]
    assert float(row["people found, fastest"]) == pytest.approx(30 + 100 * gain)
    assert row["people found, at rest"] == "30.0" and row["figures taken, fastest"] == "25.0"
    assert float(row["J near limbs vs no-ipda, fastest"]) == pytest.approx(100 * gain, abs=0.7)
    assert (float(row["p (Holm)"]) < 0.01) == (gain > 0)
    assert 0 < float(row["would be seen from"]) < 2


def test_a_row_is_compared_with_the_one_that_it_changes(tmp_path):
    recorded(tmp_path, 0.2)
    names = {"no-ipda": "ours-longer", "spread": "ours-steps"}
    for name in ("clips", "curves", "members"):
        table = pd.read_csv(tmp_path / f"{name}.csv").replace({"variant": names})
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    said = write_summary(tmp_path, list(names.values()))["by its one change"]
    found = re.fullmatch(
        r"\+(.+) on ours-longer \(\+(.+) to \+(.+), p = (.+)\)", said["ours-steps"]
    )
    gain, low, high, p_value = map(float, found.groups())
    assert low <= gain <= high and gain == pytest.approx(20, abs=0.5)
    # the one test of its column: nothing to correct for
    assert p_value == pytest.approx(smallest_p(20), rel=0.1)
    assert said["ours-longer"] == ""


def test_the_tables_are_drawn(tmp_path):
    recorded(tmp_path, 0.2)
    write_figures(tmp_path)
    for name in ("scores", "motion", "thresholds", "imbalance"):
        drawn = cv2.imread(str(tmp_path / f"{name}.png"))
        assert drawn.std() > 10 and (tmp_path / f"{name}.svg").is_file(), name


@pytest.mark.parametrize(("name", "curves"), [("eight-parts", 1), ("mine", 2)])
def test_rows_that_would_hide_others_are_among_the_scores_alone(tmp_path, name, curves):
    recorded(tmp_path, 0.2)
    for file in tmp_path.glob("*.csv"):
        file.write_text(file.read_text().replace("spread", name))
    study = read_record(tmp_path)
    labels = scores(study).axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["no-ipda", name]
    # a curve a row, and the line of the threshold that is used
    assert len(thresholds(study).axes[0].lines) == curves + 1


def test_a_study_without_a_table_is_named(tmp_path):
    with pytest.raises(InputError, match=r"clips\.csv"):
        write_figures(tmp_path)


def test_the_page_shows_the_record(tmp_path):
    recorded(tmp_path, 0.2)
    write_summary(tmp_path, ["no-ipda", "spread"])
    write_imbalance(tmp_path, ["no-ipda", "spread"])
    (tmp_path / "conclusions.md").write_text("It **helps** ([trials](trials.md)).")
    cv2.imwrite(str(tmp_path / EXAMPLES), np.full((8, 8, 3), 200, np.uint8))
    (tmp_path / "filmed").mkdir()
    left_out_tables(tmp_path / "filmed", gain=0.1, slope=0.0)
    write_left_out_summary(tmp_path / "filmed", ["no-ipda", "full"])
    shown = {"study": str(tmp_path), "figures": str(tmp_path / "figures")}
    execute(ROOT / "notebooks/study.ipynb", tmp_path / "study.html", shown)
    page = BeautifulSoup((tmp_path / "study.html").read_text(), "html.parser")
    assert page.find("a", string="trials")["href"] == "../docs/study/trials.md"
    assert "helps" in page.text and "oracle: who moved, by true joints" in page.text
    assert len(page.select("img")) == 6 and all(image["alt"] for image in page.select("img"))
    names = sorted(file.stem for file in (tmp_path / "figures").glob("*.png"))
    assert names == ["filmed", "imbalance", "motion", "scores", "thresholds"]
