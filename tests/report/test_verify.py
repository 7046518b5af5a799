"""The reference says which results differ, and by how much."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from pdnet.base.files import write_json, write_table
from pdnet.data.images import read_frame
from pdnet.errors import InputError
from pdnet.model.device import kernels
from pdnet.report.verify import (
    LEFT_OUT,
    PICTURES,
    TOLERANCE,
    read_reference,
    report,
    snapshot,
    verify,
)
from tests.helpers import ROOT, save_image


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    """A finished pipeline with two declared results and one that nothing declares."""
    monkeypatch.chdir(tmp_path)
    write_json(Path("results/metrics.json"), {"test": {"J&F-Mean": 84.0, "J-Mean": 83.0}})
    rows = [{"clip": "a", "J": 0.5, "warped_iou": 0.9}, {"clip": "b", "J": 0.7, "warped_iou": 0.9}]
    write_table(Path("results/references.csv"), rows)
    write_json(Path("results/speed.json"), {"fps": 3})
    write_json(Path("models/kernels.json"), kernels())
    outs = [{"path": "results/metrics.json"}, {"path": "results/references.csv"}]
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"evaluate": {"outs": outs}}}))
    return tmp_path


def test_the_same_results_are_equal_bit_by_bit(results):
    reference = snapshot()
    findings = verify(reference)
    assert {finding.path for finding in findings} == {
        "results/metrics.json",
        "results/references.csv",
    }
    assert all(finding.state == "equal" and finding.acceptable for finding in findings)
    assert "2 of 2 files are equal bit by bit" in report(findings, reference)


@pytest.mark.parametrize(("change", "acceptable"), [(0.5, True), (TOLERANCE + 0.1, False)])
def test_a_difference_is_told_in_points_and_judged(cli, results, change, acceptable):
    write_json(Path("docs/reference.json"), snapshot())
    write_json(Path("results/metrics.json"), {"test": {"J&F-Mean": 84.0 + change}})
    status, text = cli("verify")
    assert status == (0 if acceptable else 1)
    assert f"results/metrics.json: differs, scores by at most {change:.2f} points" in text
    assert ("beyond the tolerance" in text) != acceptable
    assert ("something else differs" in text) == acceptable  # the kernels are the same


def test_other_kernels_are_named(results):
    reference = snapshot()
    reference["kernels"]["torch kernels"] = "AVX1"
    write_json(Path("results/metrics.json"), {"test": {"J&F-Mean": 84.1}})
    said = report(verify(reference), reference)
    assert "AVX1" in said and "what other kernels explain" in said


def test_a_missing_result_is_no_agreement(cli, results):
    write_json(Path("docs/reference.json"), snapshot())
    Path("results/references.csv").unlink()
    status, text = cli("verify")
    assert status == 1 and "results/references.csv: missing" in text


def test_without_a_reference_there_is_a_line(results):
    with pytest.raises(InputError, match=r"docs/reference\.json: missing"):
        read_reference()


def test_the_committed_reference_is_that_of_the_committed_lock():
    """Whoever commits new results commits the reference with them."""
    stages = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    files = json.loads((ROOT / "docs/reference.json").read_text())["files"]
    singles = {}
    for stage in stages.values():
        for out in stage.get("outs", []):
            whole = out["md5"].endswith(".dir")
            if not whole and not out["path"].startswith(LEFT_OUT):
                singles[out["path"]] = out["md5"]
    assert singles and {path: files[path]["md5"] for path in singles} == singles


def test_the_readmes_pictures_are_written_with_the_reference(cli, results):
    rng = np.random.default_rng(0)
    for source in PICTURES.values():
        save_image(Path(source), rng.integers(0, 255, (8, 12, 3), dtype=np.uint8))
    assert cli("verify", "--write")[0] == 0
    assert Path("docs/reference.json").is_file()
    assert read_frame(Path("docs/output.jpg")).shape == (8, 12, 3)
    curve = "docs/imbalance.png"
    assert Path(curve).read_bytes() == Path(PICTURES[curve]).read_bytes()


def test_results_of_another_profile_are_no_reference(cli, results):
    status, text = cli("verify", "--write")
    assert status == 2 and "best.png: missing" in text and not Path("docs").exists()


def test_every_picture_of_the_readme_is_one_of_these_or_a_badge():
    shown = re.findall(r"!\[[^]]+\]\((.+?)\)", (ROOT / "README.md").read_text())
    pictures = {one for one in shown if not one.startswith("https://img.shields.io/badge/")}
    # the recorded study's come from `pdnet study`
    recorded = {one for one in pictures if one.startswith("docs/study/")}
    assert all((ROOT / one).is_file() for one in recorded)
    assert pictures > recorded and pictures - recorded <= set(PICTURES)
