"""Parameters: precedence, and one line for what is wrong."""

from __future__ import annotations

import pytest
import yaml
from pydantic_core import PydanticUndefined

from pdnet.config import SECTIONS, Config, load_config, with_values
from pdnet.errors import InputError
from tests.helpers import ROOT, write_params


def test_the_default_is_the_sample():
    config = load_config(ROOT / "params.yaml")
    assert config.profile == "sample" and config.data.source == "sample"
    assert config.model.backbone == "tf_efficientnet_lite0" and config.model.parts == 5


@pytest.mark.parametrize("profile", ["sample", "davis", "paper"])
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
        ({"profile": "mine"}, "profile 'mine' is unknown; known: sample, davis, paper"),
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


def test_no_parameters_and_no_yaml(tmp_path):
    with pytest.raises(InputError, match="no such parameter file"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "p.yaml").write_text("a: [")
    with pytest.raises(InputError, match="not YAML"):
        load_config(tmp_path / "p.yaml")
    (tmp_path / "p.yaml").write_text("text")
    with pytest.raises(InputError, match="expected names and values"):
        load_config(tmp_path / "p.yaml")


def test_values_by_dotted_name_leave_the_original_alone():
    raw = {"model": {"parts": 5}, "seed": 1}
    changed = with_values(raw, {"model.parts": 3, "train.epochs": 2, "seed": 4})
    assert (
        changed == {"model": {"parts": 3}, "seed": 4, "train": {"epochs": 2}}
        and raw["model"]["parts"] == 5
    )
    with pytest.raises(InputError, match="'seed' is a value, not a group"):
        with_values(raw, {"seed.parts": 3})


def test_variants_to_run_without_the_full_network_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"ablation\.run = .*'full' must be among them"):
        load_config(write_params(tmp_path / "p.yaml", ablation__run=["no-ipda"]))


@pytest.mark.parametrize("section", SECTIONS)
def test_the_file_names_every_parameter_and_agrees_with_its_default(section):
    """Two places hold a default, `config.py` and `params.yaml`: they may not disagree."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())[section]
    fields = Config.model_fields[section].annotation.model_fields
    assert set(raw) == set(fields)
    for name, value in raw.items():
        default = fields[name].default
        layered = value is None or default is PydanticUndefined
        if not layered and section != "ablation":  # whose lists are this project's choice
            assert value == default or value == list(default), f"{section}.{name}"


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
