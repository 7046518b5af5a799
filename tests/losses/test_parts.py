"""Part losses on masks whose loss is known, and what learning does to them."""

from __future__ import annotations

import pytest
import torch

from pdnet.config import LossConfig
from pdnet.losses import PDNetLoss
from pdnet.losses.parts import semantic_consistency
from pdnet.model.ipda import Parts

PARTS, SIDE = 3, 14
SAMPLE = {"feature_network": "tf_efficientnet_lite0", "feature_layer": 2}
SAMPLE |= {"feature_normalise": True, "semantic_mean": "portrait", "feature_weights": "none"}
STEPS = 60


def learnt(loss: PDNetLoss, image: torch.Tensor, mask: torch.Tensor) -> list[float]:
    """L_sem of the true portrait while part logits and basis learn at the sample's rate."""
    torch.manual_seed(2)
    logits = torch.randn(2, PARTS, SIDE, SIDE, requires_grad=True)
    sure = torch.where(loss_grid(loss, mask) > 0.5, 9.0, -9.0)
    parts = Parts(torch.empty(0), logits, sure, logits.softmax(1), logits.softmax(1))
    optimiser = torch.optim.SGD([logits, loss.basis], lr=0.05, momentum=0.9)
    values = []
    for _ in range(STEPS):
        term = loss.part_terms(parts, image, mask)["semantic"]
        optimiser.zero_grad()
        term.backward()
        optimiser.step()
        values.append(term.item())
    return values


def loss_grid(loss: PDNetLoss, mask: torch.Tensor) -> torch.Tensor:
    logits = torch.zeros(2, PARTS, SIDE, SIDE)
    parts = Parts(torch.empty(0), logits, logits[:, :1], logits, logits)
    return loss.on_one_grid(parts, mask)[0]


@pytest.fixture
def picture() -> tuple[torch.Tensor, torch.Tensor]:
    """Two images with a striped figure each, and its mask."""
    torch.manual_seed(1)
    image, mask = torch.rand(2, 3, 224, 224), torch.zeros(2, 1, 224, 224)
    mask[..., 48:176, 80:160] = 1
    image[:, 0, 48:112, 80:160] = 0.9
    image[:, 2, 112:176, 80:160] = 0.8
    return image, mask


def test_learning_takes_the_semantic_loss_below_that_of_parts_that_explain_nothing(picture):
    torch.manual_seed(0)
    loss = PDNetLoss(LossConfig(**SAMPLE, orthonormal=0, geometric=0, area=0), parts=PARTS)
    with torch.no_grad():
        drawn = loss.basis.clone()
        loss.basis.zero_()
        nothing = learnt_once(loss, picture)
        loss.basis.copy_(drawn)
    values = learnt(loss, *picture)
    assert values[-1] < values[0], "the loss falls"
    assert values[-1] < 0.8 * nothing, "and below what no part at all costs"


def learnt_once(loss: PDNetLoss, picture: tuple[torch.Tensor, torch.Tensor]) -> float:
    image, mask = picture
    logits = torch.zeros(2, PARTS, SIDE, SIDE)
    sure = torch.where(loss_grid(loss, mask) > 0.5, 9.0, -9.0)
    parts = Parts(torch.empty(0), logits, sure, logits, logits)
    return loss.part_terms(parts, image, mask)["semantic"].item()


def test_the_basis_is_drawn_at_the_features_scale():
    unit = PDNetLoss(LossConfig(**SAMPLE), parts=PARTS)
    torch.testing.assert_close(unit.basis.norm(dim=1), torch.ones(PARTS))
    assert (unit.basis >= 0).all()
    plain = LossConfig(**{**SAMPLE, "feature_normalise": False})
    rows = PDNetLoss(plain, parts=PARTS).basis.norm(dim=1)
    assert (rows > 5).all(), "the authors' |N(0, 1)| beside features that are not unit vectors"


def test_parts_that_explain_nothing_cost_one_a_portrait_pixel():
    portrait = torch.zeros(2, 1, 8, 8)
    portrait[..., 2:5, 2:6] = 1
    features = torch.nn.functional.normalize(torch.rand(2, 6, 8, 8), dim=1)
    masks, basis = portrait.expand(2, 3, 8, 8) / 3, torch.zeros(3, 6)
    known = {"features": features, "basis": basis}
    whole = semantic_consistency(masks, portrait, **known, mean="portrait")
    assert float(whole) == pytest.approx(1.0)
    pixels = semantic_consistency(masks, portrait, **known, mean="pixels")
    assert float(pixels) == pytest.approx(portrait.mean().item() / 6)


def test_an_empty_portrait_costs_nothing_and_is_finite():
    empty = torch.zeros(1, 1, 8, 8)
    known = {"features": torch.rand(1, 6, 8, 8), "basis": torch.rand(3, 6)}
    value = semantic_consistency(empty.expand(1, 3, 8, 8), empty, **known, mean="portrait")
    assert float(value) == 0


def test_a_larger_predicted_portrait_is_no_way_to_a_smaller_mean():
    portrait = torch.full((1, 1, 8, 8), 0.5, requires_grad=True)
    features = torch.nn.functional.normalize(torch.rand(1, 6, 8, 8), dim=1)
    known = {"features": features, "basis": torch.zeros(3, 6), "mean": "portrait"}
    semantic_consistency(torch.zeros(1, 3, 8, 8), portrait, **known).backward()
    # d/dY of sum (Y v)^2 / n at Y = 0.5, |v| = 1, with n = 32 held: 2 * 0.5 / 32
    torch.testing.assert_close(portrait.grad, torch.full_like(portrait, 1 / 32))
