"""Every parameter, typed and checked in one place.

`params.yaml` holds a `profile` and what people turn of the sections below;
`pipelines/profiles.yaml` beside it holds the tables: `presets` (readings of the paper), `profiles`
(what data, which network, which machine) and `ablation.variants`. A value that its section leaves
out, or has as null, is taken from the profile, then from the preset, then from the default
here. A value that is given in the section always wins, so `dvc exp run -S model.parts=3` does what
it says in any profile.
"""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic import ValidationInfo as Info

from pdnet.base.parameters_file import read_parameters, shown
from pdnet.errors import InputError

# where everything lies, relative to the project's root
SOURCE, RAW, WORKING = Path("data/source"), Path("data/raw"), Path("data/480p")
SERIES = Path("data/imbalance")
MODELS, RESULTS, REPORTS = Path("models"), Path("results"), Path("reports")
FLOW = WORKING.parent / "flow"  # where `Clip.flow` looks
OUTPUTS = (RAW, WORKING, FLOW, SERIES, MODELS, RESULTS, REPORTS)  # what stages write
CHECKPOINT = MODELS / "pdnet.safetensors"
CASTS, STUDY_WORK = WORKING.parent / "casts", MODELS / "study"
STUDY = Path("docs/study")  # recorded, in git
LEFT_OUT_RAW, LEFT_OUT_DATA = WORKING.parent / "left-out-raw", WORKING.parent / "left-out"
LEFT_OUT_WORK, LEFT_OUT = MODELS / "left-out", STUDY / "filmed"  # the last is recorded
KERNELS = MODELS / "kernels.json"  # what the training computed with; nothing declares it
ABLATION_WORK, VARIANTS = MODELS / "ablation", RESULTS / "ablation"
TABLES = RESULTS / "tables"
COMPARED_WORK, COMPARED = MODELS / "comparison", RESULTS / "comparison"
COMPARED_SPEED, COMPARED_TABLES = RESULTS / "comparison_speed", RESULTS / "comparison_tables"
FEATURES = MODELS / "features"  # of a frozen encoder, gone when the comparisons are done
NOTEBOOKS, PIPELINES = Path("notebooks"), Path("pipelines")
RECIPES, RESOLVED = RESULTS / "recipes", RESULTS / "parameters.yaml"
PARAMS = Path("params.yaml")
TABLES_OF_VALUES = PIPELINES / "profiles.yaml"  # beside the parameter file

SHOWN_PROBLEMS = 20  # of a parameter file, a line each

Item = TypeVar("Item")


def _unique(items: list[Item]) -> list[Item]:
    twice = [item for item, times in Counter(items).items() if times > 1]
    if twice:
        raise ValueError(f"{shown(twice[0])} stands twice")
    return items


# no control characters: a path with a NUL is an error of Python's, not of the disk's
Text = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f\x7f]+$")]
# a place on this machine; `~` is the user's home
Place = Annotated[Text, AfterValidator(os.path.expanduser)]
# the deepest stride of a backbone is 32: other sides lose pixels on the way
Side = Annotated[int, Field(ge=32, le=4096, multiple_of=32)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what NumPy and torch both take
Rate = Annotated[float, Field(gt=0, le=1000)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
Count = Annotated[int, Field(ge=1, le=10**6)]
Processes = Annotated[int, Field(ge=0, le=1024)]
Share = Annotated[float, Field(ge=0, le=1)]
# a folder's name: Images/NAME
SetName = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Original = Literal["coco_val2017", "coco_train2017", "voc2012", "penn_fudan", "davis"]
Checksum = Annotated[str, Field(pattern=r"^(md5:[0-9a-fA-F]{32}|(sha256:)?[0-9a-fA-F]{64})$")]
Licence = Annotated[int, Field(ge=1, le=8)]  # MSCOCO's numbers
# ipda is the paper's, none its Table 3's first row; the others are in pdnet.model.interactions
Interaction = Literal[
    *("ipda", "none", "concat"),
    *("agnn", "amcnet", "cosnet", "f2net", "fsnet", "hfan", "imcnet", "matnet"),
]
# the others look at a reference, or at nothing
LOOK_AT_FLOW = ("amcnet", "fsnet", "hfan", "matnet")
# a folder's name: results/ablation/NAME
VariantName = Annotated[str, Field(max_length=60, pattern=r"^[a-z0-9][a-z0-9_-]*$")]


class Section(BaseModel):
    """A group of parameters; unknown names, other types and numbers without end are errors."""

    # strict: `parts: true` is no 1, `parts: "5"` no 5
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataConfig(Section):
    """Where the clips and the single images come from."""

    source: Literal["sample", "casts", "mvps", "davis", "pp_humanseg14k", "people"]
    root: Place | None = None  # the source's tree on this machine; read, linked, never copied
    # people: trees of clips (MVPS layout) and photographs (images/SET/{img,mask}) below root
    trees: Annotated[list[Text], AfterValidator(_unique)] = []
    # davis: archive to fetch when there is no root
    url: Annotated[Text, Field(pattern=r"^https?://[^\s/]+/\S*$")] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None  # of that archive
    # sample, eg1800, supervisely, coco_person, or any folder SET/{img,mask} by its name
    image_sets: Annotated[list[SetName], AfterValidator(_unique)] = []
    image_root: Place | None = (
        None  # folder that holds EG1800/, SuperviselyPerson/, coco/, SET/ ...
    )
    # public originals that are fetched: clips (davis), or sets of single images
    originals: Annotated[list[Original], AfterValidator(_unique)] = []
    # in place of an original's scheme and host: a local copy of what lies there
    mirror: Annotated[Text, Field(pattern=r"^https?://[^\s/]+[^\s]*$")] | None = None
    # file's name -> md5:... or sha256:..., where the project knows none or a mirror packed anew
    checksums: dict[Text, Checksum] = {}
    # of MSCOCO's pictures: ids to keep, null for all; names in docs/data-card.md
    licences: Annotated[list[Licence], AfterValidator(_unique)] | None = None
    sample_images: int = Field(160, ge=0, le=10**6)  # single images that the sample renders
    # casts: how many train (three frames each), are held back from training, and are evaluated
    casts: int = Field(2000, ge=1, le=10**5)
    held_casts: int = Field(16, ge=0, le=10**5)
    evaluated_casts: int = Field(24, ge=1, le=10**5)
    # the first so many of the sample's clips in each split, and frames of each; null: all
    sample_clips: int | None = Field(None, ge=1, le=10**6)
    sample_frames: int | None = Field(None, ge=11, le=10**6)


class PreprocessConfig(Section):
    """Short side of the working copy and the quality of its JPEGs."""

    short_side: int = Field(480, ge=32, le=4320)  # no camera has more lines
    jpeg_quality: int = Field(95, ge=50, le=100)


class FlowConfig(Section):
    """Optical flow from each annotated frame to the next, for the interactions that look at it."""

    method: Literal["dis", "raft_large", "raft_small"] = "dis"
    preset: Literal["ultrafast", "fast", "medium"] = "medium"  # of DIS
    weights: Place = "download"  # of RAFT: torchvision's, or a file with its entries
    short_side: int = Field(240, ge=32, le=4320)  # at which it is kept


class ModelConfig(Section):
    """The network. What the paper and the authors' code read differently is named in `presets`."""

    preset: Literal["paper", "official", "ours"] = "paper"
    backbone: Annotated[Text, Field(max_length=100)] = "resnet50"
    weights: Place = "imagenet"  # imagenet, none, or a file
    # height, width; YAML and JSON have lists alone
    input_size: tuple[Side, Side] = Field((480, 480), strict=False)
    # a frame fills the input, its aspect lost, or keeps its aspect with the input's short side
    fit: Literal["stretch", "aspect"] = "stretch"
    interaction: Interaction = "ipda"
    parts: int = Field(5, ge=1, le=64)
    fusion: Literal["multiply", "add"] = "multiply"
    residual: bool = True
    attention_scale: Literal["none", "sqrt_d", "cosine"] = "none"
    # beyond the paper: where a part was travels with what it was; near tokens count more; or both
    position: Literal["none", "displacement", "bias", "displacement+bias"] = "none"
    # features of target and reference compared as they are; once the camera's motion, known by the
    # parts' displacements, is undone; or token by token, the two pictures registered
    difference: Literal["none", "plain", "aligned", "matched"] = "none"
    spread: int = Field(0, ge=0, le=12)  # layers that spread motion over whom it belongs to
    # how far a part has moved: where it was found again, or what a head says that learned it
    steps: Literal["found", "learned"] = "found"
    part_activation: Literal["softmax", "softmax_background"] = "softmax"
    mask_keys: Literal["none", "saliency", "part"] = "none"
    reference_fusion: Literal["mean", "concat_tokens"] = "mean"
    channels: int = Field(128, ge=8, le=1024)
    part_channels: int = Field(64, ge=4, le=512)
    attention_channels: int = Field(32, ge=4, le=512)
    downsample: int = Field(4, ge=1, le=512)
    checkpointing: bool = False

    @field_validator("part_channels")
    @classmethod
    def _enough_for_the_parts(cls, channels: int, info: Info) -> int:
        # all parts are read out of the same few channels by one layer
        if channels < info.data.get("parts", 1):
            raise ValueError(f"{info.data['parts']} parts need as many part_channels")
        if info.data.get("spread") and channels % 4:
            raise ValueError("with model.spread part_channels is a multiple of 4, its heads")
        return channels

    @field_validator("difference")
    @classmethod
    def _knows_the_camera(cls, difference: str, info: Info) -> str:
        if difference == "aligned" and "displacement" not in info.data.get("position", ""):
            raise ValueError("'aligned' needs the camera's motion: model.position: displacement")
        return difference

    @field_validator("steps")
    @classmethod
    def _against_the_scene(cls, steps: str, info: Info) -> str:
        if steps == "learned" and info.data.get("difference", "matched") != "matched":
            raise ValueError("'learned' needs registered pictures: model.difference: matched")
        return steps

    @field_validator("reference_fusion")
    @classmethod
    def _of_one_frame(cls, fusion: str, info: Info) -> str:
        # a place, and what the camera did since, are of one frame
        if fusion == "concat_tokens" and "displacement" in info.data.get("position", ""):
            raise ValueError("'concat_tokens' does not go with model.position: displacement")
        return fusion

    @field_validator("downsample")
    @classmethod
    def _leaves_a_grid(cls, downsample: int, info: Info) -> int:
        # on a single point parts have no place and attention no choice
        side = min(info.data.get("input_size", (4096,)))
        if side // 4 // downsample < 2:
            raise ValueError(f"of an input side of {side} not two points are left for the parts")
        return downsample


class LossConfig(Section):
    """Section 4.4 of the paper; weights as in the authors' code where the paper gives none."""

    l1: Weight = 0.8
    auxiliary: Weight = 0.8  # the encoder's four heads
    saliency: Weight = 0.8  # the portrait map on the part grid
    parts: Weight = 0.8  # a factor on the four terms of the parts below
    reference: Weight = 0.8  # a factor on all terms of the reference frame
    geometric: Weight = 1.0
    semantic: Weight = 1.0
    area: Weight = 1.0
    orthonormal: Weight = 1.0
    # beyond the paper: what attention, or a token's match, gathers from the reference looks like
    # the target; needs model.position or difference: matched
    correspondence: Weight = 0.0
    # beyond the paper: how far each token moved is what true joints say, and which part of a body
    # it shows what true parts say; both need model.steps: learned, and clips of data.source: casts
    steps: Weight = 0.0
    body_parts: Weight = 0.0
    # beyond the paper: parts follow when the picture is turned, moved and resized
    equivariance: Weight = 0.0
    # a part is one blob in the frame (paper), or one on each person
    concentration: Literal["frame", "person"] = "frame"
    # beyond the paper: the place within the person, beside the features that tell parts apart
    semantic_place: Weight = 0.0
    combine: Literal["mean", "official"] = "mean"  # eq. (6), or a + b/2
    # the part losses' map: the part grid, or the input's size
    resolution: Literal["grid", "full"] = "grid"
    # over all pixels and channels, or the portrait
    semantic_mean: Literal["pixels", "portrait"] = "pixels"
    # added to every pixel of a part mask in the geometric loss (SCOPS)
    smoothing: Weight = 1e-3
    bce_weight: Literal["batch", "none"] = "batch"  # N / (N_pos + 1) of the batch, or plain
    # a batch without people would weigh N otherwise
    bce_weight_max: float | None = Field(20.0, gt=0, le=1e9)
    feature_network: Annotated[Text, Field(max_length=100)] = "resnet18"
    feature_weights: Place = "imagenet"
    feature_layer: int = Field(3, ge=0, le=3)  # which of the four strides; 3 is stride 32
    feature_normalise: bool = False


class TrainConfig(Section):
    """The recipe of the paper's section 5.1."""

    epochs: int = Field(60, ge=1, le=10_000)
    # video steps; null: once through the training frames
    steps_per_epoch: int | None = Field(None, ge=1, le=100_000)
    batch_size: int = Field(4, ge=1, le=1024)
    # what they train: methods in docs/presets.md
    image_steps: Literal["ours", "official", "all", "none"] = "ours"
    image_every: Count = 2  # video steps after each run of image steps
    image_run: Count = 1  # image steps in a row
    lr_image: Rate = 2.5e-4
    lr_video_backbone: Rate = 2.5e-5
    lr_video_heads: Rate = 2.5e-3
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0, le=1)
    power: float = Field(0.9, gt=0, le=100)
    late_factor: float = Field(0.5, gt=0, le=1)
    late_epoch: int = Field(6, ge=0, le=10_000)
    clip_gradient: float | None = Field(None, gt=0, le=1e9)
    start: Place | None = None  # a checkpoint to go on from
    start_part: Literal["network", "encoder"] = "network"  # what of it is taken over
    # only IPDA, fusion and head learn; for short ablations on one encoder
    freeze_encoder: bool = False
    optimiser: Literal["sgd", "adamw"] = "sgd"
    schedule: Literal["poly", "cosine"] = "poly"
    warmup: int = Field(0, ge=0, le=10**6)  # steps in which the rates rise from 0
    accumulate: int = Field(1, ge=1, le=1024)  # batches whose gradients make one step
    ema: float = Field(0.0, ge=0, lt=1)  # decay of the averaged weights; 0: the last weights
    # how often a clip or a set of single images is drawn, others 1; 0 leaves it out
    sample_weights: dict[Text, Annotated[float, Field(ge=0, le=100)]] = {}
    # of a single image: itself as its reference, another warp of it, or a moved person (docs)
    image_reference: Literal["same", "warp", "paste", "mixed"] = "same"
    crop: float = Field(0.125, ge=0, le=0.5)  # more leaves nothing of a small frame
    # Beyond the paper's crop and flip, 0 is none. `model.fit: aspect` crops by zoom instead.
    zoom: float = Field(0.0, ge=0, le=3)  # the picture shrinks and grows by up to 1 + zoom
    rotation: float = Field(0.0, ge=0, le=180)  # degrees either way
    colour: Share = 0.0  # strength of changes of brightness, contrast, saturation and hue
    blur: Share = 0.0  # share of pictures that move or are out of focus
    jpeg: Share = 0.0  # share of pictures that are compressed
    cutout: Share = 0.0  # share of pictures of which a rectangle is hidden
    reference: Literal["first", "random"] = "first"
    # which frames of a clip are segmented; in the first nothing can have moved
    targets: Literal["all", "later"] = "all"
    # the training list's clips, or those of both lists: to leave out each of them in turn
    clips: Literal["train", "all"] = "train"
    # clips kept for validation: of the training list, or of the evaluation's where that serves it
    holdout: Annotated[list[Text], AfterValidator(_unique)] = []
    # share of each set of single images kept for validation
    holdout_images: float = Field(0.0, ge=0, le=0.5)
    validate_every: Count = 1
    # at most this many frames of each held-back clip
    validation_frames: int | None = Field(None, ge=3, le=10**6)
    # of its own: evaluate.threshold only scores
    validation_threshold: float = Field(0.5, gt=0, lt=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"


class EvaluateConfig(Section):
    """Prediction and scoring."""

    threshold: float = Field(0.5, gt=0, lt=1)
    # whose mask: all people, the largest, or those connected to the first frame's largest
    people: Literal["all", "largest", "reference"] = "all"
    # at each whole frame, or at where they were one frame before
    look: Literal["whole", "near"] = "whole"
    set: Literal["train", "val"] = "val"
    include_first_last: bool = False
    reference: Literal["first", "first+previous_k", "random", "every_n"] = "first"
    reference_k: int = Field(5, ge=1, le=1000)
    fps_frames: int = Field(20, ge=3, le=10_000)

    @field_validator("reference")
    @classmethod
    def _near_the_first(cls, reference: str, info: Info) -> str:
        if reference != "first" and info.data.get("look") == "near":
            raise ValueError("only 'first' goes with evaluate.look: near")
        return reference


class ReportConfig(Section):
    """What the report shows."""

    best_worst: int = Field(2, ge=1, le=100)


class AblationConfig(Section):
    """Which variants are trained, how often, and what they share."""

    variants: dict[VariantName, dict[Text, Any]]  # name -> parameters by dotted name
    run: Annotated[list[str], AfterValidator(_unique)]  # the variants that `dvc repro` trains
    set: dict[Text, Any] = {}  # parameters of every variant: what makes the trainings short
    seeds: Annotated[list[Seed], AfterValidator(_unique)] = Field(
        [1, 2, 3], min_length=1, max_length=1000
    )

    @field_validator("run")
    @classmethod
    def _known_and_compared_with_full(cls, run: list[str], info: Info) -> list[str]:
        unknown = [name for name in run if name not in info.data.get("variants", run)]
        if unknown:
            raise ValueError(f"'{shown(unknown[0])}' is no name under ablation.variants")
        if "full" not in run:
            raise ValueError("'full' must be among them: every other variant is compared with it")
        return run


class ComparisonConfig(Section):
    """Tables 1 and 2: interactions on one encoder, one data set, one protocol."""

    # a stage each; those that `run` leaves out end at once
    methods: Annotated[list[Interaction], AfterValidator(_unique)] = list(get_args(Interaction))
    run: Annotated[list[Interaction], AfterValidator(_unique)] = ["ipda", "concat", "cosnet"]
    set: dict[Text, Any] = {}  # parameters of every method: what makes the trainings short
    seeds: Annotated[list[Seed], AfterValidator(_unique)] = Field(
        [1], min_length=1, max_length=1000
    )
    # further rows: name -> folder of masks <clip>/<frame>.png, of any method or tool
    external: dict[VariantName, Place] = {}

    @field_validator("run")
    @classmethod
    def _with_ours(cls, run: list[str], info: Info) -> list[str]:
        left = [name for name in run if name not in info.data.get("methods", run)]
        if left:
            raise ValueError(f"'{left[0]}' is not in comparison.methods")
        if "ipda" not in run:
            raise ValueError("'ipda' must be among them: every other row is compared with it")
        return run


class ImbalanceConfig(Section):
    """The rendered series in which the limbs move ever faster against the torso."""

    levels: list[Annotated[float, Field(ge=0, le=100)]] = Field(
        [0.0, 0.5, 1.0, 2.0, 3.0], min_length=2, max_length=100
    )
    frames: int = Field(26, ge=11, le=10_000)  # of each clip, at 30 FPS

    @field_validator("levels")
    @classmethod
    def _clips_of_their_own(cls, levels: list[float]) -> list[float]:
        # clips are named by their level in per cent: closer levels would share one
        _unique([round(100 * level) for level in levels])
        return levels


class StudyConfig(Section):
    """Whole trainings on casts, where motion decides (`pdnet study`)."""

    run: Annotated[list[str], AfterValidator(_unique)] = []  # names under ablation.variants
    seeds: Annotated[list[Seed], AfterValidator(_unique)] = Field(
        [1, 2, 3], min_length=1, max_length=1000
    )


class LeftOutConfig(Section):
    """Whole trainings on all clips but one, which is scored (`pdnet left-out`)."""

    run: Annotated[list[str], AfterValidator(_unique)] = []  # names under ablation.variants
    set: dict[Text, Any] = {}  # parameters of every training
    seeds: Annotated[list[Seed], AfterValidator(_unique)] = Field(
        [1], min_length=1, max_length=1000
    )


class MachineConfig(Section):
    """How the work is done, not what: no stage declares these and no key holds them.

    Device and threads decide the order of sums, hence the last digits, which training magnifies:
    the profile whose numbers are published fixes its threads.
    """

    workers: Processes = 0  # for files, and at most for trainings side by side; 0: every core
    loader_workers: Processes = 0  # that load training batches; 0: the main one
    cache_gib: float = Field(0.0, ge=0, le=4096)  # of decoded pictures, in each loading process
    # on disk, of what a frozen encoder makes of its inputs while variants and methods are compared
    features_gib: float = Field(2.0, ge=0, le=4096)
    threads: Processes = 0  # CPU threads of torch; 0: its own choice
    device: Annotated[Text, Field(max_length=40)] = "auto"  # auto, cpu, cuda, cuda:1 ...


class Config(Section):
    """Every parameter, resolved."""

    # its sections come as groups of names and values
    model_config = ConfigDict(strict=False)

    profile: Text
    seed: Annotated[Seed, Field(strict=True)]
    data: DataConfig
    preprocess: PreprocessConfig
    flow: FlowConfig
    model: ModelConfig
    loss: LossConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    report: ReportConfig
    ablation: AblationConfig
    comparison: ComparisonConfig
    imbalance: ImbalanceConfig
    study: StudyConfig
    left_out: LeftOutConfig
    machine: MachineConfig

    @field_validator("loss")
    @classmethod
    def _of_attention_that_knows_places(cls, loss: LossConfig, info: Info) -> LossConfig:
        model = info.data.get("model")
        places = model and ("displacement" in model.position or model.difference == "matched")
        if loss.correspondence and model and not places:
            raise ValueError(
                "correspondence needs model.position: displacement or model.difference: matched"
            )
        return loss

    @field_validator("loss")
    @classmethod
    def _of_steps_that_are_learned(cls, loss: LossConfig, info: Info) -> LossConfig:
        model = info.data.get("model")
        learned = model and model.steps == "learned"
        if learned and not loss.steps:
            raise ValueError("model.steps: learned needs a weight of loss.steps")
        if model and not learned and (loss.steps or loss.body_parts):
            raise ValueError("steps and body_parts need model.steps: learned")
        return loss

    @field_validator("train")
    @classmethod
    def _since_the_first_frame(cls, train: TrainConfig, info: Info) -> TrainConfig:
        model = info.data.get("model")
        if model and model.steps == "learned" and train.reference != "first":
            raise ValueError("model.steps: learned are steps since the first frame: reference")
        return train

    @property
    def wants_flow(self) -> bool:
        """Whether anything that is run looks at optical flow."""
        return any(name in LOOK_AT_FLOW for name in (self.model.interaction, *self.comparison.run))


SECTIONS = tuple(name for name in Config.model_fields if name not in ("profile", "seed"))


def load_config(path: Path | str = PARAMS, values: Mapping[str, Any] | None = None) -> Config:
    """Reads and checks a parameter file.

    Args:
        path: of the file; the tables of values lie beside it.
        values: by dotted name (`model.parts`), in place of the file's.

    Raises:
        InputError: no such file, not YAML, an unknown name or a bad value; every problem is named.
    """
    return resolve(with_values(read_values(Path(path)), values or {}), str(path))


def read_values(path: Path) -> dict[str, Any]:
    """A parameter file as written, on top of the tables of `pipelines/profiles.yaml` beside it:
    what the file itself says wins.

    Raises:
        InputError: no such file, not YAML, or no names and values.
    """
    try:
        raw = _names_and_values(path)
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such parameter file; run from the project's root or give --params"
        ) from error
    beside = path.parent / TABLES_OF_VALUES
    if not beside.is_file():
        return raw
    tables = _names_and_values(beside)
    _known(tables, {"profiles", "presets", "ablation"}, "", str(beside))
    return _on_top(raw, tables)


def _on_top(values: dict[str, Any], below: dict[str, Any]) -> dict[str, Any]:
    """Both groups in one; where both name a thing, the upper value, unless it is null."""
    merged = dict(below)
    for name, value in values.items():
        under = below.get(name)
        if isinstance(value, dict) and isinstance(under, dict):
            merged[name] = _on_top(value, under)
        elif value is not None or under is None:
            merged[name] = value
    return merged


def _names_and_values(path: Path) -> dict[str, Any]:
    raw = read_parameters(path)
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected names and values, found {type(raw).__name__}")
    return raw


def with_values(raw: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as written, with some values by dotted name (`model.parts`) replaced; the original
    stays.
    """
    changed = copy.deepcopy(raw)
    for name, value in values.items():
        group, keys = changed, name.split(".")
        for key in keys[:-1]:
            if group.get(key) is None:
                group[key] = {}
            group = group[key]
            if not isinstance(group, dict):
                raise InputError(
                    f"'{shown(name)}': '{shown(key)}' is a value, not a group of parameters"
                )
        group[keys[-1]] = value
    return changed


def resolve(raw: dict[str, Any], where: str = "parameters") -> Config:
    """Parameters as written -> `Config`: section, else profile, else preset, else the field's
    default.
    """
    _known(raw, {"profile", "seed", "profiles", "presets", *SECTIONS}, "", where)
    own = _sections(raw, f"{where}: ")
    profile = _choice(raw, "profiles", raw.get("profile"), "profile", where)
    named = _first(own["model"].get("preset"), profile["model"].get("preset"), "paper")
    preset = _choice(raw, "presets", named, "model.preset", where)
    merged: dict[str, Any] = {"profile": raw.get("profile"), "seed": raw.get("seed", 18493)}
    for section in SECTIONS:
        values: dict[str, Any] = {}
        for layer in (preset, profile, own):
            values.update(
                {
                    key: value
                    for key, value in layer[section].items()
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
    raw = read_values(params)
    options = resolve(raw, str(params))
    [(_, where, changes)] = _rows(options, [name], "ablation.variants")
    given = {**options.ablation.set, **changes}
    return {
        seed: resolve(with_values(raw, {**given, "seed": seed}), where)
        for seed in options.ablation.seeds
    }


def study_configs(params: Path) -> dict[str, dict[int, Config]]:
    """Row of the study -> seed -> resolved parameters: variants of the profile `casts`, trained
    whole.

    Raises:
        InputError: `study.run` names no variant, or one of its parameters is unknown or wrong.
    """
    raw = with_values(read_values(params), {"profile": "casts"})
    options = resolve(raw, str(params))
    return {
        name: {
            seed: resolve(with_values(raw, {**changes, "seed": seed}), where)
            for seed in options.study.seeds
        }
        for name, where, changes in _rows(options, options.study.run, "study.run")
    }


def left_out_configs(
    params: Path, values: Mapping[str, Any], clips: Sequence[str]
) -> dict[tuple[str, str, int], Config]:
    """Row, clip and seed -> resolved parameters: variants trained whole without the clip.

    Args:
        params: parameter file.
        values: by dotted name, in place of the file's.
        clips: of the training list.

    Raises:
        InputError: `left_out.run` names no variant, or one of its parameters is unknown or wrong.
    """
    raw = with_values(read_values(params), values)
    options = resolve(raw, str(params))
    configs = {}
    for name, where, changes in _rows(options, options.left_out.run, "left_out.run"):
        for clip, seed in product(clips, options.left_out.seeds):
            of_fold = {"train.holdout": [clip], "seed": seed}
            given = {**options.left_out.set, **changes, **of_fold}
            configs[name, clip, seed] = resolve(with_values(raw, given), where)
    return configs


def _rows(
    options: Config, names: Sequence[str], where: str
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each variant of a list: its name, where it stands, what it changes."""
    variants = options.ablation.variants
    for name in names:
        if name not in variants:
            known = shown(", ".join(variants), 300)
            raise InputError(f"{where}: '{shown(name)}' is no variant; known: {known}")
        yield name, f"ablation.variants.{name}", variants[name]


def method_configs(params: Path, interaction: str) -> dict[int, Config]:
    """Seed -> resolved parameters of a method of the comparison."""
    raw = read_values(params)
    options = resolve(raw, str(params)).comparison
    changes = {**options.set, "model.interaction": interaction}
    where = f"comparison, {interaction}"
    return {
        seed: resolve(with_values(raw, {**changes, "seed": seed}), where) for seed in options.seeds
    }


def checked(section: str, /, **values: Any) -> Any:
    """One section by itself, e.g. `checked("model", parts=3)`; a bad value is named as in a
    parameter file.
    """
    try:
        return Config.model_fields[section].annotation(**values)
    except ValidationError as error:
        raise InputError(_explain(error, section, section)) from error


def admits_null(section: str, key: str) -> bool:
    """True where a null that no layer fills is a value of its own, because the field's type is `...
    | None`.

    An unknown name passes too, so that it is named as unknown and not lost.
    """
    fields = Config.model_fields[section].annotation.model_fields
    return key not in fields or type(None) in get_args(fields[key].annotation)


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _group(table: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    """A group by its name; empty where it is null or not given."""
    group = table.get(name)
    if group is None:
        return {}
    if not isinstance(group, dict):
        raise InputError(f"{where}{name} must be a group of names and values, not {shown(group)}")
    return group


def _sections(layer: dict[str, Any], where: str) -> dict[str, dict[str, Any]]:
    return {section: _group(layer, section, where) for section in SECTIONS}


def _choice(
    raw: dict[str, Any], table: str, name: Any, what: str, where: str
) -> dict[str, dict[str, Any]]:
    """The sections of a profile or a preset."""
    choices = _group(raw, table, f"{where}: ")
    if not isinstance(name, str) or name not in choices:
        known = ", ".join(map(str, choices)) or "none: the table is missing"
        raise InputError(f"{where}: {what} '{shown(name)}' is unknown; known: {shown(known, 300)}")
    chosen = _group(choices, name, f"{where}: {table}.")
    _known(chosen, set(SECTIONS), f"{table}.{name}.", where)
    return _sections(chosen, f"{where}: {table}.{name}.")


def _known(given: dict[str, Any], known: set[str], prefix: str, where: str) -> None:
    unknown = [str(key) for key in given if key not in known]
    if unknown:
        raise InputError(
            f"{where}: unknown parameter '{prefix}{shown(unknown[0])}'; "
            f"known: {', '.join(sorted(known))}"
        )


def _explain(error: ValidationError, where: str, section: str | None = None) -> str:
    """A line a problem; `section` is the one that was checked by itself."""
    problems = error.errors()
    lines = []
    for problem in problems[:SHOWN_PROBLEMS]:
        name = shown(".".join(str(x) for x in problem["loc"]))
        if problem["type"] == "extra_forbidden":
            fields = Config.model_fields[section or problem["loc"][0]].annotation.model_fields
            lines.append(f"{where}: unknown parameter '{name}'; known here: {', '.join(fields)}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            given = shown(repr(problem["input"]))
            lines.append(f"{where}: {name} = {given}: {message[0].lower()}{message[1:]}")
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"... and {len(problems) - SHOWN_PROBLEMS} more")
    return "\n".join(lines)
