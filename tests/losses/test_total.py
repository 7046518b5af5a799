"""Losses: the authors' numbers, gradients in float64, and the inputs that break careless ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pdnet.config import LossConfig, ModelConfig
from pdnet.losses import PDNetLoss
from pdnet.losses.grid import on_grid
from pdnet.losses.parts import (
    area_variance,
    geometric_concentration,
    orthonormality,
    semantic_consistency,
)
from pdnet.losses.segmentation import l1, weighted_bce
from pdnet.model import PDNet
from tests.helpers import GOLDEN_MODEL

GOLDEN = json.loads((GOLDEN_MODEL / "losses.json").read_text())


def golden_inputs():
    g = np.random.default_rng(GOLDEN["seed"])
    h, w = GOLDEN["h"], GOLDEN["w"]

    def draw(*shape):
        return torch.from_numpy(g.standard_normal(shape).astype(np.float32))

    parts, saliency, label = draw(2, 5, h, w), draw(2, 1, h, w), (draw(2, 1, h, w) > 0.3).float()
    return parts, saliency, label, draw(2, 512, h, w).abs(), draw(5, 512).abs(), draw(2, 1, h, w)


def test_every_term_equals_the_authors():
    parts, saliency, label, features, basis, logits = golden_inputs()
    d, s = parts.softmax(1), saliency.sigmoid()
    ours = {
        "wbce": weighted_bce(logits, label),
        "l1": l1(logits, label),
        "geo_gt": geometric_concentration(label * d),
        "geo_pred": geometric_concentration(s * d),
        "sem_gt": semantic_consistency(label * d, label, features, basis),
        "sem_pred": semantic_consistency(s * d, s, features, basis),
        "orth": orthonormality(basis),
        "area_gt": area_variance(label * d),
        "area_pred": area_variance(s * d),
    }
    assert set(ours) == set(GOLDEN["values"])
    for name, value in GOLDEN["values"].items():
        assert float(ours[name]) == pytest.approx(value, rel=1e-4), name


def test_gradients_in_float64():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    basis = (torch.rand(3, 6, dtype=torch.float64) + 0.1).requires_grad_()
    mask = (torch.rand(2, 1, 5, 4) > 0.4).double()
    features = torch.rand(2, 6, 5, 4, dtype=torch.float64)
    check = torch.autograd.gradcheck
    assert check(lambda x: geometric_concentration(mask * x.softmax(1), 1e-3), (logits,))
    assert check(
        lambda x, w: semantic_consistency(mask * x.softmax(1), mask, features, w), (logits, basis)
    )
    assert check(lambda x: area_variance(mask * x.softmax(1)), (logits,))
    assert check(orthonormality, (basis,))
    portrait = torch.randn(2, 1, 5, 4, dtype=torch.float64, requires_grad=True)
    assert check(lambda x: weighted_bce(x, mask, 20.0), (portrait,))
    assert check(lambda x: l1(x, mask), (portrait,))


def test_a_permutation_of_the_parts_changes_nothing():
    parts, _, label, features, basis, _ = golden_inputs()
    order = torch.tensor([3, 0, 4, 1, 2])
    masks = label * parts.softmax(1)
    for loss in (geometric_concentration, area_variance):
        torch.testing.assert_close(loss(masks), loss(masks[:, order]))
    torch.testing.assert_close(orthonormality(basis), orthonormality(basis[order]))
    torch.testing.assert_close(
        semantic_consistency(masks, label, features, basis),
        semantic_consistency(masks[:, order], label, features, basis[order]),
    )


def test_smoothing_takes_the_reward_off_dead_parts():
    body = torch.zeros(1, 1, 120, 120)
    body[..., 15:105, 40:80] = 1
    bands = torch.zeros(1, 5, 120, 120)
    for k in range(5):
        bands[:, k, 15 + 18 * k : 33 + 18 * k, 40:80] = 1
    collapsed = torch.zeros(1, 5, 120, 120)
    collapsed[:, 0] = body[:, 0]
    assert float(geometric_concentration(bands)) == pytest.approx(0.2225, abs=2e-3)
    assert float(geometric_concentration(collapsed)) == pytest.approx(
        0.2245, abs=2e-3
    )  # hardly worse: the trap
    assert float(geometric_concentration(collapsed, 1e-3)) > 5 * float(
        geometric_concentration(bands, 1e-3)
    )
    assert (
        float(area_variance(collapsed)) == pytest.approx(0.2) and float(area_variance(bands)) < 1e-8
    )


MODEL = {
    "backbone": "resnet18",
    "weights": "none",
    "channels": 16,
    "part_channels": 8,
    "attention_channels": 8,
}
LOSS = {"feature_network": "resnet18", "feature_weights": "none"}


def pair(x, mask):
    """The arguments of a video step whose reference is the mirrored target."""
    mirrored = {"reference": x.flip(3), "reference_mask": mask.flip(3)}
    return {"target": x, "mask": mask, **mirrored}


def empty(shape):
    return torch.zeros(shape)


def full(shape):
    return torch.ones(shape)


def single_pixel(shape):
    mask = torch.zeros(shape)
    mask[..., 20, 30] = 1
    return mask


@pytest.mark.parametrize("make", [empty, full, single_pixel])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("resolution", ["grid", "full"])
def test_finite_whatever_the_masks(make, batch, resolution):
    torch.manual_seed(0)
    network = PDNet(ModelConfig(**MODEL, parts=3))
    loss = PDNetLoss(LossConfig(**LOSS, resolution=resolution), parts=3)
    x, mask = torch.rand(batch, 3, 64, 64), make((batch, 1, 64, 64))
    terms = loss.video_step(network.train()(x, x.flip(3)), **pair(x, mask))
    terms["total"].backward()
    assert all(torch.isfinite(v) for v in terms.values())
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    assert {"geometric", "semantic", "area", "orthonormal"} <= set(terms)


@pytest.mark.parametrize("make", [empty, full, single_pixel])
@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_finite_in_half_precision(make, precision):
    torch.manual_seed(0)
    network = PDNet(ModelConfig(**MODEL, parts=3))
    loss = PDNetLoss(LossConfig(**LOSS), parts=3)
    x, mask = torch.rand(1, 3, 64, 64), make((1, 1, 64, 64))
    with torch.autocast("cpu", precision):
        terms = loss.video_step(network.eval()(x, x.flip(3)), **pair(x, mask))
    assert all(torch.isfinite(v) for v in terms.values())


def test_one_part_switches_the_part_losses_off():
    network, loss = PDNet(ModelConfig(**MODEL, parts=1)), PDNetLoss(LossConfig(**LOSS), parts=1)
    x, mask = torch.rand(2, 3, 64, 64), torch.ones(2, 1, 64, 64)
    terms = loss.video_step(network(x, x), **pair(x, mask))
    assert set(terms) == {"final", "auxiliary", "saliency", "reference", "total"} and not list(
        loss.parameters()
    )


@pytest.fixture
def scene():
    """A network's parts, the frame and its mask."""
    torch.manual_seed(0)
    network = PDNet(ModelConfig(**MODEL, parts=3)).eval()
    x, mask = torch.rand(2, 3, 64, 64), (torch.rand(2, 1, 64, 64) > 0.5).float()
    return network(x, x), x, mask


def part_loss(scene, **changes) -> dict[str, float]:
    output, x, mask = scene
    torch.manual_seed(1)  # of the basis
    terms = PDNetLoss(LossConfig(**{**LOSS, **changes}), parts=3).part_terms(output.parts, x, mask)
    return {name: value.item() for name, value in terms.items()}


def test_combine_halves_both_terms_or_the_second(scene):
    output, _, mask = scene
    truth, saliency, d = PDNetLoss(LossConfig(**LOSS), parts=3).on_one_grid(output.parts, mask)
    a, b = (geometric_concentration(y * d, 1e-3).item() for y in (truth, saliency))
    paper, official = part_loss(scene), part_loss(scene, combine="official")
    assert paper["geometric"] == pytest.approx((a + b) / 2) and official[
        "geometric"
    ] == pytest.approx(a + b / 2)
    assert official["area"] == paper["area"] and official["orthonormal"] == paper["orthonormal"]
    assert official["semantic"] > paper["semantic"]


@pytest.mark.parametrize("name", ["geometric", "semantic", "area", "orthonormal"])
def test_a_weight_scales_its_term_and_zero_removes_it(scene, name):
    whole, double, without = (
        part_loss(scene),
        part_loss(scene, **{name: 2.0}),
        part_loss(scene, **{name: 0.0}),
    )
    assert double.pop(name) == pytest.approx(2 * whole.pop(name))
    assert double == whole and name not in without
    gone = (
        {"orthonormal"} if name == "semantic" else set()
    )  # without the semantic loss there is no basis
    assert without == {key: value for key, value in whole.items() if key not in gone}


def test_resolution_and_smoothing_and_features(scene):
    output, x, mask = scene
    for resolution, side in (("grid", 4), ("full", 64)):
        maps = PDNetLoss(LossConfig(**LOSS, resolution=resolution), parts=3).on_one_grid(
            output.parts, mask
        )
        assert {m.shape[-1] for m in maps} == {side}
    plain, smooth = part_loss(scene, smoothing=0.0), part_loss(scene, smoothing=0.1)
    assert smooth.pop("geometric") != plain.pop("geometric") and smooth == plain
    for layer, channels in enumerate((64, 128, 256, 512)):
        loss = PDNetLoss(LossConfig(**LOSS, feature_layer=layer, feature_normalise=True), parts=3)
        features = loss.features(x)
        assert features.shape[1] == channels == loss.basis.shape[1] and features.min() >= 0
        norms = features.norm(dim=1)
        torch.testing.assert_close(norms[norms > 0.1], torch.ones_like(norms[norms > 0.1]))


def test_weights_of_the_segmentation_terms(scene):
    output, x, mask = scene

    def total(**changes):
        loss = PDNetLoss(LossConfig(**LOSS, geometric=0, semantic=0, area=0, **changes), parts=3)
        return {
            k: v.item()
            for k, v in loss.video_step(
                output, target=x, reference=x, mask=mask, reference_mask=mask
            ).items()
        }

    base = total()
    for name in ("auxiliary", "saliency", "reference"):
        halved = total(**{name: 0.4})
        assert halved[name] == pytest.approx(base[name] / 2)
    # target and reference are the same
    assert base["reference"] == pytest.approx(0.8 * (base["auxiliary"] + base["saliency"]))
    share = mask.mean().item()
    assert total(bce_weight="none", l1=0.0)["final"] == pytest.approx(
        total(l1=0.0)["final"] * share, rel=1e-2
    )


def test_an_image_without_people_weighs_no_more_than_the_clamp():
    logits, mask = torch.zeros(1, 1, 480, 480), torch.zeros(1, 1, 480, 480)
    assert float(weighted_bce(logits, mask, 20.0)) == pytest.approx(20 * np.log(2), rel=1e-5)
    assert float(weighted_bce(logits, mask)) == pytest.approx(480 * 480 * np.log(2), rel=1e-5)


@pytest.mark.parametrize("name", ["auxiliary", "saliency"])
def test_a_weight_scales_its_own_term_and_leaves_those_of_the_parts_alone(scene, name):
    output, x, mask = scene

    def terms(**changes: float) -> dict[str, float]:
        torch.manual_seed(1)  # of the basis
        loss = PDNetLoss(LossConfig(**LOSS, **changes), parts=3)
        values = loss.video_step(output, **pair(x, mask))
        return {key: value.item() for key, value in values.items()}

    base, halved = terms(), terms(**{name: 0.4})
    changed = {key for key in base if halved[key] != pytest.approx(base[key])}
    assert changed == {name, "reference", "total"}
    parts = terms(parts=0.4)
    for key in ("geometric", "semantic", "area", "orthonormal"):
        assert parts[key] == pytest.approx(base[key] / 2)
    assert parts["auxiliary"] == base["auxiliary"] and parts["saliency"] == base["saliency"]


def test_the_saliency_is_supervised_at_full_size_whatever_the_part_losses_grid(scene):
    output, x, mask = scene

    def saliency(resolution: str) -> float:
        loss = PDNetLoss(LossConfig(**LOSS, resolution=resolution), parts=3)
        return loss.video_step(output, **pair(x, mask))["saliency"].item()

    assert saliency("grid") == saliency("full")


def test_the_part_losses_take_their_truth_at_the_grids_nodes(scene):
    output, _, mask = scene
    truth, _, _ = PDNetLoss(LossConfig(**LOSS), parts=3).on_one_grid(output.parts, mask)
    assert torch.equal(truth, on_grid(mask, output.parts.masks.shape[-2:]))
    area = torch.nn.functional.interpolate(mask, size=truth.shape[-2:], mode="area")
    assert not torch.allclose(truth, area), "the two readings differ on this mask"


@pytest.mark.parametrize("name", ["auxiliary", "saliency"])
def test_an_image_step_weighs_its_maps_as_a_video_step_does(scene, name):
    output, x, mask = scene

    def both(**changes: float) -> tuple[float, float]:
        loss = PDNetLoss(LossConfig(**LOSS, **changes), parts=3)
        image, video = loss.image_step(output, mask), loss.video_step(output, **pair(x, mask))
        assert set(image) == {"final", "auxiliary", "saliency", "total"}
        return image[name].item(), video[name].item()

    (image, video), (halved, _) = both(), both(**{name: 0.4})
    assert image == video and halved == pytest.approx(image / 2)
