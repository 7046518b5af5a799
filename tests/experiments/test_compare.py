"""A method's trainings and scores have keys of their own, and what is measured of a clip is what
the evaluator measures of the masks.
"""

from __future__ import annotations

import csv
import json
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from pdnet.base.imports import code_hash
from pdnet.config import Config, FlowConfig, load_config, method_configs
from pdnet.data.images import read_labels, read_mask
from pdnet.data.layout import read_tree
from pdnet.errors import InputError
from pdnet.experiments.compare import (
    PREDICTIONS,
    ComparisonPlaces,
    clip_values,
    facts,
    run_method,
    score_method,
    write_masks,
)
from pdnet.experiments.variants import Flows
from pdnet.inference.segment import clip_segmenter
from pdnet.metrics.evaluator import score_folder
from pdnet.metrics.region_contour import COLUMNS
from pdnet.metrics.saliency import absolute_error, structure_measure
from pdnet.metrics.stability import mean_stability
from pdnet.model import PDNet
from pdnet.sources.flow import compute_flow
from pdnet.stages.compare import run as run_stage
from tests.helpers import TINY, make_tree, small, write_params

SHORT = {"train.epochs": 1, "train.steps_per_epoch": 1, "train.holdout": []}
METHODS = ("ipda", "hfan")  # a reference, optical flow
EXACT = 1e-9
CHANNELS, HEADS = 16, 4  # of `helpers.small`, and of every encoder


def places_in(root: Path) -> ComparisonPlaces:
    return ComparisonPlaces(
        data=root / "480p", work=root / "work", out=root / "out", speed=root / "speed.json"
    )


def write_options(root: Path, method: str, **changes: object) -> Path:
    """Parameters of a comparison of PDNet with `method`, of one short training each."""
    values = {**TINY, "comparison.seeds": [1], "comparison.set": SHORT}
    values["comparison.run"] = list(dict.fromkeys(("ipda", method)))
    return write_params(root / "p.yaml", **{**values, **changes})


def stamps(places: ComparisonPlaces, method: str, seed: int) -> list[int | None]:
    """When training and scoring were last noted as done."""
    folder = places.work / method / str(seed)
    notes = [folder / name for name in ("trained.json", "scores.json")]
    return [note.stat().st_mtime_ns if note.is_file() else None for note in notes]


def run(root: Path, method: str, seed: int = 1, **changes: object) -> dict[str, bool]:
    """Runs a method; whether a seed of it was trained and was scored this time."""
    places = places_in(root)
    before = stamps(places, method, seed)
    run_method(write_options(root, method, **changes), method, places)
    after = stamps(places, method, seed)
    return dict(zip(("trained", "scored"), np.not_equal(after, before).tolist(), strict=True))


def data_with_flow(root: Path, **how: object) -> Path:
    data = make_tree(root / "480p", **how)
    # where `Clip.flow` looks
    compute_flow(data, root / "flow", FlowConfig(preset="ultrafast"), workers=1)
    return data


@pytest.fixture(scope="module", autouse=True)
def code_is_read_once():
    """No code changes under a test, and reading it is a third of a run that has nothing to do."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("pdnet.experiments.compare", "pdnet.training.state"):
            patch.setattr(f"{module}.code_hash", cache(code_hash))
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory, tracking_store, code_is_read_once) -> dict[str, Path]:
    """A folder for each method, with its data and its first run."""
    folders = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", tracking_store)
        for method in METHODS:
            root = folders[method] = tmp_path_factory.mktemp(method)
            data_with_flow(root)
            assert run(root, method) == {"trained": True, "scored": True}
    return folders


@pytest.fixture
def again(tmp_path, done):
    """Copies a method's folder after its first run; gives the copy."""

    def copied(method: str) -> Path:
        shutil.copytree(done[method], tmp_path / method)
        return tmp_path / method

    return copied


@pytest.fixture
def keys_alone(monkeypatch):
    """Leaves out what is measured anew at each run, whatever the keys say."""
    for name in ("facts", "measure_speed"):
        monkeypatch.setattr(f"pdnet.experiments.compare.{name}", lambda *_, **__: {})


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("method", METHODS)
def test_a_run_leaves_rows_facts_network_masks_and_times(done, method):
    places = places_in(done[method])
    with (places.out / "clips.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["method"], row["seed"], row["clip"]) for row in rows] == [(method, "1", "b/three")]
    measured = (*COLUMNS, "S", "MAE", "warped_iou", "flicker")
    assert tuple(rows[0]) == ("method", "seed", "clip", *measured)
    assert (places.out / "pdnet.safetensors").read_bytes() == (
        places.work / method / "1/pdnet.safetensors"
    ).read_bytes()
    [clip] = read_tree(places.data).clips("val")
    masks = sorted(path.stem for path in (places.out / PREDICTIONS / clip.name).iterdir())
    assert masks == list(clip.frames)
    said = json.loads((places.out / "facts.json").read_text())
    assert set(said) == {"parameters", "live_parameters", "gmacs", "memory_mib"}
    assert ("fps_with_flow" in json.loads(places.speed.read_text())) == (method == "hfan")


@pytest.mark.parametrize("method", METHODS)
def test_a_second_run_trains_and_scores_nothing_and_writes_the_same(again, method):
    root = again(method)
    before = content(root / "out")
    assert run(root, method) == {"trained": False, "scored": False}
    assert content(root / "out") == before


def test_a_new_seed_trains_itself_alone(again, keys_alone):
    root = again("ipda")
    network = (root / "out/pdnet.safetensors").read_bytes()
    changed = run(root, "ipda", seed=1, **{"comparison.seeds": [1, 2]})
    assert changed == {"trained": False, "scored": False}
    assert None not in stamps(places_in(root), "ipda", 2), "the new one was trained and scored"
    with (root / "out/clips.csv").open() as stream:
        assert [row["seed"] for row in csv.DictReader(stream)] == ["1", "2"]
    assert (root / "out/pdnet.safetensors").read_bytes() == network, "the first seed's"


@pytest.mark.parametrize(
    ("change", "trained", "scored"),
    [
        ({"report__best_worst": 1, "machine__workers": 2}, False, False),
        # another method in the run, which looks at flow, and another flow
        ({"comparison__run": ["hfan", "ipda"], "flow__preset": "fast"}, False, False),
        ({"comparison__set": {**SHORT, "loss.area": 0.5}}, True, True),
    ],
)
def test_only_what_a_change_bears_on_is_done_again(again, keys_alone, change, trained, scored):
    assert run(again("ipda"), "ipda", **change) == {"trained": trained, "scored": scored}


@pytest.mark.parametrize("method", METHODS)
def test_a_changed_threshold_scores_again_and_trains_nothing(again, keys_alone, method):
    changed = run(again(method), method, **{"evaluate__threshold": 0.4})
    assert changed == {"trained": False, "scored": True}


def test_a_changed_flow_parameter_scores_a_flow_method_again(again, keys_alone):
    assert run(again("hfan"), "hfan", **{"flow__preset": "fast"})["scored"]


def test_other_code_and_other_data_score_again(again, monkeypatch):
    root = again("ipda")
    places, config = places_in(root), method_configs(root / "p.yaml", "ipda")[1]
    folder, flows = places.work / "ipda/1", Flows()

    def scored() -> bool:
        before = stamps(places, "ipda", 1)
        score_method(config, folder, places, flows)
        return stamps(places, "ipda", 1) != before

    assert not scored()
    part = places.data / "Parts/480p/b/three/00005.png"
    part.parent.mkdir(parents=True)
    shutil.copy(places.data / "Annotations/480p/b/three/00005.png", part)
    assert scored() and not scored()
    monkeypatch.setattr("pdnet.experiments.compare.code_hash", lambda *_: "other scoring")
    assert scored() and not scored()


def test_a_method_that_looks_at_no_flow_needs_no_weights_for_it(again, keys_alone):
    change = {"flow__method": "raft_small", "flow__weights": "nowhere.pth"}
    assert run(again("ipda"), "ipda", **change) == {"trained": False, "scored": False}


def test_a_method_that_is_left_out_gets_an_empty_table_and_no_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # not even the data are asked for
    run_stage(write_options(tmp_path, "concat"), "cosnet")
    assert {path for path in content(tmp_path) if "lock" not in path} == {
        "p.yaml",
        "results/comparison/cosnet/clips.csv",
    }
    assert Path("results/comparison/cosnet/clips.csv").read_text().strip() == ""


@pytest.mark.parametrize("name", ["cosnet", "COSNet", "two\nlines"])
def test_an_unknown_method_is_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    params = write_options(tmp_path, "concat", **{"comparison.methods": ["ipda", "concat"]})
    with pytest.raises(InputError, match="is unknown; known: ipda, concat") as error:
        run_stage(params, name)
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "results").exists() and not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"comparison.run": ["concat", "cosnet"]}, "'ipda' must be among them"),
        ({"comparison.run": []}, "'ipda' must be among them"),
        ({"comparison.run": ["ipda", "cosnett"]}, r"comparison\.run\.1 = 'cosnett'"),
        ({"comparison.run": ["ipda", "ipda"]}, "ipda stands twice"),
        (
            {"comparison.run": ["ipda", "hfan"], "comparison.methods": ["ipda"]},
            r"'hfan' is not in comparison\.methods",
        ),
        ({"comparison.methods": ["ipda", "STM"]}, r"comparison\.methods\.1 = 'STM'"),
    ],
)
def test_a_run_without_ours_or_with_an_unknown_name_is_refused(tmp_path, changes, says):
    with pytest.raises(InputError, match=says) as error:
        load_config(write_params(tmp_path / "p.yaml", **changes))
    assert len(str(error.value).splitlines()) == 1


def undecided(root: Path, data: Path, method: str, **changes: object) -> tuple[PDNet, Config]:
    """A network of drawn weights and a threshold that cuts its probabilities in the middle."""
    network = small(interaction=method, input_size=(64, 64))
    clip = read_tree(data).clips("val")[0]
    middle = float(np.median(clip_segmenter(network, clip).segment(1).probability))
    values = {**TINY, "evaluate.threshold": middle, **changes}
    return network, load_config(write_params(root / "p.yaml", **values))


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """Two clips of seven frames and their flow."""
    root = tmp_path_factory.mktemp("clips")
    return data_with_flow(root, train=("a/one",), val=("b/two", "three"), frames=7)


@pytest.mark.parametrize(
    ("method", "people", "include_first_last"),
    [
        ("ipda", "all", False),
        ("hfan", "all", True),
        ("ipda", "largest", False),
        ("ipda", "reference", True),
    ],
)
def test_the_values_of_a_clip_are_the_evaluators_of_the_masks(
    tmp_path, clips, method, people, include_first_last
):
    changes = {"evaluate.people": people, "evaluate.include_first_last": include_first_last}
    network, config = undecided(tmp_path, clips, method, **changes)
    places = ComparisonPlaces(clips, tmp_path / "work", tmp_path / "out", tmp_path / "speed.json")
    write_masks(network, config, places)
    masks, flows = places.out / PREDICTIONS, Flows()
    scores = score_folder(masks, clips, "val", include_first_last=include_first_last)
    assert list(scores) == ["b/two", "three"]
    for clip in read_tree(clips).clips("val"):
        ours = clip_values(clip_segmenter(network, clip), clip, flows.of(clip), config)
        theirs = scores[clip.name].row() | mean_stability([clip], flows.known, masks)
        assert set(ours) == {*theirs, "S", "MAE"}
        for name, value in theirs.items():
            assert ours[name] == pytest.approx(value, abs=EXACT), name
        assert 0 < ours["J-Mean"] < 1, "masks that say something"


@pytest.mark.parametrize("method", METHODS)
def test_s_measure_and_mae_are_means_over_scored_probabilities_whatever_the_threshold(
    tmp_path, clips, method
):
    network, config = undecided(tmp_path, clips, method)
    other = config.model_copy(
        update={"evaluate": config.evaluate.model_copy(update={"threshold": 0.9})}
    )
    flows = Flows()
    for clip in read_tree(clips).clips("val"):
        segmenter, structure, error = clip_segmenter(network, clip), [], []
        for index in range(1, len(clip.frames) - 1):
            found = segmenter.segment(index).probability
            truth = read_mask(clip.mask(clip.frames[index]))
            structure.append(structure_measure(found, truth))
            error.append(absolute_error(found, truth))
        for options in (config, other):
            values = clip_values(clip_segmenter(network, clip), clip, flows.of(clip), options)
            assert values["S"] == pytest.approx(np.mean(structure), abs=EXACT)
            assert values["MAE"] == pytest.approx(np.mean(error), abs=EXACT)


@pytest.mark.parametrize("method", METHODS)
def test_no_annotation_is_read_before_the_scoring(tmp_path, clips, method):
    network, config = undecided(tmp_path, clips, method)
    written = []
    for name in ("sound", "garbage"):
        root = tmp_path / name
        shutil.copytree(clips.parent, root)
        for mask in (root / "480p/Annotations").rglob("*.png") if name == "garbage" else ():
            mask.write_bytes(b"no picture")
        write_masks(network, config, places_in(root))
        written.append(content(root / "out"))
    assert written[0] == written[1] and len(written[0]) == 14
    mask = read_labels(tmp_path / "garbage/out" / PREDICTIONS / "three/00005.png")
    assert set(np.unique(mask)) == {0, 255}, "masks that say something"


# by hand: kernels' inputs x outputs x places, and two values a channel of each batch norm
HEAD = CHANNELS * 9 + 1
FUSION = (8 * 16 + 32) + 16 * 16 + 2 * (16 * 16 * 9 + 32)
BY_HAND = {
    "none": 0,
    "concat": (32 * 16 * 9 + 32) + (16 * 8 * 9 + 16) + FUSION,
    "cosnet": 16 * 16 + 16 + (32 * 8 * 9 + 16) + FUSION,
    # three parts of eight channels: compress, saliency, branches, head; query, key, value, output
    "ipda": (16 * 16 * 9 + 32 + 16 * 8 + 16)
    + (8 * 9 + 1)
    + (8 * 24 + 48 + 24 * 8 * 9 + 48 + 24 * 8 + 48)
    + (8 * 9 + 1)
    + (3 * 24 * 8 + 24 * 8 + 48)
    + FUSION,
}


@pytest.fixture(scope="module")
def costs() -> dict[str, dict[str, float]]:
    return {
        name: facts(small(interaction=name, input_size=(64, 64))) for name in (*BY_HAND, "hfan")
    }


@pytest.mark.parametrize("interaction", BY_HAND)
def test_live_parameters_leave_out_the_auxiliary_heads_and_hold_the_interaction(costs, interaction):
    said, without = costs[interaction], costs["none"]
    assert said["parameters"] - said["live_parameters"] == HEADS * HEAD
    assert said["live_parameters"] - without["live_parameters"] == BY_HAND[interaction]


def test_a_flow_methods_interaction_is_alive(costs):
    network = small(interaction="hfan", input_size=(64, 64))
    said = costs["hfan"]
    assert said["parameters"] == sum(p.numel() for p in network.parameters())
    assert said["parameters"] - said["live_parameters"] == HEADS * HEAD


def test_a_reference_at_hand_costs_nothing_and_a_flow_costs_a_second_encoding(costs):
    one_frame = costs["none"]["gmacs"]
    for name in ("ipda", "concat", "cosnet"):
        assert one_frame < costs[name]["gmacs"] < 1.5 * one_frame, name
    assert costs["hfan"]["gmacs"] > 1.9 * one_frame
    assert costs["hfan"]["memory_mib"] > 1.5 * costs["none"]["memory_mib"]


def test_seeds_side_by_side_give_what_they_give_one_after_another(tmp_path, keys_alone):
    results = {}
    for workers in (1, 2):
        root = tmp_path / str(workers)
        data_with_flow(root)
        changes = {"comparison.seeds": [1, 2], "machine.workers": workers}
        run_method(write_options(root, "ipda", **changes), "ipda", places_in(root))
        work = places_in(root).work / "ipda"
        networks = [(work / f"{seed}/pdnet.safetensors").read_bytes() for seed in (1, 2)]
        assert networks[0] != networks[1]
        results[workers] = [*networks, (places_in(root).out / "clips.csv").read_bytes()]
    assert results[1] == results[2]
