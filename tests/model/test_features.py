"""A frozen encoder's maps on disk: the same bits, and computed once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pdnet.model import PDNet
from tests.helpers import small


def networks(folder: Path, limit: float = 1.0, **changes) -> tuple[PDNet, PDNet]:
    """Twins of drawn weights; the second keeps its maps."""
    plain, kept = (small(**changes).to(memory_format=torch.channels_last) for _ in range(2))
    kept.load_state_dict(plain.state_dict())
    kept.encoder.keep_maps(folder, limit)
    return plain, kept


def images(count: int = 2) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.rand(count, 3, 64, 96).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("auxiliary", [True, False])
def test_what_is_kept_is_what_is_computed_bit_by_bit(tmp_path, auxiliary):
    plain, kept = networks(tmp_path)
    x = images()
    for _ in range(2):  # computed, then read
        for one, other in ((plain, kept), (kept, kept)):
            wanted, found = one.encoder(x, auxiliary), other.encoder(x, auxiliary)
            assert torch.equal(wanted[0], found[0]) and wanted[0].stride() == found[0].stride()
            assert len(found[1]) == (4 if auxiliary else 0)
            assert all(torch.equal(a, b) for a, b in zip(wanted[1], found[1], strict=True))
            assert torch.equal(one(x, x.flip(3)).logits, other(x, x.flip(3)).logits)


def test_a_second_network_on_the_same_encoder_computes_nothing(tmp_path, monkeypatch):
    _, first = networks(tmp_path)
    second = small(interaction="concat").to(memory_format=torch.channels_last)
    second.encoder.load_state_dict(first.encoder.state_dict())
    second.encoder.keep_maps(tmp_path, 1.0)
    x = images()
    wanted = first.encoder(x)
    monkeypatch.setattr(second.encoder.backbone, "forward", None)  # a pass would fail
    assert torch.equal(second.encoder(x)[0], wanted[0])


@pytest.mark.parametrize("what", ["weights", "fusion", "input", "order in memory", "auxiliary"])
def test_another_encoder_or_another_input_is_another_entry(tmp_path, what):
    _, kept = networks(tmp_path)
    x = images()
    kept.encoder(x, False)
    assert len(list(tmp_path.iterdir())) == 1
    if what == "weights":
        with torch.no_grad():
            kept.encoder.heads[0].bias += 1
        kept.encoder.keep_maps(tmp_path, 1.0)
    if what == "fusion":
        other = small(fusion="add").to(memory_format=torch.channels_last)
        other.encoder.load_state_dict(kept.encoder.state_dict())
        other.encoder.keep_maps(tmp_path, 1.0)
        kept = other
    if what == "input":
        x = x + 1e-6
    if what == "order in memory":
        x = x.contiguous()
    kept.encoder(x, what == "auxiliary")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_file_is_computed_again(tmp_path):
    plain, kept = networks(tmp_path)
    x = images()
    kept.encoder(x)
    [file] = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    assert torch.equal(kept.encoder(x)[0], plain.encoder(x)[0])
    assert torch.equal(kept.encoder(x)[0], plain.encoder(x)[0]), "from disk"


def test_no_more_is_kept_than_the_limit(tmp_path):
    size = 2 * 16 * 16 * 24 * 4  # maps of 16 channels at a quarter of 64x96, in float32
    _, kept = networks(tmp_path, limit=2.5 * size / 2**30)
    for number in range(4):
        kept.encoder(images() + number, False)
    assert len(list(tmp_path.iterdir())) == 2
    _, other = networks(tmp_path, limit=2.5 * size / 2**30)
    other.encoder(images() + 9, False)
    assert len(list(tmp_path.iterdir())) == 2, "what another process has kept counts"


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path):
    (tmp_path / "taken").write_text("")
    plain, kept = networks(tmp_path / "taken/below")
    assert torch.equal(kept.encoder(images())[0], plain.encoder(images())[0])
