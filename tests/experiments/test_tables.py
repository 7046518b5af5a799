"""What the tables say is what the numbers say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pdnet.config import load_config
from pdnet.experiments import tables
from pdnet.experiments.tables import DIFFERS, conclusion, write_table_files
from tests.helpers import write_params


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
    sure = tables.ablation_table(rows(0.1, 0.005), list(paper), paper=paper, differs=differs)
    assert list(sure.index) == ["without IPDA and fusion", "full, p = 5"]
    assert sure.loc["without IPDA and fusion", "verdict"] == "worse than full"
    assert sure.loc["without IPDA and fusion", "vs full"].startswith("-")
    assert (
        sure.loc["full, p = 5", "paper J&F"] == "88.1"
        and sure.loc["full, p = 5", "flicker"] == "2.5"
    )
    assert (sure[tables.DIFFERS] == "data sample, 16 steps").all()
    full_first = tables.ablation_table(
        rows(0.1, 0.005), ["full", "no-ipda"], paper=paper, differs=differs
    )
    assert (
        list(full_first.columns) == list(sure.columns) and full_first.columns[-1] == tables.DIFFERS
    )
    vague = tables.ablation_table(rows(0.0, 0.05), list(paper), paper=paper, differs=differs)
    assert vague.loc["without IPDA and fusion", "verdict"] == "within noise"
    few = tables.ablation_table(
        rows(0.1, 0.005, clips=1), list(paper), paper=paper, differs=differs
    )
    assert few.loc["without IPDA and fusion", "verdict"] == "too few clips to test"


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
    assert says in slopes.loc["without IPDA and fusion", "verdict"]
    assert "corrected" in conclusion(slopes)
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


def test_what_sets_a_run_apart_from_the_papers(tmp_path):
    sample = load_config(write_params(tmp_path / "p.yaml"))
    said = tables.differs_from_paper(sample)
    steps = sample.train.epochs * sample.train.steps_per_epoch
    assert said == f"data sample, tf_efficientnet_lite0, 224x224, {steps} video steps"
    paper = load_config(write_params(tmp_path / "q.yaml", profile="paper"))
    assert tables.differs_from_paper(paper) == "nothing known"


def limbs(worth: dict[str, float]) -> pd.DataFrame:
    """`full` against itself with another scene's reference: scene -> worth of the right one."""
    rng, table = np.random.default_rng(2), []
    for scene, gain in worth.items():
        for seed in (1, 2, 3):
            for level in (0.0, 1.0, 2.0):
                row = {
                    "clip": f"imbalance/{scene}-{int(100 * level)}",
                    "seed": seed,
                    "level": level,
                }
                for variant, more in (("full", gain), ("full-unrelated", 0.0)):
                    j = 0.6 + more + rng.normal(0, 0.002)
                    table.append({**row, "variant": variant, "J_limbs": j})
    return pd.DataFrame(table)


def test_what_the_right_reference_is_worth_is_told_scene_by_scene():
    table = tables.control_table(limbs({"dancer": 0.0, "speaker": 0.05, "walkers": -0.03}))
    assert list(table.index) == ["dancer", "speaker", "walkers"]
    assert table.loc["speaker", "mean gain"] == pytest.approx(5.0, abs=0.3)
    said = tables.control_sentence(table)
    assert "in 1 of 3 scenes (speaker)" in said
    without = limbs({"dancer": 0.0}).query("variant == 'full'")
    assert tables.control_sentence(tables.control_table(without)) == ""


def test_a_table_says_how_small_a_p_its_clips_can_give_and_what_its_spread_is(tmp_path):
    assert "no uncorrected p below 0.016" in tables.how_tested(7)
    config = load_config(write_params(tmp_path / "p.yaml"))
    assert "heads on one trained encoder" in tables.how_trained(config)


def test_p_values_of_a_table_are_corrected_for_its_rows():
    alone = rows(0.1, 0.005)
    third = alone[alone.variant == "no-ipda"].assign(variant="geometric")
    both = pd.concat([alone, third])
    names = ["full", "no-ipda", "geometric"]
    how = {"paper": {}, "differs": dict.fromkeys(names, "")}
    one = tables.ablation_table(alone, names, **how).loc["without IPDA and fusion"]
    two = tables.ablation_table(both, names, **how).loc["without IPDA and fusion"]
    assert float(two["p (Holm)"]) == pytest.approx(2 * float(one["p (Holm)"]), abs=0.002)
    low, high = (float(end) for end in one["95 % interval"].split(" to "))
    assert low < float(one["vs full"]) < high < 0


def test_what_sets_all_rows_apart_from_the_paper_is_said_once(tmp_path):
    for differs, column in ((["size", "size"], False), (["size", "steps"], True)):
        table = pd.DataFrame({"J": [1, 2], DIFFERS: differs}, index=["a", "b"])
        write_table_files(table, tmp_path / "t", "A note.")
        text = (tmp_path / "t.md").read_text()
        assert (DIFFERS in text.splitlines()[0]) == column
        assert ("Every row differs from the paper in: size." in text) != column
