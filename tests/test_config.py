"""Parameters: precedence, and one line for what is wrong."""

from __future__ import annotations

import difflib
import random
import shutil

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from pdnet.base.parameters_file import read_overrides
from pdnet.config import SECTIONS, checked, load_config, variant_configs, with_values
from pdnet.errors import InputError
from tests.helpers import ROOT, write_params


def test_the_default_is_the_sample():
    config = load_config(ROOT / "params.yaml")
    assert config.profile == "sample" and config.data.source == "sample"
    assert config.model.backbone == "tf_efficientnet_lite0" and config.model.parts == 5


@pytest.mark.parametrize("profile", ["sample", "tiny", "davis", "paper"])
@pytest.mark.parametrize("preset", ["paper", "official"])
def test_every_profile_and_preset_resolves(tmp_path, profile, preset):
    config = load_config(write_params(tmp_path / "p.yaml", profile=profile, model__preset=preset))
    assert config.loss.combine == {"paper": "mean", "official": "official"}[preset]


def test_section_before_profile_before_preset(tmp_path):
    config = load_config(write_params(tmp_path / "p.yaml", profile="paper"))
    assert config.train.lr_video_backbone == 2.5e-5 and config.model.backbone == "resnet50"
    config = load_config(
        write_params(tmp_path / "p.yaml", profile="paper", model__preset="official")
    )
    assert config.train.lr_video_backbone == 2.5e-6
    config = load_config(
        write_params(
            tmp_path / "p.yaml", profile="paper", train__lr_video_backbone=1e-3, model__parts=3
        )
    )
    assert config.train.lr_video_backbone == 1e-3 and config.model.parts == 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model__part": 3}, "unknown parameter 'model.part'; known here: preset, backbone"),
        ({"modle": {}}, "unknown parameter 'modle'"),
        ({"model__parts": 0}, "model.parts = 0: input should be greater than or equal to 1"),
        ({"model__parts": "many"}, "model.parts = 'many'"),
        (
            {"profile": "mine"},
            "profile 'mine' is unknown; known: sample, tiny, casts, davis, people, comparison,",
        ),
        ({"model__preset": "theirs"}, "model.preset 'theirs' is unknown"),
        ({"profiles__sample__model": {"backbones": 1}}, "unknown parameter 'model.backbones'"),
        ({"profiles__sample": {"modell": {}}}, "unknown parameter 'profiles.sample.modell'"),
        ({"train": 3}, "train must be a group"),
        ({"evaluate__threshold": 1.5}, "evaluate.threshold = 1.5"),
    ],
)
def test_a_wrong_parameter_is_named_before_any_work(cli, tmp_path, monkeypatch, changes, says):
    monkeypatch.chdir(tmp_path)
    status, text = cli("download", "--params", write_params(tmp_path / "p.yaml", **changes))
    assert status == 2 and says in text.replace("\n", " "), text
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model__parts": True}, "model.parts = True: input should be a valid integer"),
        ({"model__parts": 5.0}, "model.parts = 5.0"),
        ({"model__residual": "no"}, "model.residual = 'no'"),
        ({"model__parts": 64, "model__part_channels": 4}, "64 parts need as many"),
        ({"model__downsample": 32}, "of an input side of 224 not two points are left"),
        ({"model__attention_channels": 2**62}, "model.attention_channels = 4611686018427387904"),
        ({"model__input_size": [1, 1]}, "model.input_size.0 = 1"),
        ({"model__input_size": [224, 10**9]}, "model.input_size.1 = 1000000000"),
        ({"model__input_size": [0, 0]}, "model.input_size.0 = 0"),
        ({"model__input_size": [230, 224]}, "input should be a multiple of 32"),
        ({"model__weights": "a\0b"}, "model.weights"),
        ({"preprocess__short_side": 10**9}, "preprocess.short_side = 1000000000"),
        ({"train__epochs": 10**9}, "train.epochs"),
        ({"train__batch_size": 10**9}, "train.batch_size"),
        ({"evaluate__fps_frames": 10**9}, "evaluate.fps_frames"),
        ({"evaluate__reference_k": 10**9}, "evaluate.reference_k"),
        ({"data__sample_images": 10**9}, "data.sample_images"),
        ({"imbalance__frames": 10**9}, "imbalance.frames"),
        ({"machine__workers": 10**5}, "machine.workers"),
        ({"train__lr_image": float("inf")}, "train.lr_image = inf"),
        ({"loss__l1": float("nan")}, "loss.l1 = nan"),
        ({"train__holdout": ["a", "a"]}, "train.holdout = ['a', 'a']: a stands twice"),
        ({"data__image_sets": ["sample", "sample"]}, "sample stands twice"),
        ({"ablation__seeds": [1, 1]}, "ablation.seeds = [1, 1]: 1 stands twice"),
        ({"ablation__seeds": [-1]}, "ablation.seeds.0 = -1"),
        ({"seed": -1}, "seed = -1"),
        ({"seed": 2**64}, "seed = 18446744073709551616"),
        ({"ablation__run": ["full", "none"]}, "'none' is no name under ablation.variants"),
        ({"ablation__run": ["full", "full"]}, "full stands twice"),
        ({"ablation__variants": {"full": {}, "../x": {}}}, "'../x': string should match"),
        ({"ablation__run": ["full", "../x"]}, "'../x' is no name"),
        ({"imbalance__levels": [1, 1]}, "100 stands twice"),
        ({"model__difference": "aligned"}, "'aligned' needs the camera's motion"),
        ({"loss__correspondence": 1.0}, "correspondence needs model.position: displacement"),
        ({"model__steps": "learned"}, "'learned' needs registered pictures"),
        ({"loss__body_parts": 1.0}, "steps and body_parts need model.steps: learned"),
        (
            {"model__preset": "ours", "model__steps": "learned"},
            "model.steps: learned needs a weight of loss.steps",
        ),
        (
            {
                "model__preset": "ours",
                "model__steps": "learned",
                "loss__steps": 1.0,
                "train__reference": "random",
            },
            "model.steps: learned are steps since the first frame: reference",
        ),
        (
            {"model__position": "displacement", "model__reference_fusion": "concat_tokens"},
            "'concat_tokens' does not go with",
        ),
        ({"model__spread": 1, "model__part_channels": 18}, "is a multiple of 4, its heads"),
        ({"imbalance__levels": [1, 1.001]}, "100 stands twice"),
        ({"imbalance__levels": [0.0, float("nan")]}, "imbalance.levels.1 = nan"),
        ({"imbalance__levels": [0.0, -1]}, "imbalance.levels.1 = -1"),
        ({"data__sha256": "xyz"}, "data.sha256 = 'xyz'"),
        ({"data__url": "file:///etc/passwd"}, "data.url = 'file:///etc/passwd'"),
        ({"profiles__sample__model": 3}, "profiles.sample.model must be a group of names and val"),
        ({"presets__paper__loss": [1]}, "presets.paper.loss must be a group"),
        ({"profiles__sample": [1]}, "profiles.sample must be a group"),
        ({"presets__paper": [1]}, "presets.paper must be a group"),
        ({"profiles": 3}, "profiles must be a group"),
        ({"profile": ["a"]}, "profile '['a']' is unknown; known: sample"),
        ({"profile": {"a": 1}}, "profile '{'a': 1}' is unknown"),
        ({"profile": None}, "profile 'None' is unknown"),
        ({"model__preset": ["a"]}, "model.preset '['a']' is unknown"),
        ({"train": []}, "train must be a group"),
        ({"ablation__set": {"seed.x": 1, "train.start": "x" * 5000}}, ""),
        ({"data__root": "x" * 10**5}, "data.root = 'xxxx"),
        ({"ablation__seeds": ["x" * 100] * 500}, "... and 480 more"),
    ],
)
def test_what_cannot_work_is_refused_in_short_lines(tmp_path, changes, says):
    params = write_params(tmp_path / "p.yaml", **changes)
    with pytest.raises(InputError) as error:
        load_config(params)
        variant_configs(params, "full")
    lines = str(error.value).splitlines()
    assert says in str(error.value), str(error.value)[:1000]
    assert len(lines) <= 21 and max(map(len, lines)) < 600


def test_no_parameters_and_no_yaml(tmp_path):
    with pytest.raises(InputError, match="no such parameter file"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a: [", "line 1: not YAML"),
        (b"text", "expected names and values"),
        (b"", "expected names and values"),
        (b"[1, 2]", "expected names and values"),
        (b"seed: 1\nprofile: \xff", "line 2: not UTF-8"),
        (b"a: \x01", "special characters are not allowed"),
        (b"a: 2024-13-45", "line 1: '2024-13-45' is read as a date"),
        (b"a: 2024-01-01", "is read as a date"),
        (b"a: " + b"9" * 5000, "is a number to some readers"),
        (b"a: 010", "is a number to some readers"),
        (b"a: 0x_", "is a number to some readers"),
        (b"a: 1:30", "is a number to some readers"),
        (b"a: yes", "'yes' is true or false to some readers, a text to others"),
        (b"a: " + b"[" * 2000, "nested more than 20 levels deep"),
        (b"- " * 2000, "nested more than 20 levels deep"),
        (b"a: 1\nb:\n  c: 1\n  c: 2", "line 4: 'c' stands twice"),
        (b"a: &x [1]\nb: [*x, *x]", "line 2: '*x' is an alias"),
        (b"a: !!python/object:os.system x", "is a tag"),
        (b"a: !!int x", "is a tag"),
        (b"<<: {a: 1}", "the name '<<' is no text"),
        (b"3: 1", "the name '3' is no text"),
        (b"? [a]\n: 1", "the name of a sequence is no text"),
        (b"#" * 2**21, "larger than 1048576 bytes"),
    ],
)
def test_a_file_that_readers_could_read_in_two_ways_is_refused_by_its_line(tmp_path, content, says):
    path = tmp_path / "p.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_config(path)
    text = str(error.value)
    assert text.startswith(str(path)) and says in text and len(text) < 400, text
    assert "\n" not in text


def test_a_number_without_a_dot_is_a_number(tmp_path):
    """`1e-3` is what DVC writes for `-S train.lr_image=0.001`; to YAML 1.1 it is a text."""
    text = write_params(tmp_path / "p.yaml", train__lr_image=0.5).read_text()
    assert "lr_image: 0.5" in text
    (tmp_path / "p.yaml").write_text(text.replace("lr_image: 0.5", "lr_image: 1e-3"))
    assert load_config(tmp_path / "p.yaml").train.lr_image == 1e-3


def places(value: object, at: tuple = ()) -> list[tuple]:
    """Keys that lead to every value of nested groups and lists."""
    found = [at] if at else []
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            found += places(value[key], (*at, key))
    return found


def test_garbage_anywhere_is_a_parameter_file_or_an_input_error(tmp_path):
    junk = [
        None,
        True,
        -1,
        2**70,
        1e308,
        "",
        "a",
        "\ud800",
        [],
        [[]],
        ["a", 1],
        {},
        {"a": {}},
        {"": 1},
    ]
    rng, path, refused = random.Random(0), tmp_path / "p.yaml", 0
    config = load_config(ROOT / "params.yaml")
    original = write_params(path, **config.model_dump(mode="json")).read_text()
    everywhere = places(yaml.safe_load(original))
    for _ in range(200):
        raw = yaml.safe_load(original)
        *way, last = rng.choice(everywhere)
        group = raw
        for key in way:
            group = group[key]
        group[last] = rng.choice(junk)
        path.write_text(yaml.safe_dump(raw), errors="surrogatepass")
        try:
            load_config(path)
            variant_configs(path, "full")
        except InputError as error:
            refused += 1
            assert max(map(len, str(error).splitlines())) < 600
    assert refused > 50


def test_values_by_dotted_name_leave_the_original_alone():
    raw = {"model": {"parts": 5}, "seed": 1}
    changed = with_values(raw, {"model.parts": 3, "train.epochs": 2, "seed": 4})
    assert (
        changed == {"model": {"parts": 3}, "seed": 4, "train": {"epochs": 2}}
        and raw["model"]["parts"] == 5
    )
    with pytest.raises(InputError, match="'seed' is a value, not a group"):
        with_values(raw, {"seed.parts": 3})


def test_a_section_by_itself_names_what_is_wrong():
    with pytest.raises(InputError, match="model: unknown parameter 'partz'; known here: preset"):
        checked("model", partz=3)
    with pytest.raises(InputError, match=r"model: parts = 0"):
        checked("model", parts=0)


def test_variants_to_run_without_the_full_network_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"ablation\.run = .*'full' must be among them"):
        load_config(write_params(tmp_path / "p.yaml", ablation__run=["no-ipda"]))


def test_the_file_holds_little_and_nothing_that_the_default_says_already():
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    groups = [section for section in raw if isinstance(raw[section], dict)]
    assert set(groups) <= set(SECTIONS)
    assert sum(len(raw[section]) for section in groups) <= 12, "each is a column of dvc exp show"
    load_config(ROOT / "params.yaml")


def test_the_tables_beside_the_file_are_read_and_the_file_wins(tmp_path):
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines")
    (tmp_path / "params.yaml").write_text(
        "profile: mine\n"
        "profiles: {mine: {data: {source: mvps}}, sample: {train: {epochs: 3}}}\n"
        "ablation: {run: [full, wide], variants: {wide: {model.channels: 256}}}\n"
    )
    config = load_config(tmp_path / "params.yaml")
    assert config.data.source == "mvps" and "no-ipda" in config.ablation.variants
    assert variant_configs(tmp_path / "params.yaml", "wide")[1].model.channels == 256
    other = load_config(tmp_path / "params.yaml", {"profile": "sample"})
    assert other.train.epochs == 3 and other.train.steps_per_epoch == 44
    (tmp_path / "pipelines/profiles.yaml").write_text("train: {epochs: 3}")
    with pytest.raises(InputError, match=r"profiles\.yaml: unknown parameter 'train'"):
        load_config(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    "override",
    [
        *("model.parts=3", "profile=davis", "data.root=/a/b c", "train.epochs=2", "seed=1"),
        *("evaluate.set=train", "++train.jpeg=0.3", "++model.parts=2"),
    ],
)
def test_dvc_changes_one_line_of_the_file(tmp_path, override):
    """`dvc exp run -S` rewrites the file in its own form; that is the form that it has here."""
    path = tmp_path / "params.yaml"
    before = (ROOT / "params.yaml").read_text()
    path.write_text(before)
    apply_overrides(path, [override])
    changed = difflib.unified_diff(before.splitlines(), path.read_text().splitlines(), n=0)
    lines = [line for line in changed if not line.startswith(("---", "+++", "@@"))]
    assert [line[0] for line in lines] in (["-", "+"], ["+"]), lines
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines")
    assert load_config(path) == load_config(ROOT / "params.yaml", read_overrides([override]))


def test_a_parameter_for_one_run_leaves_the_file_alone(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = write_params(tmp_path / "p.yaml")
    before = params.read_bytes()
    status, text = cli("preprocess", "--params", params, "-S", "preprocess.short_side=8")
    assert status == 2 and "preprocess.short_side = 8: input should be" in text
    assert params.read_bytes() == before


@pytest.mark.parametrize("text", ["model.parts", "~model.parts", "model.parts=1,2", "a b=1"])
def test_what_is_no_name_and_value_is_refused(text):
    with pytest.raises(InputError, match="--set"):
        read_overrides([text])


def test_a_null_is_a_value_only_where_the_type_says_so(tmp_path):
    params = write_params(tmp_path / "p.yaml", model__preset="official", profile="paper")
    assert load_config(params).loss.bce_weight_max is None, "the preset's null is a value"
    raw = yaml.safe_load(params.read_text())
    raw["presets"]["official"]["loss"]["smoothing"] = None
    params.write_text(yaml.safe_dump(raw))
    assert load_config(params).loss.smoothing == 1e-3, "else it leaves the field to its default"


@pytest.mark.parametrize("old", ["data.workers", "train.threads", "evaluate.batch_size"])
def test_a_parameter_that_is_gone_is_refused_by_name(tmp_path, old):
    with pytest.raises(InputError, match=f"unknown parameter '{old}'"):
        load_config(write_params(tmp_path / "p.yaml", **{old: 1}))


def test_a_tilde_is_the_home_of_whoever_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    config = load_config(write_params(tmp_path / "p.yaml", data__root="~/clips"))
    assert config.data.root == "/home/somebody/clips"
