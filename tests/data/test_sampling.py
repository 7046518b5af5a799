"""Which pictures come, how often, and with which reference."""

from __future__ import annotations

from collections import Counter
from itertools import chain, product

import numpy as np
import pytest
import torch

from pdnet.config import Config, load_config
from pdnet.data.augment import Augmenter
from pdnet.data.flow import write_flow
from pdnet.data.layout import Clip, read_tree
from pdnet.data.sampling import EpochSampler, ImageDataset, PairDataset, copies
from pdnet.errors import InputError
from tests.helpers import TINY, make_tree, rendered_cast, save_image, write_params


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


def flowing(tmp_path) -> tuple[Clip, ...]:
    """Clips with the optical flow that a stage would have computed: each frame's its own."""
    clips = read_tree(make_tree(tmp_path / "480p", frames=4)).clips("train")
    rng = np.random.default_rng(0)
    for clip in clips:
        for stem in clip.frames:
            write_flow(clip.flow(stem), rng.normal(size=(24, 32, 2)).astype(np.float32))
    return clips


def test_flow_is_the_targets_and_changes_no_other_number(tmp_path):
    strong = {"train.zoom": 0.5, "train.colour": 0.5, "train.blur": 0.5, "train.cutout": 0.5}
    chosen = config(tmp_path, **strong, train__reference="random")
    clips = flowing(tmp_path)
    without, beside = PairDataset(clips, chosen), PairDataset(clips, chosen, flow=True)
    for key in ((0, 0), (0, 3), (1, 6)):
        sample, plain = beside[key], without[key]
        assert set(sample) == {*plain, "flow"}
        assert all(torch.equal(sample[name], value) for name, value in plain.items())
        flow = sample["flow"]
        assert flow.shape == (3, 64, 64) and flow.min() >= 0 and flow.max() <= 1
        assert torch.equal(flow, beside[key]["flow"])
    colours = [beside[(0, index)]["flow"] for index in range(len(beside))]
    assert not any(torch.equal(colours[0], other) for other in colours[1:])


def test_the_flow_is_the_targets_whatever_the_reference(tmp_path):
    """One frame of four moves; every other is white."""
    clips = flowing(tmp_path)
    for clip in clips:
        for stem in clip.frames:
            step = 3 * (stem == "00010")
            write_flow(clip.flow(stem), np.full((24, 32, 2), step, np.float32))
    dataset = PairDataset(clips, config(tmp_path, train__reference="random"), flow=True)
    for epoch, (index, (_, stem)) in product(range(4), enumerate(dataset.samples)):
        rests = bool((dataset[(epoch, index)]["flow"] == 1).all())
        assert rests == (stem != "00010"), stem


def test_flow_is_placed_as_its_frame_is(tmp_path):
    """The disc of the truth moves, and nothing else does."""
    (clip, *_) = read_tree(make_tree(tmp_path / "480p", train=("a/one",), frames=3)).clips("train")
    chosen = config(tmp_path, **{"train.holdout": [], "train.rotation": 30.0, "train.crop": 0.2})
    plain = PairDataset([clip], chosen)
    for stem in clip.frames:
        mask = plain.reader.read(clip.frame(stem), clip.mask(stem)).mask
        flow = np.where(mask[..., None] > 0.5, np.float32([3, -2]), np.float32(0))
        write_flow(clip.flow(stem), flow)
    dataset = PairDataset([clip], chosen, flow=True)
    for epoch in range(5):
        sample = dataset[(epoch, 1)]
        truth, moving = sample["mask"][0], sample["flow"].min(0).values < 0.75
        sure = (truth < 0.2) | (truth > 0.8)
        assert sure.float().mean() > 0.8
        assert (moving == (truth > 0.5))[sure].float().mean() > 0.99


def test_no_flow_is_read_where_nobody_looks_at_it(tmp_path, monkeypatch):
    clips = read_tree(make_tree(tmp_path / "480p", frames=2)).clips("train")
    monkeypatch.setattr(Clip, "flow", None)
    monkeypatch.setattr(Augmenter, "placed_flow", None)
    assert "flow" not in PairDataset(clips, config(tmp_path))[(0, 0)]


def test_a_clip_without_flow_is_one_line_that_names_what_to_run(tmp_path):
    clips = flowing(tmp_path)
    clips[0].flow(clips[0].frames[2]).unlink()
    dataset = PairDataset(clips, config(tmp_path), flow=True)
    assert dataset[(0, 1)]["flow"].shape == (3, 64, 64)
    says = r"flow/a/one/00010\.png: missing; `dvc repro flow` makes the optical flow$"
    with pytest.raises(InputError, match=says) as error:
        dataset[(0, 2)]
    assert "\n" not in str(error.value)


LEARNED = {
    "model.preset": "ours",
    "model.steps": "learned",
    "loss.steps": 1.0,
    "loss.body_parts": 1.0,
}


def test_steps_lie_where_their_pixels_lie_and_turn_with_them(tmp_path):
    clip = rendered_cast(tmp_path / "casts", kind="train")
    chosen = config(tmp_path, **LEARNED, train__targets="later")
    dataset = PairDataset([clip], chosen)
    flipped = []
    for epoch in range(6):
        sample = dataset[(epoch, 0)]
        assert sample["steps"].shape == (2, 64, 64)
        assert sample["body_parts"].shape == sample["reference_body_parts"].shape == (6, 64, 64)
        body, people = sample["body_parts"].sum(0), sample["mask"][0]
        assert body.max() <= 1.001 and (body - people).min() > -0.05  # figures have parts too
        moved = sample["steps"].abs().sum(0)
        assert not moved[people == 0].any() and moved.max() > 1
        flipped.append(sample["steps"][0][people > 0.9].mean().item())
    # the draws mirror some: what went right goes left
    assert min(flipped) < 0 < max(flipped)


def test_clips_whose_motion_nobody_knows_cannot_teach_steps(tmp_path):
    clips = read_tree(make_tree(tmp_path / "tree")).clips("train")
    dataset = PairDataset(clips, config(tmp_path, **LEARNED))
    with pytest.raises(InputError, match=r"a/one: no true motion.*data\.source: casts"):
        dataset[(0, 1)]
