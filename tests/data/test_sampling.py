"""Which pictures come, how often, and with which reference."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import numpy as np
import pytest
import torch

from pdnet.config import Config, load_config
from pdnet.data.layout import read_tree
from pdnet.data.sampling import EpochSampler, ImageDataset, PairDataset, copies
from pdnet.errors import InputError
from tests.helpers import TINY, make_tree, save_image, write_params


def config(tmp_path, **changes: object) -> Config:
    return load_config(write_params(tmp_path / "p.yaml", **{**TINY, **changes}))


def images(tmp_path, count: int = 6):
    rng = np.random.default_rng(0)
    pairs = []
    for i in range(count):
        picture = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        mask = np.zeros((48, 64), np.uint8)
        mask[10:30, 20:40] = 255
        folder = tmp_path / "Images" / "ab"[i % 2]
        pairs.append(
            (
                save_image(folder / f"img/{i}.png", picture),
                save_image(folder / f"mask/{i}.png", mask),
            )
        )
    return pairs


def sampler(**changes: object) -> EpochSampler:
    how = {"batch_size": 4, "steps": 5, "epochs": 2, "seed": 3, "stream": 0, "start": (0, 0)}
    return EpochSampler(10, **{**how, **changes})


def test_a_sample_of_double_weight_comes_twice_as_often():
    weights = np.array([2.0, 0.0, 0.5] + [1.0] * 7)
    keys = chain.from_iterable(sampler(copies=weights, steps=500, epochs=1))
    counts = Counter(index for _, index in keys)
    one = np.mean([counts[i] for i in range(3, 10)])
    assert counts[0] == pytest.approx(2 * one, rel=0.02)
    assert counts[2] == pytest.approx(0.5 * one, rel=0.15)
    assert counts[1] == 0


def test_weights_of_one_change_no_draw_and_a_resumed_training_goes_on():
    assert copies(["a", "b"], {"a": 1.0, "c": 7.0}) is None
    weights = np.array([0.3] * 5 + [1.5] * 5)
    for given in (None, weights):
        whole = list(sampler(copies=given))
        assert list(sampler(copies=given, start=(1, 2))) == whole[7:]
    assert list(copies(["a", "b", "a"], {"a": 0.5})) == [0.5, 1.0, 0.5]
    with pytest.raises(InputError, match=r"train\.sample_weights: every weight is 0"):
        copies(["a", "b"], {"a": 0, "b": 0})


def test_a_batch_depends_on_seed_epoch_and_index_alone(tmp_path):
    strong = {"train.zoom": 0.5, "train.colour": 0.5, "train.blur": 0.5, "train.cutout": 0.5}
    chosen = config(tmp_path, **strong, **{"train.image_reference": "mixed"})
    clips = read_tree(make_tree(tmp_path / "tree")).clips("train")
    for dataset in (PairDataset(clips, chosen), ImageDataset(images(tmp_path), chosen)):
        first = dataset[(1, 2)]
        _ = dataset[(0, 1)]
        assert all(torch.equal(first[name], value) for name, value in dataset[(1, 2)].items())
        assert not torch.equal(first["target"], dataset[(2, 2)]["target"])


def test_the_cache_changes_no_number(tmp_path):
    pairs = images(tmp_path)
    for gib in (0.0, 1.0):
        dataset = ImageDataset(pairs, config(tmp_path, machine__cache_gib=gib))
        both = [dataset[(0, 1)]["target"] for _ in range(2)]
        assert torch.equal(*both)
    assert torch.equal(both[0], ImageDataset(pairs, config(tmp_path))[(0, 1)]["target"])


@pytest.mark.parametrize("how", ["same", "warp", "paste", "mixed"])
def test_an_image_has_the_reference_that_was_asked_for(tmp_path, how):
    dataset = ImageDataset(images(tmp_path), config(tmp_path, train__image_reference=how))
    sample = dataset[(0, 0)]
    assert ("reference" in sample) == ("reference_mask" in sample) == (how != "same")
    for name, value in sample.items():
        assert value.shape == (1 if "mask" in name else 3, 64, 64)
        assert value.min() >= 0 and value.max() <= 1
    assert set(dataset.groups()) == {"a", "b"}
