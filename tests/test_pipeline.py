"""The stages one after another on a tiny sample, notebooks, and a person's own video."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import av
import nbformat
import numpy as np
import pytest
import yaml
from packaging.specifiers import SpecifierSet

from pdnet.config import ModelConfig
from pdnet.data.images import read_labels
from pdnet.errors import InputError
from pdnet.model import PDNet
from pdnet.model.checkpoint import save_network
from pdnet.report.pages import execute
from tests.helpers import ROOT, TINY, make_tree, save_image, write_params


def test_every_stage_from_scripts_to_report(cli, tmp_path, monkeypatch):
    raw = yaml.safe_load((ROOT / "pipelines/sample/scenes.yaml").read_text())
    wanted = {"lecture/museum", "news/evening", "news/election", "lecture/planetarium"}
    clips = [{**c, "frames": 21} for c in raw["clips"] if c["name"] in wanted]
    (tmp_path / "data/source").mkdir(parents=True)
    (tmp_path / "data/source/scenes.yaml").write_text(yaml.safe_dump({"clips": clips}))
    changes = {
        **TINY,
        "train__holdout": ["news/evening"],
        "data__sample_images": 3,
        "report__best_worst": 1,
        "ablation__run": ["full", "no-ipda", "one-part"],
        "ablation__seeds": [1, 2],
        "ablation__set": {
            "train.epochs": 1,
            "train.steps_per_epoch": 1,
            "train.start": "models/pdnet.safetensors",
        },
        "imbalance": {"levels": [0.0, 2.0], "frames": 11},
    }
    write_params(tmp_path / "params.yaml", **changes)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    monkeypatch.chdir(tmp_path)
    for stage in ("download", "preprocess", "train", "predict"):
        status, text = cli(stage)
        assert status == 0, text
    rows = {r["method"]: r for r in csv.DictReader((tmp_path / "results/methods.csv").open())}
    assert set(rows) == {
        "PDNet",
        "all background",
        "mean training mask",
        "first prediction held still",
    }
    assert float(rows["all background"]["J-Mean"]) == 0
    metrics = json.loads((tmp_path / "results/metrics.json").read_text())
    assert metrics["J&F-Mean"] == pytest.approx(100 * float(rows["PDNet"]["J&F-Mean"]), abs=1e-3)
    speed = json.loads((tmp_path / "results/speed.json").read_text())
    assert speed["fps_model"] > speed["fps_end_to_end"] > 0 and speed["device"]
    mask = read_labels(tmp_path / "results/predictions/lecture/planetarium/00005.png")
    assert mask.shape == (480, 854) and set(np.unique(mask)) <= {0, 255}
    # our own files, scored by the command, give the stage's figures again
    status, text = cli("evaluate", "results/predictions", "data/480p", "--out", "again")
    assert (tmp_path / "again/global_results-val.csv").read_bytes() == (
        tmp_path / "results/global_results-val.csv"
    ).read_bytes()
    for stage in (["imbalance"], ["ablate", "full"], ["ablate", "no-ipda"], ["ablate", "one-part"]):
        assert cli(*stage)[0] == 0, stage
    for stage in ("references", "tables", "notebooks"):
        status, text = cli(stage)
        assert status == 0, text
    assert "without IPDA and fusion" in (tmp_path / "results/tables/table3.md").read_text()
    assert "Against 'p = 1'" in (tmp_path / "results/tables/conclusion.txt").read_text()
    pages = {page.stem: page.read_bytes() for page in (tmp_path / "reports").glob("*.html")}
    assert set(pages) == {p.stem for p in (ROOT / "notebooks").glob("*.ipynb")}
    assert all(b"data:image/png" in page and b"Figure size" not in page for page in pages.values())
    assert b"PDNet (paper)" in pages["report"] and pages["report"].count(b"data:image/png") >= 4
    figures = {
        p.relative_to(tmp_path): p.read_bytes() for p in (tmp_path / "reports/figures").rglob("*.*")
    }
    assert {p.suffix for p in figures} == {".png", ".svg"}
    again = sorted(set(pages) - {"runs"})  # which shows MLflow's runs, the last one's among them
    assert cli("notebooks", *again)[0] == 0
    for name in again:
        assert (tmp_path / f"reports/{name}.html").read_bytes() == pages[name], (
            f"{name} differs from run to run"
        )
    assert all((tmp_path / name).read_bytes() == content for name, content in figures.items())


def test_a_broken_cell_is_named_and_no_page_is_written(tmp_path):
    cells = [nbformat.v4.new_code_cell("1 + 1"), nbformat.v4.new_code_cell("# divide\n1 / 0")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "bad.ipynb")
    with pytest.raises(InputError, match=r"cell 2 \('# divide'\): ZeroDivisionError"):
        execute(tmp_path / "bad.ipynb", tmp_path / "bad.html")
    assert not (tmp_path / "bad.html").exists()


def test_every_pinned_package_takes_the_oldest_python_that_is_promised():
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest = promised.removeprefix(">=") + ".0"
    pins = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()}
    needs = {
        d.name: d.metadata.get("Requires-Python", "") for d in distributions() if d.name in pins
    }
    assert len(needs) > 100
    assert not {
        name: need for name, need in needs.items() if not SpecifierSet(need).contains(oldest)
    }


def test_notebooks_are_stored_without_outputs():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        page = nbformat.read(path, as_version=4)
        assert all(not c.get("outputs") and c.get("execution_count") is None for c in page.cells), (
            path
        )
        assert any("parameters" in c.metadata.get("tags", []) for c in page.cells), path


@pytest.fixture
def checkpoint(tmp_path):
    values = {
        "backbone": "resnet18",
        "weights": "none",
        "channels": 16,
        "part_channels": 8,
        "attention_channels": 8,
    }
    save_network(PDNet(ModelConfig(**values, input_size=(64, 64))), tmp_path / "n.safetensors")
    return tmp_path / "n.safetensors"


def make_video(path: Path, frames: int = 6) -> Path:
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(frames):
            picture = rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_segment_a_video_file(cli, tmp_path, checkpoint):
    video = make_video(tmp_path / "film.mp4")
    status, text = cli("segment", video, "--checkpoint", checkpoint, "--overlay")
    assert status == 0 and "6 masks" in text
    masks = sorted((tmp_path / "film-masks").glob("*.png"))
    assert [m.stem for m in masks] == [f"{i:05d}" for i in range(6)]
    assert read_labels(masks[0]).shape == (64, 96)
    with av.open(str(tmp_path / "film-masks/overlay.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6


def test_segment_a_folder_of_frames(cli, tmp_path, checkpoint):
    tree = make_tree(tmp_path / "tree")
    folder = tree / "Keyframes/480p/a/one"
    assert cli("segment", folder, "-o", tmp_path / "out", "--checkpoint", checkpoint)[0] == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 5


@pytest.mark.parametrize("kind", ["missing", "rubbish", "empty folder", "truncated frame"])
def test_segment_refuses_what_it_cannot_read(cli, tmp_path, checkpoint, kind):
    source = tmp_path / "input"
    if kind == "rubbish":
        source.write_bytes(b"no video at all")
    elif kind != "missing":
        source.mkdir()
    if kind == "truncated frame":
        file = save_image(
            source / "1.jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        )
        file.write_bytes(file.read_bytes()[:-100])
    status, text = cli("segment", source, "--checkpoint", checkpoint)
    last = text.splitlines()[-1]  # a progress bar may stand before it
    assert status == 2 and last.startswith("error: ") and str(source) in last, text


def test_help_teaches(cli):
    for command in ("evaluate", "segment", "train"):
        status, text = cli(command, "--help")
        assert status == 0 and "Usage" in text
    done = subprocess.run(
        [sys.executable, "-m", "pdnet.cli", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "segment" in done.stdout


def test_an_unfinished_pipeline_says_what_is_missing(cli, tmp_path, monkeypatch):
    write_params(tmp_path / "params.yaml", **TINY)
    monkeypatch.chdir(tmp_path)
    for stage, says in (
        ("preprocess", "data/raw"),
        ("train", "data/480p"),
        ("predict", "models/pdnet.safetensors"),
    ):
        status, text = cli(stage)
        assert status == 2 and says in text, text
