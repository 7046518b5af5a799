"""Tables 1 and 2 say what the rows say: small frames by hand, and whole folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pandas as pd
import pytest

from pdnet.config import Interaction, load_config
from pdnet.data.images import read_mask
from pdnet.data.layout import read_tree
from pdnet.errors import InputError
from pdnet.experiments.comparison_tables import (
    NATIVE,
    REPORTED,
    SCORED,
    TITLES,
    VALUES,
    clips_table,
    comparison_table,
    pairs_table,
    paper_rows,
    read_methods,
    write_comparison,
)
from pdnet.experiments.paper import PAPER_TABLE_1, PAPER_TABLE_2
from pdnet.metrics.evaluator import overall, score_folder
from pdnet.metrics.saliency import structure_measure
from pdnet.metrics.stability import clip_flows, mean_stability
from tests.helpers import TINY, make_tree, write_params

CLIPS = "abcdef"
EVEN = {clip: 0.6 for clip in CLIPS}
RISING = {clip: 0.50 + 0.02 * i for i, clip in enumerate(CLIPS)}  # mean 0.55
NO_PAPER = pd.DataFrame(columns=["row"])


def above(scores: Mapping[str, float], by: float) -> dict[str, float]:
    """Better in every clip, in each by another amount, in the mean by `by`."""
    middle = (len(scores) - 1) / 2
    return {clip: j + by * (1 + (i - middle) / 10) for i, (clip, j) in enumerate(scores.items())}


def frame(name: str, *seeds: Mapping[str, float], kind: str = NATIVE) -> pd.DataFrame:
    """A method's rows: a mapping clip -> J&F for each seed; every value of a clip is that, but
    flicker, 100 times as much.
    """
    rows = []
    for seed, scores in enumerate(seeds, 1):
        for clip, value in scores.items():
            measured = {**dict.fromkeys(VALUES, value), "flicker": 100 * value}
            rows.append({"method": name, "kind": kind, "seed": seed, "clip": clip, **measured})
    return pd.DataFrame(rows)


def table_of(*frames: pd.DataFrame, costs: Mapping[str, dict] | None = None) -> pd.DataFrame:
    return comparison_table(pd.concat(frames), dict(costs or {}), NO_PAPER)


def ends(text: str) -> tuple[float, float]:
    low, high = text.split(" to ")
    return float(low), float(high)


def test_a_row_is_the_mean_over_clips_and_seeds_in_the_units_of_the_title():
    # clips 0.2 and 0.4 in one seed, 0.6 and 0.7 in the other: 0.3 and 0.65
    table = table_of(frame("PDNet", {"a": 0.2, "b": 0.4}, {"a": 0.6, "b": 0.7}))
    row = table.loc["PDNet"]
    for title in ("J&F", "J", "J-Recall", "J-Decay", "F", "F-Recall", "F-Decay", "warped IoU"):
        assert row[title] == "47.5", title
    assert row["S"] == row["MAE"] == "0.475"
    assert row["flicker"] == "47.5", "per 100 frames as it is"


def test_an_interval_holds_the_mean_and_is_a_point_where_all_values_are_one():
    table = table_of(
        frame("PDNet", RISING, above(RISING, 0.02)), frame("even", EVEN, EVEN), frame("one", RISING)
    )
    for method in ("PDNet", "one"):
        low, high = ends(table.loc[method].iloc[2])
        assert low < float(table.loc[method, "J&F"]) < high
        assert low >= 50 and high <= 62.5, "of these values"
    # the first interval is the mean's, the second the difference's
    assert list(table.columns).index("95 % interval") == 2
    assert table.loc["even"].iloc[2] == "60.0 to 60.0"


def test_a_difference_bears_its_sign_and_ours_has_none():
    better, worse = above(RISING, 0.05), above(RISING, -0.05)
    table = table_of(frame("up", better), frame("PDNet", RISING), frame("down", worse))
    assert list(table["vs PDNet"]) == ["+5.0", "", "-5.0"]
    up, ours, down = (table.loc[name].to_list() for name in table.index)
    place = list(table.columns).index("vs PDNet") + 1
    assert all(end > 0 for end in ends(up[place])) and all(end < 0 for end in ends(down[place]))
    low, high = ends(up[place])
    assert low < 5 < high
    assert ours[place] == table.loc["PDNet", "p (Holm)"] == ""


@pytest.mark.parametrize("others", [1, 2, 3])
def test_p_values_are_corrected_for_the_number_of_methods(others):
    frames = [frame(f"m{i}", above(RISING, 0.01 * (i + 1))) for i in range(others)]
    table = table_of(frame("PDNet", RISING), *frames)
    # six differences of one sign: 2 / 2^6, for each of the methods
    for i in range(others):
        assert float(table.loc[f"m{i}", "p (Holm)"]) == pytest.approx(others / 32, abs=6e-4)


def test_seeds_are_no_clips():
    few = dict(list(RISING.items())[:4])
    table = table_of(frame("PDNet", few, few, few), frame("up", *3 * [above(few, 0.05)]))
    assert table.loc["up", "p (Holm)"] == "too few clips"
    assert table.loc["up", "vs PDNet"] == "+5.0", "the difference itself is told"


def test_what_is_the_same_in_every_clip_is_not_said_to_have_too_few_of_them():
    """The masks of a native row, scored once more as masks of others."""
    rows = [frame("PDNet", RISING), frame("copy", RISING, kind=SCORED)]
    table = table_of(*rows)
    assert table.loc["copy", "vs PDNet"] == "+0.0"
    assert table.loc["copy", "p (Holm)"] == "no difference"
    assert pairs_table(pd.concat(rows)).loc["copy", "PDNet"] == "+0.0 (no difference)"


def test_rows_are_marked_and_stand_in_the_order_given_with_the_papers_last():
    frames = [frame(name, RISING) for name in ("COSNet-style", "PDNet", "AGNN-style")]
    frames.append(frame("theirs", EVEN, kind=SCORED))
    table = comparison_table(pd.concat(frames), {}, paper_rows("davis"))
    paper = list(PAPER_TABLE_1)
    assert list(table.index) == ["COSNet-style", "PDNet", "AGNN-style", "theirs", *paper]
    assert list(table["row"]) == 3 * [NATIVE] + [SCORED] + len(paper) * [REPORTED]
    assert not table.isna().any(axis=None)
    assert set(table.loc[paper[0], ["S", "GMACs", "vs PDNet"]]) == {""}


def test_costs_stand_beside_native_rows_alone():
    costs = {"ipda": {"parameters": 1_234_567, "live_parameters": 1_000_000}}
    costs["ipda"] |= {"gmacs": 0.5049, "memory_mib": 12.345}
    table = table_of(frame("PDNet", RISING), frame("theirs", EVEN, kind=SCORED), costs=costs)
    titles = ["parameters (M)", "of these live (M)", "GMACs", "memory (MiB)"]
    assert list(table.loc["PDNet", titles]) == ["1.23", "1.00", "0.50", "12.3"]
    assert set(table.loc["theirs", titles]) == {""}


@pytest.mark.parametrize("source", ["sample", "mvps", "davis", "people", "pp_humanseg14k"])
def test_the_papers_rows_are_those_of_the_table_on_this_data(source):
    rows = paper_rows(source)
    assert set(rows["row"]) == {REPORTED}
    if source == "pp_humanseg14k":
        assert list(rows.index) == list(PAPER_TABLE_2)
        assert list(rows.columns) == ["J&F", "J", "F", "row"]
        assert list(rows.loc["PDNet (paper)"]) == ["96.0", "97.1", "94.9", REPORTED]
    else:
        assert list(rows.index) == list(PAPER_TABLE_1)
        assert rows.loc["PDNet (paper)", ["J&F", "J", "F", "F-Decay"]].to_list() == [
            *("88.1", "90.0", "86.1", "0.9")
        ]


def test_pairs_stand_below_the_diagonal_and_turn_their_sign_when_they_change_places():
    frames = {
        "PDNet": frame("PDNet", RISING),
        "up": frame("up", above(RISING, 0.05)),
        "down": frame("down", above(RISING, -0.02)),
    }
    names = list(frames)
    table = pairs_table(pd.concat(frames.values()))
    assert list(table.index) == list(table.columns) == names
    for i, row in enumerate(names):
        for j, column in enumerate(names):
            assert bool(table.loc[row, column]) == (j < i), (row, column)
    # three tests of six differences of one sign: 3 * 2 / 2^6
    assert table.loc["up", "PDNet"] == "+5.0 (0.094)"
    assert table.loc["down", "PDNet"] == "-2.0 (0.094)"
    assert table.loc["down", "up"] == "-7.0 (0.094)"
    swapped = pairs_table(pd.concat(frames[name] for name in reversed(names)))
    signs = str.maketrans("+-", "-+")
    for row, column in (("up", "PDNet"), ("down", "PDNet"), ("down", "up")):
        assert swapped.loc[column, row] == table.loc[row, column].translate(signs)


def test_the_clips_table_is_each_clips_mean_over_seeds():
    frames = [frame("b", {"x": 0.2, "w": 0.7}, {"x": 0.4, "w": 0.7}), frame("a", {"x": 1, "w": 0})]
    table = clips_table(pd.concat(frames))
    assert list(table.columns) == ["b", "a"], "as the rows stand, not by the alphabet"
    assert table.loc["x"].to_list() == [30.0, 100.0] and table.loc["w"].to_list() == [70.0, 0.0]


COSTS = {"parameters": 2e6, "live_parameters": 1e6, "gmacs": 1.5, "memory_mib": 4.0}


class Project:
    """Folders as the stages leave them: a working copy, methods' results, masks of others."""

    def __init__(self, root: Path, clips: Sequence[str]) -> None:
        self.root, self.methods, self.out = root, root / "comparison", root / "tables"
        self.clips = clips
        self.data = make_tree(root / "480p", train=(), val=clips, frames=5)
        self.theirs = root / "theirs"
        for clip in read_tree(self.data).clips("val"):
            for stem in clip.frames:
                moved = np.roll(read_mask(clip.mask(stem)), 3, 1).astype(np.uint8) * 255
                file = self.theirs / clip.name / f"{stem}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(file), moved)

    def result(self, method: str, better: float = 0.0, clips: int = len(CLIPS)) -> None:
        scores = dict(zip(self.clips[:clips], above(RISING, better).values(), strict=False))
        folder = self.methods / method
        folder.mkdir(parents=True)
        rows = frame(method, scores).drop(columns="kind")
        rows.to_csv(folder / "clips.csv", index=False)
        (folder / "facts.json").write_text(json.dumps(COSTS))

    def params(self, run: Sequence[str], **changes: object) -> Path:
        values = {**TINY, "comparison.run": list(run), **changes}
        return write_params(self.root / "p.yaml", **values)

    def write(self, run: Sequence[str], **changes: object) -> pd.DataFrame:
        write_comparison(self.params(run, **changes), self.data, self.methods, self.out)
        read = pd.read_csv(self.out / "comparison.csv", index_col="method", dtype=str)
        return read.fillna("")


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path, [f"c/{name}" for name in CLIPS])


def test_the_order_of_rows_is_that_of_the_run(project):
    run = ["hfan", "ipda", "agnn"]
    for i, method in enumerate(sorted(run)):
        project.result(method, 0.01 * i)
    project.result("cosnet")  # of an earlier run, not asked for now
    table = project.write(run, **{"comparison.external": {"theirs": str(project.theirs)}})
    wanted = [*(TITLES[name] for name in run), "theirs"]
    assert list(table.index) == [*wanted, *PAPER_TABLE_1]
    assert list(table["row"])[:4] == 3 * ["native"] + ["scored masks"]
    assert set(table["row"][4:]) == {"reported"}
    assert table.loc["PDNet", "GMACs"] == "1.50" and table.loc["theirs", "GMACs"] == ""
    pairs = pd.read_csv(project.out / "pairs.csv", index_col="method")
    assert list(pairs.columns) == list(pairs.index) == wanted
    clips = pd.read_csv(project.out / "clips.csv", index_col="clip")
    assert list(clips.columns) == wanted and set(clips.index) == {f"c/{clip}" for clip in CLIPS}
    note = (project.out / "comparison.md").read_text()
    assert "bootstrap over 6 clips" in note and "none below 0.031" in note
    assert {path.suffix for path in project.out.iterdir()} == {".md", ".csv", ".tex"}


def test_on_pp_humanseg_the_papers_table_2_stands_below(project):
    project.result("ipda")
    table = project.write(["ipda"], **{"data.source": "pp_humanseg14k", "data.root": "x"})
    assert list(table.index) == ["PDNet", *PAPER_TABLE_2]


def test_masks_of_others_are_scored_as_the_evaluator_scores_them(project):
    project.result("ipda")
    table = project.write(["ipda"], **{"comparison.external": {"theirs": str(project.theirs)}})
    row = table.loc["theirs"]
    assert row["row"] == SCORED
    for column, value in overall(score_folder(project.theirs, project.data, "val")).items():
        assert row[VALUES[column][0]] == f"{100 * value:.1f}", column
    assert 0 < float(row["J"]) < 100 and 0 < float(row["F"]) < 100, "masks that are near"
    clips = read_tree(project.data).clips("val")
    flows = {clip.name: clip_flows(clip) for clip in clips}
    steady = mean_stability(clips, flows, project.theirs)
    assert row["warped IoU"] == f"{100 * steady['warped_iou']:.1f}"
    assert row["flicker"] == f"{steady['flicker']:.1f}"
    structure, error = [], []
    for clip in clips:
        for stem in clip.frames[1:-1]:
            truth = read_mask(clip.mask(stem))
            found = read_mask(project.theirs / clip.name / f"{stem}.png")
            structure.append(structure_measure(found.astype(float), truth))
            error.append(np.mean(found != truth))
    # clips of the same number of frames: the mean over clips is the mean over frames
    assert row["S"] == f"{np.mean(structure):.3f}" and row["MAE"] == f"{np.mean(error):.3f}"
    by_clip = pd.read_csv(project.out / "clips.csv", index_col="clip")["theirs"]
    for name, score in score_folder(project.theirs, project.data, "val").items():
        assert by_clip[name] == pytest.approx(100 * score.row()["J&F-Mean"], abs=0.051)


def test_the_first_and_last_frame_of_others_count_where_ours_do(project):
    project.result("ipda")
    changes = {
        "comparison.external": {"theirs": str(project.theirs)},
        "evaluate.include_first_last": True,
    }
    (spoilt := project.theirs / "c/a/00000.png").unlink()
    assert cv2.imwrite(str(spoilt), np.zeros((48, 64), np.uint8))
    scores = score_folder(project.theirs, project.data, "val", include_first_last=True)
    assert overall(scores) != overall(score_folder(project.theirs, project.data, "val"))
    table = project.write(["ipda"], **changes)
    assert table.loc["theirs", "J"] == f"{100 * overall(scores)['J-Mean']:.1f}"


@pytest.mark.parametrize("stem", ["00005", "00000"], ids=["scored", "seen by the stability alone"])
def test_a_missing_mask_of_others_is_named(project, stem):
    project.result("ipda")
    (project.theirs / f"c/b/{stem}.png").unlink()
    with pytest.raises(InputError) as error:
        project.write(["ipda"], **{"comparison.external": {"theirs": str(project.theirs)}})
    *headline, line = str(error.value).splitlines()
    assert f"{project.theirs}/c/b/{stem}.png" in line and "missing" in "".join([*headline, line])
    assert headline in ([], [f"{project.theirs}: 1 prediction(s) missing"])
    assert not project.out.exists(), "refused before anything is written"


def test_a_missing_folder_and_grey_masks_of_others_are_one_line(project):
    project.result("ipda")
    with pytest.raises(InputError, match="nowhere: no such folder") as error:
        project.write(
            ["ipda"], **{"comparison.external": {"theirs": str(project.root / "nowhere")}}
        )
    assert len(str(error.value).splitlines()) == 1
    ramp = np.tile(np.arange(64, dtype=np.uint8), (48, 1))
    assert cv2.imwrite(str(project.theirs / "c/b/00005.png"), ramp)
    with pytest.raises(InputError, match=r"c/b/00005\.png: several or grey values") as error:
        project.write(["ipda"], **{"comparison.external": {"theirs": str(project.theirs)}})
    assert len(str(error.value).splitlines()) == 1


def test_masks_of_others_under_the_name_of_a_row_of_ours_are_refused(project):
    for method in ("ipda", "concat"):
        project.result(method)
    for run in (["ipda", "concat"], ["ipda"]):
        with pytest.raises(InputError, match=r"comparison\.external.*'concatenation'") as error:
            project.write(run, **{"comparison.external": {"concatenation": str(project.theirs)}})
        assert len(str(error.value).splitlines()) == 1


def left_out(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    (folder / "clips.csv").write_text("\n")  # of a method that an earlier profile left out


@pytest.mark.parametrize(
    "spoil",
    [shutil.rmtree, left_out, lambda folder: (folder / "facts.json").unlink()],
    ids=["folder", "rows", "facts"],
)
def test_a_method_that_was_not_run_is_one_line_with_the_command(project, spoil):
    for method in ("ipda", "cosnet"):
        project.result(method)
    spoil(project.methods / "cosnet")
    with pytest.raises(InputError, match="`dvc repro compare@cosnet` makes it") as error:
        project.write(["ipda", "cosnet"])
    assert len(str(error.value).splitlines()) == 1
    assert not project.out.exists(), "refused before anything is written"


def test_rows_of_other_clips_are_one_line_with_the_command(project):
    """Left from an earlier data set: means over other clips are not compared."""
    project.result("ipda")
    project.result("cosnet", clips=5)
    with pytest.raises(InputError, match="`dvc repro compare@cosnet`") as error:
        project.write(["ipda", "cosnet"])
    assert len(str(error.value).splitlines()) == 1


def test_clips_that_are_called_by_numbers_are_clips(tmp_path):
    project = Project(tmp_path, [f"{i:02d}" for i in range(len(CLIPS))])
    project.result("ipda")
    table = project.write(["ipda"], **{"comparison.external": {"theirs": str(project.theirs)}})
    assert "nan" not in " ".join(table.loc["theirs"])
    clips = pd.read_csv(project.out / "clips.csv", dtype=str)
    assert list(clips["clip"]) == project.clips and not clips.isna().any(axis=None)


def test_a_table_of_methods_is_read_under_their_titles(project):
    for method in ("ipda", "none"):
        project.result(method)
    rows = read_methods(project.methods, load_config(project.params(["none", "ipda"])).comparison)
    assert list(dict.fromkeys(rows["method"])) == ["no interaction", "PDNet"]
    assert set(rows["kind"]) == {NATIVE} and len(rows) == 2 * len(CLIPS)


def test_every_interaction_has_a_title_of_its_own():
    assert set(TITLES) == set(get_args(Interaction))
    assert len(set(TITLES.values())) == len(TITLES)
