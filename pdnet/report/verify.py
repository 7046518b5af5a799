"""Are the results here those of the reference? Which files differ, and by how much.

On a machine of the reference's kind every declared file is the same bit by bit, and a clean `git
status` after `make repro` says so. Elsewhere the order of sums differs, training magnifies it, and
this is the question.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pdnet.base.files import copy, write_image, write_json
from pdnet.config import KERNELS
from pdnet.data.images import read_frame
from pdnet.errors import InputError

REFERENCE = Path("docs/reference.json")
LOCK = Path("dvc.lock")
# README's pictures, copies of what a page shows
PICTURES = {
    "docs/output.jpg": "reports/figures/report/best.png",
    "docs/sample.jpg": "reports/figures/dataset/examples.png",
    "docs/imbalance.png": "reports/figures/ablations/imbalance.png",
    "docs/clip.webp": "reports/videos/interview-garden.webp",
}
# not compared file by file: thousands of files, and what says how results are made
LEFT_OUT = ("data/", "results/recipes", "results/parameters.yaml")
SCORES = (
    "results/metrics.json",
    "results/methods.csv",
    "results/stability.csv",
    "results/references.csv",
    "results/per-sequence_results-*.csv",
    "results/ablation/*/clips.csv",
    "results/comparison/*/clips.csv",
    "results/ablation/*/imbalance.csv",
)
# Largest difference of a score that other kernels explain, in points: above what the same seeds
# gave with AVX2 in place of AVX-512 (README, "The numbers again"). Beyond it, seek another cause.
TOLERANCE = 3.0
COLUMNS = ("J&F", "J", "F", "J_limbs", "J&F-Mean", "J-Mean", "F-Mean", "warped_iou", "warped_IoU")


@dataclass(frozen=True)
class Finding:
    """What is said of one file.

    Attributes:
        path: from the project's root.
        state: `equal` bit by bit, `differs`, or `missing`.
        difference: largest of its scores, in points; None where it holds none.
    """

    path: str
    state: str
    difference: float | None = None

    @property
    def acceptable(self) -> bool:
        """Equal, or within the tolerance; a file without scores may differ (its scores stand
        elsewhere).
        """
        return self.state != "missing" and (self.difference or 0.0) <= TOLERANCE


def trained_with() -> dict[str, str]:
    """The kernels that the training used, as it noted them; `{}` where it was not run here."""
    return json.loads(KERNELS.read_text()) if KERNELS.is_file() else {}


def declared_outputs(lock: Path = LOCK) -> list[Path]:
    """Every output that `dvc.lock` vouches for.

    Raises:
        InputError: nothing was run yet.
    """
    if not lock.is_file():
        raise InputError(f"{lock}: missing; `make repro` makes it")
    stages = yaml.safe_load(lock.read_text())["stages"]
    paths: list[Path] = []
    for stage in stages.values():
        paths += [Path(out["path"]) for out in stage.get("outs", [])]
    return sorted(paths)


def result_files(lock: Path = LOCK) -> Iterator[Path]:
    """The files of the declared outputs but `LEFT_OUT`; folders are walked through."""
    for path in declared_outputs(lock):
        if str(path).startswith(LEFT_OUT):
            continue
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.is_file())
        else:
            yield path


def scores(path: Path) -> dict[str, float]:
    """Scores of a result file in per cent: the mean of each column of `COLUMNS`; empty for other
    files.
    """
    if not any(path.match(pattern) for pattern in SCORES) or not path.read_text().strip():
        return {}
    if path.suffix == ".json":
        values = json.loads(path.read_text())["test"]
        return {name: values[name] for name in COLUMNS if name in values}
    table = pd.read_csv(path)
    return {name: 100 * float(table[name].mean()) for name in COLUMNS if name in table}


def snapshot(lock: Path = LOCK) -> dict[str, Any]:
    """What a reference holds: the kernels it was made with, and of each result file hash and
    scores.
    """
    files = {}
    for path in result_files(lock):
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()  # as in dvc.lock
        rounded = {name: round(value, 4) for name, value in scores(path).items()}
        files[str(path)] = {"md5": digest, **({"scores": rounded} if rounded else {})}
    return {"kernels": trained_with(), "files": files}


def write_reference(path: Path = REFERENCE) -> None:
    """Makes the results here the reference, and README's pictures those of the pages here.

    Raises:
        InputError: a page's picture is missing, as in any profile but `sample`; nothing is written.
    """
    missing = [source for source in PICTURES.values() if not Path(source).is_file()]
    if missing:
        raise InputError(
            f"{missing[0]}: missing; the reference and README's pictures are those of the sample"
        )
    write_json(path, snapshot())
    for target, source in PICTURES.items():
        if Path(target).suffix == Path(source).suffix:
            copy(Path(source), Path(target))
        else:
            write_image(Path(target), read_frame(Path(source)))


def read_reference(path: Path = REFERENCE) -> dict[str, Any]:
    """The committed reference.

    Raises:
        InputError: it is missing.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: missing; it comes with the repository, or `pdnet verify --write`"
        )
    return json.loads(path.read_text())


def verify(reference: dict[str, Any]) -> list[Finding]:
    """Every file of the reference against the one here."""
    return [_compare(Path(name), said) for name, said in reference["files"].items()]


def _compare(path: Path, said: dict[str, Any]) -> Finding:
    if not path.is_file():
        return Finding(str(path), "missing")
    if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == said["md5"]:
        return Finding(str(path), "equal")
    before, now = said.get("scores", {}), scores(path)
    differences = [abs(now[name] - before[name]) for name in before if name in now]
    return Finding(str(path), "differs", max(differences, default=None))


def report(findings: list[Finding], reference: dict[str, Any]) -> str:
    """The findings as text: kernels here and there, files that differ, a sentence at the end."""
    here, there = trained_with(), reference["kernels"]
    lines = [f"{'':16s} {'reference':48s} here"]
    lines += [f"{name:16s} {there[name]:48s} {here.get(name, '')}" for name in there]
    other = [finding for finding in findings if finding.state != "equal"]
    for finding in other:
        said = finding.state
        if finding.difference is not None:
            said += f", scores by at most {finding.difference:.2f} points (tolerance {TOLERANCE})"
        lines.append(f"{finding.path}: {said}")
    equal = len(findings) - len(other)
    lines.append(f"{equal} of {len(findings)} files are equal bit by bit")
    beyond = [finding.path for finding in other if not finding.acceptable]
    if beyond:
        lines.append(f"beyond the tolerance or missing: {len(beyond)}, first {beyond[0]}")
    elif other and here != there:
        lines.append("the rest differs within what other kernels explain")
    elif other:
        lines.append(
            "the kernels are the same, so something else differs: parameters, data or code?"
        )
    return "\n".join(lines)
