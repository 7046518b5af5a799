"""params.yaml, code -> results/recipes: what decides a stage's results beside its data, a file a
stage.

A stage depends on its recipe in place of the parameter file and of the files of code, so a change
reruns the stages that read it or run it and no other. A recipe holds the resolved values, whatever
layer they come from, and a hash of each file that the stage reaches through its imports.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pdnet.base.files import file_hash, write_text
from pdnet.base.imports import PACKAGE, reached
from pdnet.base.lock import only_writer
from pdnet.config import (
    NOTEBOOKS,
    PARAMS,
    PIPELINES,
    RECIPES,
    RESOLVED,
    Config,
    load_config,
    method_configs,
    variant_configs,
)

# what a stage reads of the resolved parameters: sections, or single ones. `machine` is in none: it
# says how the work is done, not what. A test watches the reading.
READS = {
    "download": ("profile", "seed", "data"),
    "preprocess": ("preprocess",),
    "flow": ("flow", "model.interaction", "comparison.run"),
    "train": ("profile", "seed", "model", "loss", "train"),
    "evaluate": ("profile", "seed", "evaluate"),
    "imbalance": ("imbalance",),
    "references": ("seed", "evaluate"),
    "tables": ("ablation", "data.source", "model", "train"),
    "comparison": ("comparison", "flow.method", "data.source", "model", "train", "evaluate"),
    "notebooks": ("profile", "report", "evaluate.set", "evaluate.threshold", "evaluate.people"),
}
# the same of a variant's parameters and of a compared method's: what the ablation's and the
# comparison's own sections come to
OF_A_VARIANT = ("profile", "model", "loss", "train", "evaluate")
OF_A_METHOD = ("profile", "flow", "model", "loss", "train", "evaluate")
# in what they differ from the paper's, as the tables say
TOLD_OF_TRAININGS = ("data.source", "model", "train")
# what `dvc exp show` and `dvc params diff` list beside params.yaml
SHOWN = (
    "model.backbone",
    "model.input_size",
    "model.interaction",
    "train.epochs",
    "train.steps_per_epoch",
    "train.batch_size",
    "train.lr_video_heads",
)


def run(params: Path = PARAMS) -> None:
    """Writes every stage's recipe, and the resolved values that a reader of experiments looks
    for.
    """
    config = load_config(params)
    with only_writer(RECIPES):
        for name, parameters in _parameters(config, params):
            code = code_of(name.split("/")[0])
            _write(RECIPES / f"{name}.yaml", {"parameters": parameters, "code": code})
    _write(RESOLVED, chosen(config, SHOWN))


@functools.cache
def code_of(stage: str) -> dict[str, str]:
    """Path -> SHA-256 of each file of code that a stage runs, from the project's root."""
    entries = [PIPELINES / f"{stage}.py"]
    if stage == "notebooks":
        entries += sorted(NOTEBOOKS.glob("*.ipynb"))
    files = {PIPELINES / f"{stage}.py": PIPELINES / f"{stage}.py"}
    for entry in entries:
        files |= {Path(PACKAGE.name, file.relative_to(PACKAGE)): file for file in reached(entry)}
    return {path.as_posix(): file_hash(file) for path, file in files.items()}


def chosen(config: Config, names: tuple[str, ...]) -> dict[str, Any]:
    """The named sections and single parameters, in their groups."""
    everything = config.model_dump(mode="json")
    found: dict[str, Any] = {}
    for name in names:
        section, _, key = name.partition(".")
        if key:
            found.setdefault(section, {})[key] = everything[section][key]
        else:
            found[section] = everything[section]
    return found


def _parameters(config: Config, params: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Recipe's name -> what its stage reads."""
    variants = {name: variant_configs(params, name) for name in config.ablation.run}
    methods = {name: method_configs(params, name) for name in config.comparison.run}
    for stage, names in READS.items():
        found = chosen(config, names)
        if stage == "tables":
            found["variants"] = {
                name: _of_seeds(seeds, TOLD_OF_TRAININGS) for name, seeds in variants.items()
            }
        if stage == "comparison":
            found["methods"] = {
                name: _of_seeds(seeds, TOLD_OF_TRAININGS) for name, seeds in methods.items()
            }
        yield stage, found
    for name, seeds in variants.items():
        yield f"ablate/{name}", _of_seeds(seeds, OF_A_VARIANT)
    for name in config.comparison.methods:
        left_out = name not in methods
        yield f"compare/{name}", {} if left_out else _of_seeds(methods[name], OF_A_METHOD)


def _of_seeds(configs: Mapping[int, Config], names: tuple[str, ...]) -> dict[str, Any]:
    """Parameters of trainings that differ in their seeds alone."""
    return {"seeds": list(configs), **chosen(next(iter(configs.values())), names)}


def _write(path: Path, value: Mapping[str, Any]) -> None:
    write_text(path, yaml.safe_dump(dict(value), sort_keys=True))
