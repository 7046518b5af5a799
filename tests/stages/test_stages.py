"""Every stage on a tiny sample, one after another, and the parameters that each of them reads."""

from __future__ import annotations

import csv
import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from bs4 import BeautifulSoup

import pdnet.config
from pdnet.base.store import tracking_client
from pdnet.config import Config, Section
from pdnet.data.images import read_labels
from pdnet.stages.recipes import OF_A_METHOD, OF_A_VARIANT, READS
from tests.helpers import ROOT, TINY, write_params

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
ORDER = ("download", "preprocess", "flow", "train", "predict", "imbalance", "references")
STAGE_OF = {"predict": "evaluate"}  # command -> stage, where their names differ
VARIANTS = ("full", "no-ipda", "one-part")
METHODS = ("ipda", "none", "hfan")  # parts, one frame, optical flow


class Watch:
    """Notes which parameters of a resolved `Config` are read, stage by stage."""

    def __init__(self) -> None:
        self.stage = ""
        self.reads: dict[str, set[str]] = defaultdict(set)
        self.variants: set[int] = set()
        # of a resolved Config; kept, so that an id stays one
        self.sections: dict[int, tuple[str, Section]] = {}

    def know(self, config: Config, where: str) -> Config:
        self.sections[id(config)] = ("", config)
        if where.startswith(("ablation.variants", "comparison, ")):
            self.variants.add(id(config))
        for name in pdnet.config.SECTIONS:
            section = config.__dict__[name]
            self.sections[id(section)] = (f"{name}.", section)
        return config

    def note(self, section: Section, name: str) -> None:
        if id(section) not in self.sections or name not in type(section).model_fields:
            return
        # a variant's seed is one of ablation.seeds, not the file's
        if name != "seed" or id(section) not in self.variants:
            self.reads[self.stage].add(self.sections[id(section)][0] + name)


@pytest.fixture
def watch(monkeypatch) -> Watch:
    watch, resolve, read = Watch(), pdnet.config.resolve, Section.__getattribute__

    def noted(section: Section, name: str) -> Any:
        if not name.startswith(("_", "model_")):
            watch.note(section, name)
        return read(section, name)

    monkeypatch.setattr(
        pdnet.config, "resolve", lambda raw, where: watch.know(resolve(raw, where), where)
    )
    monkeypatch.setattr(Section, "__getattribute__", noted)
    return watch


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project with a few clips of the sample and trainings of a few steps."""
    raw = yaml.safe_load((ROOT / "pipelines/sample/scenes.yaml").read_text())
    wanted = {"lecture/museum", "news/evening", "news/election", "lecture/planetarium"}
    clips = [{**clip, "frames": 21} for clip in raw["clips"] if clip["name"] in wanted]
    (tmp_path / "data/source").mkdir(parents=True)
    (tmp_path / "data/source/scenes.yaml").write_text(yaml.safe_dump({"clips": clips}))
    short = {
        "train.epochs": 1,
        "train.steps_per_epoch": 1,
        "train.start": "models/pdnet.safetensors",
        "train.start_part": "encoder",
        "train.freeze_encoder": True,
    }
    changes = {
        **TINY,
        "train__holdout": ["news/evening"],
        "data__sample_images": 3,
        "report__best_worst": 1,
        "ablation__run": list(VARIANTS),
        "ablation__seeds": [1, 2],
        "ablation__set": short,
        "comparison__run": list(METHODS),
        "comparison__seeds": [1, 2],
        "comparison__set": dict(short),
        "imbalance": {"levels": [0.0, 2.0], "frames": 11},
    }
    write_params(tmp_path / "params.yaml", **changes)
    for name in ("notebooks", "docs/study"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # its runs alone are looked at
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_stage_from_scripts_to_report(cli, project, watch):
    def run(*command: str) -> None:
        watch.stage = STAGE_OF.get(command[0], command[0])
        status, text = cli(*command)
        assert status == 0, text

    for stage in ORDER:
        run(stage)
    check_scores(project)
    assert cli("evaluate", "results/predictions", "data/480p", "--out", "again")[0] == 0
    ours, again = (project / folder / "global_results-val.csv" for folder in ("results", "again"))
    assert ours.read_bytes() == again.read_bytes(), "the command scores our files as the stage does"
    for variant in VARIANTS:
        run("ablate", variant)
    run("tables")
    for method in (*METHODS, "cosnet"):
        run("compare", method)
    run("comparison")
    check_comparison(project)
    run("notebooks")
    check_runs(project)
    assert "without IPDA and fusion" in (project / "results/tables/table3.md").read_text()
    assert "Against 'p = 1'" in (project / "results/tables/conclusion.txt").read_text()
    check_pages(cli, project)
    check_parameters(watch)


def check_scores(project: Path) -> None:
    with (project / "results/methods.csv").open() as stream:
        rows = {row["method"]: row for row in csv.DictReader(stream)}
    trivial = {"all background", "mean training mask", "first prediction held still"}
    assert set(rows) == {"PDNet", *trivial}
    assert float(rows["all background"]["J-Mean"]) == 0
    metrics = json.loads((project / "results/metrics.json").read_text())["test"]
    ours = 100 * float(rows["PDNet"]["J&F-Mean"])
    assert metrics["J&F-Mean"] == pytest.approx(ours, abs=1e-3)
    speed = json.loads((project / "results/speed.json").read_text())
    # which is faster is for benches: on a busy machine two medians of this size change places
    assert speed["fps_model"] > 0 and speed["fps_end_to_end"] > 0 and speed["device"]
    mask = read_labels(project / "results/predictions/lecture/planetarium/00005.png")
    assert mask.shape == (480, 854) and set(np.unique(mask)) <= {0, 255}


def check_runs(project: Path) -> None:
    """One run for the pipeline, with its scores; below it the stages' runs, and what they say."""
    client = tracking_client()
    [experiment] = client.search_experiments(filter_string="name = 'pdnet-sample'")
    runs = client.search_runs([experiment.experiment_id])
    [whole] = [run for run in runs if run.data.tags["kind"] == "pipeline"]
    below = {run.info.run_id: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    named = {run.info.run_name: run for run in below.values()}
    stages = {"train", "evaluate", "references", "ablation", "comparison", "notebooks"}
    assert stages <= set(named)
    for name, run in named.items():
        parent = run.data.tags["mlflow.parentRunId"]
        assert parent == whole.info.run_id or parent in below, name
        assert run.info.status == "FINISHED" and run.info.end_time >= run.info.start_time
    ours = json.loads((project / "results/metrics.json").read_text())["test"]["J&F-Mean"]
    for run in (whole, named["train"], named["evaluate"]):
        assert run.data.metrics["test/JandF-Mean"] == pytest.approx(ours, abs=1e-3)
        clips = [name for name in run.data.metrics if name.startswith("test clips/")]
        assert len(clips) == 2 and "| PDNet |" in run.data.tags["mlflow.note.content"]
    for run in (whole, named["train"]):
        files = [Path(file.path).name for file in client.list_artifacts(run.info.run_id, "images")]
        for series in ("worst frames", "best frames"):
            assert any(name.startswith(series) and name.endswith(".png") for name in files)
    validation = json.loads((project / "models/summary.json").read_text())["validation"]
    in_mlflow = named["train"].data.metrics["validation/JandF-Mean"]
    assert in_mlflow == pytest.approx(validation["J&F-Mean"], abs=1e-3), "both in per cent"
    [data] = named["train"].inputs.dataset_inputs
    assert named["train"].data.tags["data_hash"].startswith(data.dataset.digest)
    trained = {run.info.run_name for run in runs if parent_name(run, below) == "ablation"}
    assert trained == {f"{variant} {seed}" for variant in VARIANTS for seed in (1, 2)}
    assert "without IPDA" in named["ablation"].data.tags["mlflow.note.content"]


def parent_name(run, runs: dict) -> str | None:
    parent = runs.get(run.data.tags.get("mlflow.parentRunId"))
    return parent and parent.info.run_name


def check_comparison(project: Path) -> None:
    with (project / "results/comparison_tables/comparison.csv").open() as stream:
        rows = {row["method"]: row for row in csv.DictReader(stream)}
    ours = {name: row for name, row in rows.items() if row["row"] == "native"}
    assert set(ours) == {"PDNet", "no interaction", "HFAN-style"}
    assert all(float(row["of these live (M)"]) > 10 for row in ours.values()), "a ResNet-18's"
    assert rows["COSNet (paper)"]["row"] == "reported"
    masks = list((project / "results/comparison/hfan/predictions").rglob("*.png"))
    assert len(masks) == len(list((project / "results/predictions").rglob("*.png")))
    # left out by `comparison.run`: nothing was trained
    left = project / "results/comparison/cosnet"
    assert [path.name for path in left.iterdir() if path.name[0] != "."] == ["clips.csv"]
    speed = json.loads((project / "results/comparison_speed/hfan.json").read_text())
    assert speed["fps_with_flow"] > 0


def check_pages(cli, project: Path) -> None:
    """Pages hold pictures, and are the same from run to run; only MLflow's are not, and nothing
    declares them.
    """
    pages = {page.stem: page.read_bytes() for page in (project / "reports").glob("*.html")}
    index = pages.pop("index")
    assert set(pages) == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert all(f'href="{name}.html"'.encode() in index for name in pages)
    for name, page in pages.items():
        assert b"data:image/png" in page and b"Figure size" not in page, name
        silent = [
            image for image in BeautifulSoup(page, "html.parser")("img") if not image.get("alt")
        ]
        assert not silent, f"{name}: a picture without words"
    assert b"PDNet (paper)" in pages["report"] and b"HFAN-style" in pages["comparison"]
    assert pages["report"].count(b"data:image/png") >= 4
    files = [path for path in (project / "reports/figures").rglob("*.*")]
    figures = {path: path.read_bytes() for path in files}
    assert {path.suffix for path in figures} == {".png", ".svg"}
    outs = [Path(out) for out in STAGES["notebooks"]["outs"]]
    declared = {out.stem for out in outs if out.suffix == ".html"} - {"index"}
    assert declared == set(pages) - {"runs"}
    assert not (project / "reports/figures/runs").exists()
    assert cli("notebooks", *sorted(declared))[0] == 0
    for name in declared:
        again = (project / f"reports/{name}.html").read_bytes()
        assert again == pages[name], f"{name} differs from run to run"
    assert (project / "reports/index.html").read_bytes() == index
    assert len(list((project / "reports/videos").glob("*.webp"))) == 2
    assert all(path.read_bytes() == content for path, content in figures.items())


def declared_parameters(stage: str) -> set[str]:
    """What a stage's recipe holds; the seeds, set and variants of the ablation come to its
    variants' parameters, those of the comparison to its methods'.
    """
    resolved = {
        "ablate": {*OF_A_VARIANT, "ablation.seeds", "ablation.set", "ablation.variants"},
        "compare": {*OF_A_METHOD, *(f"comparison.{x}" for x in ("methods", "run", "seeds", "set"))},
    }
    return resolved.get(stage) or set(READS[stage])


def check_parameters(watch: Watch) -> None:
    """What a stage reads is what it declares, both ways; `machine` cannot change a result."""
    problems = []
    for stage in set(STAGES) - {"recipes"}:
        declared = declared_parameters(stage)
        read = {name for name in watch.reads[stage] if name.split(".")[0] != "machine"}
        read = {name for name in read if "." in name or name in ("profile", "seed")}
        for name in sorted(read):
            if name not in declared and name.split(".")[0] not in declared:
                problems.append(f"{stage} reads {name}, which its recipe has not")
        for name in sorted(declared):
            if not any(other == name or other.startswith(f"{name}.") for other in read):
                problems.append(f"{stage}'s recipe has {name}, which it does not read")
    assert not problems, "\n".join(problems)
