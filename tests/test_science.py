"""Ablations, tables, part agreement, stability, texture and the imbalance series."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import yaml
from pdnet.science import conclusion
from skimage.feature import graycomatrix, graycoprops

from pdnet.config import load_config
from pdnet.data.images import read_labels
from pdnet.data.layout import read_tree
from pdnet.errors import InputError
from pdnet.experiments import tables
from pdnet.experiments.variants import run_variant, variant_configs
from pdnet.metrics.parts import agreement, body_parts, identity, part_labels
from pdnet.metrics.stability import brought, clip_stability, flow_back
from pdnet.metrics.texture import cooccurrence, glcm_entropy
from pdnet.report import ablations
from pdnet.sample.render import render_clips
from pdnet.sample.scene import Scene
from pdnet.sample.series import LIMBS, SCENES, level_of, near_limbs, series
from tests.helpers import TINY, disc, make_tree, write_params


@pytest.mark.parametrize("size", [(48, 64), (2, 2), (31, 17)])
def test_cooccurrence_equals_scikit_image(size):
    grey = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    theirs = graycomatrix(grey, [1], angles, 256, symmetric=True)[:, :, 0]
    assert np.array_equal(cooccurrence(grey), np.moveaxis(theirs, 2, 0))
    normed = graycomatrix(grey, [1], angles, 256, symmetric=True, normed=True)
    assert glcm_entropy(grey) == pytest.approx(
        graycoprops(normed, "entropy").mean() / np.log(2), rel=1e-12
    )


def test_entropy_of_flat_and_of_noise():
    assert glcm_entropy(np.full((40, 40), 7, np.uint8)) == 0
    noise = np.random.default_rng(0).integers(0, 256, (600, 800), dtype=np.uint8)
    assert 15 < glcm_entropy(noise) <= 16


def test_entropy_of_a_large_flat_area_with_an_object():
    grey = np.full((480, 854), 7, np.uint8)
    grey[100:200, 300:500] = 250
    normed = graycomatrix(
        grey, [1], [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4], 256, symmetric=True, normed=True
    )
    assert glcm_entropy(grey) == pytest.approx(
        graycoprops(normed, "entropy").mean() / np.log(2), rel=1e-12
    )


def test_part_agreement():
    truth = np.repeat([0, 1, 2, 3], 50)
    assert agreement(truth * 7, truth) == pytest.approx({"nmi": 1, "ari": 1, "matched_iou": 1})
    one = agreement(np.zeros_like(truth), truth)
    assert one["nmi"] == pytest.approx(0, abs=1e-9) and one["matched_iou"] == pytest.approx(0.25)
    rng = np.random.default_rng(0)
    assert abs(agreement(rng.integers(0, 4, 4000), rng.integers(0, 4, 4000))["ari"]) < 0.01
    assert np.array_equal(body_parts(np.array([0, 1, 10, 11, 23])), [-1, 0, 9, 0, 2])
    masks = np.zeros((2, 4, 4), np.float32)
    masks[0, :, :2], masks[1, :, 2:] = 1, 1
    assert np.array_equal(part_labels(masks, (4, 4))[0], [0, 0, 1, 1])


def test_identity_of_parts_over_time():
    truth, frame = np.tile([0, 0, 1, 1], 3), np.repeat([0, 1, 2], 4)
    kept = identity(np.tile([5, 5, 2, 2], 3), truth, frame)
    assert kept == {"to_reference": 1, "over_time": 1}
    swapped = identity(np.array([0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0]), truth, frame)
    assert swapped == {"to_reference": 0, "over_time": 0.5}


def moving_picture(frames=6, step=3):
    rng = np.random.default_rng(0)
    wide = np.repeat(np.repeat(rng.integers(0, 255, (24, 60, 3), dtype=np.uint8), 4, 0), 4, 1)
    pictures = [
        np.ascontiguousarray(wide[:, 60 - step * i : 188 - step * i]) for i in range(frames)
    ]
    return pictures, [disc((96, 128), (48, 40 + step * i), 20) for i in range(frames)]


def test_stability_follows_the_motion_and_counts_blinks():
    pictures, masks = moving_picture()
    flows = [flow_back(a, b) for a, b in pairwise(pictures)]
    inner = flows[0][30:66, 30:90]
    assert (
        np.abs(inner - [-3, 0]).mean() < 0.3
    )  # the later frame's pixels came from three to the left
    still = clip_stability(masks, flows)
    assert still["warped_iou"] > 0.95 and still["flicker"] == 0
    blinking = [np.zeros_like(m) if i == 3 else m for i, m in enumerate(masks)]
    worse = clip_stability(blinking, flows)
    assert worse["warped_iou"] < 0.7 and worse["flicker"] == 25
    assert not brought(masks[0], np.full((96, 128, 2), 1000, np.float32))[40:56, 30:50].all()


def test_only_the_limbs_speed_differs_in_the_series():
    clips = series([0.0, 1.0, 2.0], 11)
    assert [level_of(c.name) for c in clips[:3]] == [0, 1, 2] and len(clips) == 3 * len(SCENES)
    start = [Scene(clip).render(0) for clip in clips[:3]]
    later = [Scene(clip).render(10) for clip in clips[:3]]
    for frame in start[1:]:
        assert np.array_equal(frame.colour, start[0].colour), (
            "the series does not start from one picture"
        )
    joints = [{k: v for k, v in f.joints[0].items()} for f in later]
    for name in ("pelvis", "neck", "head"):
        assert np.allclose(joints[0][name], joints[2][name])
    moved = [np.linalg.norm(j["left wrist"] - start[0].joints[0]["left wrist"]) for j in joints]
    assert moved[0] < 0.2 * moved[1], "limbs at speed 0 should only follow the torso"


def test_near_limbs():
    body = np.full((60, 60), -1)
    body[20:40, 20:24] = LIMBS[0]
    window = near_limbs(body, 5)
    assert window[30, 28] and not window[30, 34] and not near_limbs(np.zeros((9, 9), int), 2).any()


def rows(gain_of_full: float, noise: float, seeds=(1, 2, 3), clips=8) -> pd.DataFrame:
    rng, table = np.random.default_rng(0), []
    for variant in ("full", "no-ipda"):
        for seed in seeds:
            for clip in range(clips):
                value = (
                    0.6
                    + 0.02 * clip
                    + (gain_of_full if variant == "full" else 0)
                    + rng.normal(0, noise)
                )
                measured = dict.fromkeys(("J", "F", "J&F", "warped_iou"), value)
                table.append(
                    {
                        "variant": variant,
                        "seed": seed,
                        "clip": str(clip),
                        **measured,
                        "flicker": 2.5,
                    }
                )
    return pd.DataFrame(table)


def test_a_difference_is_called_noise_unless_it_is_none():
    paper = tables.PAPER_TABLE_3
    differs = dict.fromkeys(paper, "data sample, 16 steps")
    sure = tables.ablation_table(rows(0.1, 0.005), list(paper), paper, differs)
    assert list(sure.index) == ["without IPDA and fusion", "full, p = 5"]
    assert sure.loc["without IPDA and fusion", ""] == "worse than full"
    assert sure.loc["without IPDA and fusion", "vs full"].startswith("-")
    assert (
        sure.loc["full, p = 5", "paper J&F"] == "88.1"
        and sure.loc["full, p = 5", "flicker"] == "2.5"
    )
    assert (sure[tables.DIFFERS] == "data sample, 16 steps").all()
    full_first = tables.ablation_table(rows(0.1, 0.005), ["full", "no-ipda"], paper, differs)
    assert (
        list(full_first.columns) == list(sure.columns) and full_first.columns[-1] == tables.DIFFERS
    )
    vague = tables.ablation_table(rows(0.0, 0.05), list(paper), paper, differs)
    assert vague.loc["without IPDA and fusion", ""] == "within noise"
    few = tables.ablation_table(rows(0.1, 0.005, clips=1), list(paper), paper, differs)
    assert few.loc["without IPDA and fusion", ""] == "too few clips to test"


@pytest.mark.parametrize(
    ("growth", "says"), [(0.05, "grows"), (-0.05, "shrinks"), (0.0, "no trend")]
)
def test_the_imbalance_experiment_says_what_the_numbers_say(growth, says):
    rng, table = np.random.default_rng(1), []
    for variant in ("full", "no-ipda"):
        for seed in (1, 2, 3):
            for level in (0.0, 1.0, 2.0):
                gain = growth * level if variant == "full" else 0.0
                j = 0.7 - 0.1 * level + gain + rng.normal(0, 0.002)
                table.append({"variant": variant, "seed": seed, "level": level, "J_limbs": j})
    slopes = tables.imbalance_slopes(pd.DataFrame(table))
    assert says in slopes.loc["without IPDA and fusion", ""]
    assert slopes.loc["without IPDA and fusion", "slope per level"] == pytest.approx(
        100 * growth, abs=0.5
    )


@pytest.mark.parametrize(("worth", "says"), [(0.1, "uses motion"), (0.0, "no measurable use")])
def test_the_control_tells_what_a_reference_is_worth(worth, says):
    rng = np.random.default_rng(5)
    first = pd.DataFrame(
        {"policy": "first", "clip": list("abcdefgh"), "J&F": rng.uniform(0.5, 0.9, 8)}
    )
    control = first.assign(
        policy="unrelated", **{"J&F": first["J&F"] - worth + rng.normal(0, 0.001, 8)}
    )
    assert says in tables.reference_use(pd.concat([first, control]), "unrelated")


def test_without_a_variant_to_compare_with_there_is_no_verdict():
    alone = pd.DataFrame(
        {"variant": "full", "seed": [1, 1], "level": [0.0, 1.0], "J_limbs": [0.5, 0.4]}
    )
    assert (
        conclusion(tables.imbalance_slopes(alone))
        == "Not compared: of full, one-part, no-ipda only one was run."
    )


def test_table_files(tmp_path):
    tables.write_table_files(
        pd.DataFrame({"a": [1.5], "b_c": ["x & y"]}), tmp_path / "t", "what differs"
    )
    assert (
        "| 1.5 |" in (tmp_path / "t.md").read_text()
        and "what differs" in (tmp_path / "t.md").read_text()
    )
    assert (
        r"x \& y" in (tmp_path / "t.tex").read_text() and "1.5" in (tmp_path / "t.csv").read_text()
    )


@pytest.fixture
def ablation_params(tmp_path):
    raw = yaml.safe_load(write_params(tmp_path / "p.yaml", **TINY).read_text())
    raw["ablation"] |= {
        "seeds": [1, 2],
        "set": {"train.epochs": 1, "train.steps_per_epoch": 1, "train.holdout": []},
    }
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(raw))
    return tmp_path / "p.yaml"


def test_a_variant_is_trained_scored_and_not_trained_again(tmp_path, ablation_params, monkeypatch):
    data = make_tree(tmp_path / "data")
    clips = [c for c in series([0.0, 2.0], 11) if "walkers" not in c.name]
    render_clips(clips, tmp_path / "series", 1, between=False)
    assert len(read_tree(tmp_path / "series").clips("val")[0].frames) == 3
    labels = tmp_path / "series/Parts/480p/imbalance/speaker-0/00005.png"
    assert (body_parts(read_labels(labels)) == 0).any()
    places = (data, tmp_path / "series", tmp_path / "work", tmp_path / "out")
    run_variant(ablation_params, "full", *places)
    table = pd.read_csv(tmp_path / "out/clips.csv")
    assert (
        set(table.seed) == {1, 2}
        and set(table["clip"]) == {"b/three"}
        and table["J&F"].between(0, 1).all()
    )
    limbs = pd.read_csv(tmp_path / "out/imbalance.csv")
    assert set(limbs.level) == {0, 2} and limbs.J_limbs.between(0, 1).all()
    own, unrelated = (limbs[limbs.variant == name] for name in ("full", "full-unrelated"))
    assert len(own) == len(unrelated) == 8 and not np.array_equal(own.J, unrelated.J)
    frames = pd.read_csv(tmp_path / "out/frames.csv", dtype={"frame": str})
    assert frames[frames.seed == 1].J.mean() == pytest.approx(table[table.seed == 1].J.mean())
    state = tmp_path / "work/full/1/state/training.pt"
    before, stamp = (tmp_path / "out/clips.csv").read_bytes(), state.stat().st_mtime_ns
    run_variant(ablation_params, "full", *places)
    assert state.stat().st_mtime_ns == stamp and (tmp_path / "out/clips.csv").read_bytes() == before
    monkeypatch.setattr("pdnet.experiments.variants.code_hash", lambda: "other code")
    run_variant(ablation_params, "full", *places)
    assert state.stat().st_mtime_ns != stamp and (tmp_path / "out/clips.csv").read_bytes() == before


def test_what_sets_a_run_apart_from_the_papers(tmp_path):
    sample = load_config(write_params(tmp_path / "p.yaml"))
    said = tables.differs_from_paper(sample)
    steps = sample.train.epochs * sample.train.steps_per_epoch
    assert said == f"data sample, tf_efficientnet_lite0, 224x224, {steps} video steps"
    paper = load_config(write_params(tmp_path / "q.yaml", profile="paper"))
    assert tables.differs_from_paper(paper) == "nothing known"


@pytest.mark.parametrize(
    ("growth", "clips", "says"),
    [(5.0, 6, "a trend"), (0.0, 6, "within noise"), (5.0, 2, "too few")],
)
def test_the_flow_question_is_asked_inside_clips(growth, clips, says):
    rng = np.random.default_rng(3)
    imbalance = rng.uniform(0, 1, (clips, 12))
    table = pd.DataFrame({"clip": np.repeat(np.arange(clips), 12), "imbalance": imbalance.ravel()})
    table["gain"] = growth * table.imbalance + 10 * table["clip"] + rng.normal(0, 0.3, len(table))
    assert says in ablations.flow_trend(table)


def test_flow_imbalance_of_limbs_at_rest_and_in_motion(tmp_path):
    clips = [c for c in series([0.0, 3.0], 11) if "speaker" in c.name]
    render_clips(clips, tmp_path / "series", 1, between=False)
    frames = [(clip.name, clip.frames[1]) for clip in read_tree(tmp_path / "series").clips("val")]
    rest, motion = ablations.flow_imbalance(tmp_path / "series", frames).imbalance
    assert 0 <= rest < motion


def test_a_variant_changes_what_it_names(ablation_params):
    configs = variant_configs(ablation_params, "no-ipda")
    assert (
        set(configs) == {1, 2} and configs[2].seed == 2 and configs[1].model.interaction == "none"
    )
    assert configs[1].train.epochs == 1 and load_config(ablation_params).train.epochs == 2
    for name in load_config(ablation_params).ablation.variants:
        variant_configs(ablation_params, name)
    with pytest.raises(InputError, match="'nothing' is unknown; known: .*full"):
        variant_configs(ablation_params, "nothing")


def test_a_variant_with_an_unknown_parameter_is_named(ablation_params):
    raw = yaml.safe_load(ablation_params.read_text())
    raw["ablation"]["variants"]["odd"] = {"model.partz": 3}
    ablation_params.write_text(yaml.safe_dump(raw))
    with pytest.raises(
        InputError, match=r"ablation\.variants\.odd: unknown parameter 'model\.partz'"
    ):
        variant_configs(ablation_params, "odd")
