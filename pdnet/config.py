"""Every parameter, typed and checked in one place.

`params.yaml` holds a `profile`, the sections below, and two tables of values: `presets` (readings
of the paper) and `profiles` (what data and which machine). A value that is null in its section is
taken from the profile, and if the profile is silent too, from the preset. A value that is given in
the section always wins, so `dvc exp run -S model.parts=3` does what it says in any profile.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pdnet.errors import InputError

# where everything lies, relative to the project's root
SOURCE, RAW, WORKING = Path("data/source"), Path("data/raw"), Path("data/480p")
SERIES = Path("data/imbalance")
MODELS, RESULTS, REPORTS = Path("models"), Path("results"), Path("reports")
CHECKPOINT = MODELS / "pdnet.safetensors"
ABLATION_WORK, VARIANTS = MODELS / "ablation", RESULTS / "ablation"
TABLES = RESULTS / "tables"
NOTEBOOKS = Path("notebooks")


class Section(BaseModel):
    """A group of parameters; unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(Section):
    """Where the clips and the single images come from."""

    source: Literal["sample", "mvps", "davis", "pp_humanseg14k"]
    root: str | None = None  # the source's tree on this machine; read, linked, never copied
    url: str | None = None  # davis: archive to fetch when there is no root
    sha256: str | None = None  # of that archive
    image_sets: list[Literal["sample", "eg1800", "supervisely", "coco_person"]] = []
    image_root: str | None = None  # folder that holds EG1800/, SuperviselyPerson/, coco/ ...
    sample_images: int = Field(160, ge=0)  # single images that the sample renders


class PreprocessConfig(Section):
    """Short side of the working copy and the quality of its JPEGs."""

    short_side: int = Field(480, ge=32)
    jpeg_quality: int = Field(95, ge=50, le=100)


class ModelConfig(Section):
    """The network. What the paper and the authors' code read differently is named in `presets`."""

    preset: Literal["paper", "official"] = "paper"
    backbone: str = "resnet50"
    weights: str = "imagenet"  # imagenet, none, or a file
    input_size: tuple[int, int] = (480, 480)  # height, width
    interaction: Literal["ipda", "none"] = "ipda"
    parts: int = Field(5, ge=1, le=64)
    fusion: Literal["multiply", "add"] = "multiply"
    residual: bool = True
    attention_scale: Literal["none", "sqrt_d"] = "none"
    part_activation: Literal["softmax", "softmax_background"] = "softmax"
    mask_keys: Literal["none", "saliency", "part"] = "none"
    reference_fusion: Literal["mean", "concat_tokens"] = "mean"
    channels: int = Field(128, ge=8)
    part_channels: int = Field(64, ge=4)
    attention_channels: int = Field(32, ge=4)
    downsample: int = Field(4, ge=1)
    checkpointing: bool = False


class LossConfig(Section):
    """Section 4.4 of the paper; weights as in the authors' code where the paper gives none."""

    l1: float = Field(0.8, ge=0)
    auxiliary: float = Field(0.8, ge=0)  # the encoder's four heads
    saliency: float = Field(0.8, ge=0)  # the portrait map on the part grid
    parts: float = Field(0.8, ge=0)  # a factor on the four terms of the parts below
    reference: float = Field(0.8, ge=0)  # a factor on all terms of the reference frame
    geometric: float = Field(1.0, ge=0)
    semantic: float = Field(1.0, ge=0)
    area: float = Field(1.0, ge=0)
    orthonormal: float = Field(1.0, ge=0)
    combine: Literal["mean", "official"] = "mean"  # eq. (6), or a + b/2
    # the part losses' map: the part grid, or the input's size
    resolution: Literal["grid", "full"] = "grid"
    # over all pixels and channels, or the portrait
    semantic_mean: Literal["pixels", "portrait"] = "pixels"
    # added to every pixel of a part mask in the geometric loss (SCOPS)
    smoothing: float = Field(1e-3, ge=0)
    bce_weight: Literal["batch", "none"] = "batch"  # N / (N_pos + 1) of the batch, or plain
    # a batch without people would weigh N otherwise
    bce_weight_max: float | None = Field(20.0, gt=0)
    feature_network: str = "resnet18"
    feature_weights: str = "imagenet"
    feature_layer: int = Field(3, ge=0, le=3)  # which of the four strides; 3 is stride 32
    feature_normalise: bool = False


class TrainConfig(Section):
    """The recipe of the paper's section 5.1."""

    epochs: int = Field(60, ge=1)
    # video steps; null: once through the training frames
    steps_per_epoch: int | None = Field(None, ge=1)
    batch_size: int = Field(4, ge=1)
    # what they train: methods in docs/presets.md
    image_steps: Literal["ours", "official", "all", "none"] = "ours"
    image_every: int = Field(2, ge=1)  # video steps after each image step
    lr_image: float = Field(2.5e-4, gt=0)
    lr_video_backbone: float = Field(2.5e-5, gt=0)
    lr_video_heads: float = Field(2.5e-3, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    power: float = Field(0.9, gt=0)
    late_factor: float = Field(0.5, gt=0, le=1)
    late_epoch: int = Field(6, ge=0)
    clip_gradient: float | None = Field(None, gt=0)
    start: str | None = None  # a checkpoint whose encoder is taken over
    # only IPDA, fusion and head learn; for short ablations on one encoder
    freeze_encoder: bool = False
    crop: float = Field(0.125, ge=0, lt=1)
    reference: Literal["first", "random"] = "first"
    holdout: list[str] = []  # training clips kept for validation
    validate_every: int = Field(1, ge=1)
    # at most this many frames of each held-back clip
    validation_frames: int | None = Field(None, ge=3)
    # of its own: evaluate.threshold only scores
    validation_threshold: float = Field(0.5, gt=0, lt=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"


class EvaluateConfig(Section):
    """Prediction and scoring."""

    threshold: float = Field(0.5, gt=0, lt=1)
    set: Literal["train", "val"] = "val"
    include_first_last: bool = False
    reference: Literal["first", "first+previous_k", "random", "every_n"] = "first"
    reference_k: int = Field(5, ge=1)
    fps_frames: int = Field(20, ge=3)


class ReportConfig(Section):
    """What the report shows."""

    best_worst: int = Field(2, ge=1)


class AblationConfig(Section):
    """Which variants are trained, how often, and what they share."""

    run: list[str]  # the variants that `dvc repro` trains
    variants: dict[str, dict[str, Any]]  # name -> parameters by dotted name
    set: dict[str, Any] = {}  # parameters of every variant: what makes the trainings short
    seeds: list[int] = Field([1, 2, 3], min_length=1)

    @field_validator("run")
    @classmethod
    def _compared_with_full(cls, run: list[str]) -> list[str]:
        if "full" not in run:
            raise ValueError("'full' must be among them: every other variant is compared with it")
        return run


class ImbalanceConfig(Section):
    """The rendered series in which the limbs move ever faster against the torso."""

    levels: list[float] = Field([0.0, 0.5, 1.0, 2.0, 3.0], min_length=2)
    frames: int = Field(26, ge=11)  # of each clip, at 30 FPS


class MachineConfig(Section):
    """How the work is done, not what: no stage declares these and no key holds them.

    Device and threads decide the order of sums, hence the last digits, which training magnifies:
    the profile whose numbers are published fixes its threads.
    """

    workers: int = Field(0, ge=0)  # processes for files; 0: every core
    loader_workers: int = Field(0, ge=0)  # processes that load training batches; 0: the main one
    threads: int = Field(0, ge=0)  # CPU threads of torch; 0: its own choice
    device: str = "auto"  # auto, cpu, cuda, cuda:1 ...


class Config(Section):
    """The whole of `params.yaml`, resolved."""

    profile: str
    seed: int
    data: DataConfig
    preprocess: PreprocessConfig
    model: ModelConfig
    loss: LossConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    report: ReportConfig
    ablation: AblationConfig
    imbalance: ImbalanceConfig
    machine: MachineConfig


SECTIONS = tuple(name for name in Config.model_fields if name not in ("profile", "seed"))


def load_config(path: Path | str = "params.yaml") -> Config:
    """Reads and checks a parameter file.

    Raises:
        InputError: no such file, not YAML, an unknown name or a bad value; every problem is named.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such parameter file; run from the project's root or give --params"
        ) from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected names and values, found {type(raw).__name__}")
    return resolve(raw, str(path))


def with_values(raw: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Parameters as written, with some values by dotted name (`model.parts`) replaced; the original
    stays.
    """
    changed = copy.deepcopy(raw)
    for name, value in values.items():
        group, keys = changed, name.split(".")
        for key in keys[:-1]:
            group = group.setdefault(key, {})
            if not isinstance(group, dict):
                raise InputError(f"'{name}': '{key}' is a value, not a group of parameters")
        group[keys[-1]] = value
    return changed


def resolve(raw: dict[str, Any], where: str = "parameters") -> Config:
    """Parameters as written -> `Config`: section, else profile, else preset, else the field's
    default.
    """
    for section in SECTIONS:
        if not isinstance(raw.get(section) or {}, dict):
            raise InputError(
                f"{where}: {section} must be a group of names and values, not {raw[section]!r}"
            )
    profile = _choice(raw.get("profiles"), raw.get("profile"), "profile", where)
    preset_name = _first(
        (raw.get("model") or {}).get("preset"), (profile.get("model") or {}).get("preset"), "paper"
    )
    preset = _choice(raw.get("presets"), preset_name, "model.preset", where)
    _known(raw, {"profile", "seed", "profiles", "presets", *SECTIONS}, "", where)
    for name, layer in (
        ("profiles." + str(raw.get("profile")), profile),
        ("presets." + str(preset_name), preset),
    ):
        _known(layer, set(SECTIONS), name + ".", where)
    merged: dict[str, Any] = {"profile": raw.get("profile"), "seed": raw.get("seed", 18493)}
    for section in SECTIONS:
        values: dict[str, Any] = {}
        for layer in (preset, profile, raw):
            given = layer.get(section) or {}
            values.update(
                {
                    key: value
                    for key, value in given.items()
                    if value is not None or key not in values
                }
            )
        merged[section] = {
            key: value
            for key, value in values.items()
            if value is not None or admits_null(section, key)
        }
    try:
        return Config(**merged)
    except ValidationError as error:
        raise InputError(_explain(error, where)) from error


def variant_configs(params: Path, name: str) -> dict[int, Config]:
    """Seed -> resolved parameters of a variant.

    Raises:
        InputError: no such variant, or one of its parameters is unknown or wrong.
    """
    options = load_config(params).ablation
    if name not in options.variants:
        known = ", ".join(options.variants)
        raise InputError(f"ablation.variants: '{name}' is unknown; known: {known}")
    raw = yaml.safe_load(params.read_text())
    changes = {**options.set, **options.variants[name]}
    where = f"ablation.variants.{name}"
    return {
        seed: resolve(with_values(raw, {**changes, "seed": seed}), where) for seed in options.seeds
    }


def checked(section: str, **values: Any) -> Any:
    """One section by itself, e.g. `checked("model", parts=3)`; a bad value is named as in a
    parameter file.
    """
    try:
        return Config.model_fields[section].annotation(**values)
    except ValidationError as error:
        raise InputError(_explain(error, section)) from error


def admits_null(section: str, key: str) -> bool:
    """True where a null that no layer fills is a value of its own, because the field's type is `...
    | None`.

    An unknown name passes too, so that it is named as unknown and not lost.
    """
    fields = Config.model_fields[section].annotation.model_fields
    return key not in fields or type(None) in get_args(fields[key].annotation)


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _choice(table: Any, name: Any, what: str, where: str) -> dict[str, Any]:
    if not isinstance(table, dict) or name not in table:
        known = (
            ", ".join(map(str, table)) if isinstance(table, dict) else "none: the table is missing"
        )
        raise InputError(f"{where}: {what} '{name}' is unknown; known: {known}")
    return table[name] or {}


def _known(given: dict[str, Any], known: set[str], prefix: str, where: str) -> None:
    unknown = [str(key) for key in given if key not in known]
    if unknown:
        raise InputError(
            f"{where}: unknown parameter '{prefix}{unknown[0]}'; known: {', '.join(sorted(known))}"
        )


def _explain(error: ValidationError, where: str) -> str:
    lines = []
    for problem in error.errors():
        name = ".".join(str(x) for x in problem["loc"])
        if problem["type"] == "extra_forbidden":
            section = Config.model_fields[name.split(".")[0]].annotation.model_fields
            lines.append(f"{where}: unknown parameter '{name}'; known here: {', '.join(section)}")
        else:
            lines.append(
                f"{where}: {name} = {problem['input']!r}: "
                f"{problem['msg'][0].lower()}{problem['msg'][1:]}"
            )
    return "\n".join(lines)
