"""The network that comes with the project, and how one is made."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from pdnet.base.files import write_image
from pdnet.errors import InputError
from pdnet.inference import shipped as module
from pdnet.inference.shipped import cutting_of, network_at_hand, read_notes, ship, shipped, terms_of
from pdnet.model import PDNet
from pdnet.model.checkpoint import load_network, read_header, save_network
from tests.helpers import ROOT, small

NOTES = ("--note", "data=voc,penn", "--note", "terms=research and non-commercial use")
TERMS = {"data": "voc", "terms": "research"}


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Path:
    """The folder of shipped weights, empty yet, in a project without a trained network."""
    folder = tmp_path / "weights"
    monkeypatch.setattr(module, "WEIGHTS", folder)
    monkeypatch.chdir(tmp_path)
    return folder


def light() -> PDNet:
    """A network that is small enough to be shipped."""
    return small(backbone="tf_efficientnet_lite0", input_size=(64, 64))


@pytest.fixture
def trained(tmp_path) -> Path:
    path = tmp_path / "trained.safetensors"
    save_network(light(), path, {"profile": "people", "epochs": "3"})
    return path


@pytest.fixture
def frames(tmp_path) -> Path:
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    write_image(tmp_path / "frames/0.png", picture)
    return tmp_path / "frames"


def test_a_copy_without_a_network_says_so(weights):
    with pytest.raises(InputError, match=r"people\.safetensors: this copy .* give --checkpoint"):
        shipped()
    assert network_at_hand() == Path("models/pdnet.safetensors")


def test_a_shipped_network_is_called_by_its_name_unless_a_file_has_it(weights, trained, tmp_path):
    weights.mkdir()
    (weights / "free.safetensors").write_bytes(trained.read_bytes())
    assert network_at_hand(Path("free")) == weights / "free.safetensors"
    assert network_at_hand(trained) == trained
    with pytest.raises(InputError, match=r"people\.safetensors: this copy"):
        network_at_hand(Path("people"))
    Path("free").write_bytes(trained.read_bytes())
    assert network_at_hand(Path("free")) == Path("free")


def test_the_shipped_network_goes_before_the_trained_one(cli, weights, trained, frames, tmp_path):
    save_network(load_network(trained), tmp_path / "models/pdnet.safetensors")
    status, text = cli("segment", frames)
    assert status == 0 and "network: models/pdnet.safetensors (no terms noted)\n" in text
    assert cli("ship", trained, "-o", weights / "people.safetensors", *NOTES)[0] == 0
    status, text = cli("segment", frames)
    line = f"network: {weights / 'people.safetensors'} (research and non-commercial use)\n"
    assert status == 0 and line in text
    status, text = cli("segment", frames, "--checkpoint", trained)
    assert status == 0 and "network:" not in text


def test_neither_is_one_line(cli, weights, frames):
    status, text = cli("segment", frames)
    assert status == 2 and text.count("\n") == 1
    assert text.startswith("error: models/pdnet.safetensors: no such checkpoint")


def test_a_shipped_file_says_what_it_is(cli, weights, trained):
    out = weights / "people.safetensors"
    cut = json.dumps({"threshold": 0.4, "people": "reference", "look": "near"})
    status, text = cli("ship", trained, "-o", out, *NOTES, "--note", f"segment={cut}")
    assert status == 0 and text == f"{out}: {out.stat().st_size / 1e6:.2f} MB\n"
    about = read_header(out)
    assert about["profile"] == "people" and about["epochs"] == "3"
    assert about["data"] == "voc,penn" and terms_of(about) == "research and non-commercial use"
    assert len(about["commit"].removesuffix("-dirty")) in (40, len("unknown"))
    cutting = cutting_of(about, out)
    assert (cutting.threshold, cutting.people, cutting.look) == (0.4, "reference", "near")
    assert load_network(out).config == load_network(trained).config
    assert {str(value.dtype) for value in load_file(out).values()} == {
        "torch.float16",
        "torch.int64",
    }


@pytest.mark.parametrize("left_out", ["data", "terms"])
def test_data_and_terms_must_be_there(cli, trained, tmp_path, left_out):
    notes = [f"--note={name}=x" for name in ("data", "terms") if name != left_out]
    status, text = cli("ship", trained, "-o", tmp_path / "out.safetensors", *notes)
    assert status == 2 and text.count("\n") == 1 and f"give --note {left_out}=" in text
    assert not (tmp_path / "out.safetensors").exists()


def test_what_the_training_noted_need_not_be_said_again(tmp_path):
    save_network(light(), tmp_path / "1.safetensors", TERMS)
    ship([tmp_path / "1.safetensors"], tmp_path / "2.safetensors", {"data": "penn"})
    about = read_header(tmp_path / "2.safetensors")
    assert (about["data"], about["terms"]) == ("penn", "research")
    # and a shipped one can be shipped again
    ship([tmp_path / "2.safetensors"], tmp_path / "3.safetensors", {"commit": about["commit"]})
    assert read_header(tmp_path / "3.safetensors") == about


def test_a_network_too_large_is_refused_before_anything_is_written(trained, tmp_path, monkeypatch):
    ship([trained], tmp_path / "out.safetensors", TERMS)
    before = (tmp_path / "out.safetensors").read_bytes()
    monkeypatch.setattr(module, "MOST_BYTES", len(before))
    assert ship([trained], tmp_path / "out.safetensors", TERMS) == len(before)
    monkeypatch.setattr(module, "MOST_BYTES", len(before) - 1)
    with pytest.raises(InputError, match=r"trained\.safetensors: 6\.\d MB in half precision"):
        ship([trained], tmp_path / "out.safetensors", TERMS)
    assert (tmp_path / "out.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    "note",
    [
        5,
        "0.5",
        [],
        {"threshold": 2.0},
        {"threshold": "x"},
        {"people": "most"},
        {"look": "far"},
        {"set": "train"},
    ],
)
def test_a_note_on_cutting_that_is_none_is_refused(cli, trained, frames, tmp_path, note):
    with pytest.raises(InputError, match="its note 'segment'"):
        ship([trained], tmp_path / "out.safetensors", {**TERMS, "segment": note})
    assert not (tmp_path / "out.safetensors").exists()
    # nor does a file of somebody else's bring one in
    path = tmp_path / "theirs.safetensors"
    save_network(load_network(trained), path, {"segment": note})
    status, text = cli("segment", frames, "--checkpoint", path, "--out", tmp_path / "masks")
    assert status == 2 and text.count("\n") == 1 and f"{path}: its note 'segment'" in text
    assert not (tmp_path / "masks").exists()


def test_notes_are_texts_or_json():
    notes = read_notes(["a=1", "b=x=y", 'c={"d": [2]}', "e=", "f={half"])
    assert notes == {"a": 1, "b": "x=y", "c": {"d": [2]}, "e": "", "f": "{half"}


@pytest.mark.parametrize("given", [["a"], ["=1"], ["a=1", "a=2"], ["model=x"], ["weights=float32"]])
def test_notes_without_a_key_of_their_own_are_refused(given):
    with pytest.raises(InputError, match=r"^--note "):
        read_notes(given)


def test_a_wheel_has_the_shipped_network():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["pdnet"]
    file = (module.WEIGHTS / f"{module.PEOPLE}.safetensors").relative_to(ROOT / "pdnet")
    assert any(file.match(pattern) for pattern in patterns)


def test_the_input_at_use_may_be_another_than_in_training(cli, trained, tmp_path):
    out = tmp_path / "out.safetensors"
    notes = [f"{key}={value}" for key, value in TERMS.items()]
    given = [word for note in notes for word in ("--note", note)]
    status, text = cli("ship", trained, "-o", out, *given, "--side", "50")
    assert status == 2 and "input_size" in text and not out.exists()
    assert cli("ship", trained, "-o", out, *given, "--side", "96")[0] == 0
    before, after = load_network(trained), load_network(out)
    assert after.config.input_size == (96, 96) != before.config.input_size
    assert after.config.model_copy(update={"input_size": before.config.input_size}) == before.config
