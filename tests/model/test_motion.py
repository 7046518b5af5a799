"""Attention that knows where, and what the camera did."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pdnet.model.ipda import PartAttention, Parts
from pdnet.model.motion import (
    DESCRIPTION,
    Camera,
    Match,
    Matching,
    Spread,
    aligned,
    coordinates,
    fit_camera,
)
from tests.helpers import small

KNOWS = {"position": "displacement", "attention_scale": "cosine"}


def parts_of(features: torch.Tensor, parts: int = 1) -> Parts:
    """Parts with given features; nobody is there: all is background."""
    b, _, h, w = features.shape
    even = torch.full((b, parts, h, w), 1 / parts)
    saliency = torch.full((b, 1, h, w), -20.0)
    return Parts(features, even, saliency, even, even)


def matching(**changes) -> PartAttention:
    """An attention whose queries and keys are the features themselves, sharp enough to choose
    one token.
    """
    attention = PartAttention(
        part_channels=16,
        attention_channels=16,
        parts=1,
        **{
            "scale": "cosine",
            "mask_keys": "none",
            "residual": False,
            "reference_fusion": "mean",
            "position": "displacement",
            **changes,
        },
    ).eval()
    with torch.no_grad():
        for layer in (attention.query, attention.key):
            layer.weight.copy_(torch.eye(16)[..., None, None])
        attention.sharpness.fill_(5.0)
    return attention


def test_a_displacement_leads_to_where_the_same_thing_was():
    torch.manual_seed(0)
    reference = torch.randn(1, 16, 9, 12)
    target = torch.roll(reference, (2, -3), (2, 3))  # down by 2, left by 3
    attention = matching()
    with torch.no_grad():
        found = attention.correlate(parts_of(target), attention.remember(parts_of(reference)))
    steps = found.displacement.view(9, 12, 2)[2:, :-3]
    torch.testing.assert_close(steps, torch.tensor([3.0, -2.0]).expand_as(steps), atol=0.02, rtol=0)
    torch.testing.assert_close(found.weights.sum(-1), torch.ones(1, 1, 1, 108))


def test_the_camera_is_what_the_background_does():
    size = (12, 16)
    x, y = coordinates(size, torch.zeros(1)).T
    u, v = 2 * x / 15 - 1, 2 * y / 11 - 1
    camera = torch.stack([1.5 + 0.3 * u - 0.1 * v, -0.5 + 0.2 * v], 1)  # (n, 2)
    person = (x > 4) & (x < 9)
    displacement = torch.where(person[:, None], camera + 4, camera)[None, None]
    fitted = fit_camera(displacement, (~person).float()[None], size)
    # the prior on turn and zoom takes a few per cent of them
    torch.testing.assert_close(fitted.steps(size)[0, 0], camera, atol=0.06, rtol=0)
    everybody = fit_camera(displacement, torch.ones(1, len(x)), size)
    assert (everybody.steps(size)[0, 0] - camera).abs().max() > 0.5


def test_of_no_background_the_camera_is_what_all_tokens_do():
    displacement = torch.ones(1, 1, 20, 2)
    fitted = fit_camera(displacement, torch.zeros(1, 20), (4, 5))
    torch.testing.assert_close(fitted.steps((4, 5))[0, 0], torch.ones(20, 2), atol=1e-4, rtol=0)


def test_an_aligned_reference_is_seen_by_the_targets_camera():
    torch.manual_seed(0)
    reference = torch.rand(1, 3, 24, 32)
    # in the reference everything lies one cell (four pixels) to the right of where it is now
    camera = Camera(torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]]))
    seen = aligned(reference, camera, (6, 8))
    torch.testing.assert_close(seen[..., :28], reference[..., 4:], atol=1e-5, rtol=0)


def shuffled_difference(**changes) -> float:
    """How much logits change when the reference's tokens change places."""
    network = small(**changes)
    torch.manual_seed(1)
    with torch.no_grad():
        target, reference = torch.rand(2, 1, 3, 64, 64)
        memory = network.encode_reference(reference)
        before = network.segment(target, memory).logits
        order = torch.randperm(memory.keys.shape[3])
        memory.keys, memory.values = memory.keys[:, :, :, order], memory.values[:, :, :, order]
        after = network.segment(target, memory).logits
    return float((after - before).abs().max() / before.std())


def test_only_attention_that_knows_places_notices_that_tokens_changed_theirs():
    assert shuffled_difference() < 1e-4
    assert shuffled_difference(**KNOWS) > 1e-2
    assert shuffled_difference(position="bias") > 1e-2


def test_near_tokens_count_more():
    attention = matching(position="bias", scale="cosine")
    with torch.no_grad():
        attention.sharpness.fill_(-20.0)  # looks count for nothing
        features = parts_of(torch.rand(1, 16, 9, 12))
        weights = attention.weights(features, attention.remember(features))[0, 0, 0]
    assert (weights.argmax(1) == torch.arange(108)).all()
    assert weights[0, 0] > 10 * weights[0, 107]


def plain_matching() -> Matching:
    """Tokens are matched by their features themselves, sharply."""
    matcher = Matching(DESCRIPTION, 8).eval()
    with torch.no_grad():
        matcher.describe.weight.copy_(torch.eye(DESCRIPTION)[..., None, None])
        matcher.describe.bias.zero_()
        matcher.sharpness.fill_(5.0)
    return matcher


def test_tokens_find_themselves_nearby_and_the_camera_is_the_backgrounds_motion():
    torch.manual_seed(0)
    reference = torch.randn(1, DESCRIPTION, 24, 32)
    target = torch.roll(reference, (2, -3), (2, 3))  # the camera: down by 2, left by 3
    mover = torch.zeros(24, 32, dtype=torch.bool)
    mover[8:16, 10:20] = True  # what is there went right by 1 instead
    target[..., mover] = torch.roll(reference, 1, 3)[..., mover]
    background = F.avg_pool2d((~mover).float()[None, None], 4)
    with torch.no_grad():
        features, match = plain_matching()(target, reference, background, (6, 8))
    assert features.shape == (1, 8, 6, 8)
    torch.testing.assert_close(match.window.sum(1), torch.ones(1, 24, 32))
    steps = match.displacement[0].permute(1, 2, 0)
    inner = torch.zeros_like(mover)
    inner[6:-6, 6:-6] = True
    for area, step in ((inner & ~mover, (3.0, -2.0)), (mover, (-1.0, 0.0))):
        expected = torch.tensor(step).expand(int(area.sum()), 2)
        torch.testing.assert_close(steps[area], expected, atol=0.05, rtol=0)
    camera = match.camera.steps((24, 32)).view(24, 32, 2)
    torch.testing.assert_close(
        camera[inner], torch.tensor([3.0, -2.0]).expand(240, 2), atol=0.4, rtol=0
    )


def test_a_match_is_told_to_the_part_grid_in_its_cells():
    displacement = torch.tensor([4.0, -2.0])[None, :, None, None].expand(1, 2, 24, 32)
    camera = Camera(torch.tensor([[[0.0, 0.0, 4.0], [0.0, 0.0, -2.0]]]))
    window = torch.full((1, 121, 24, 32), 1 / 121)
    steps, seen = Match(window, displacement, camera).on((6, 16))
    torch.testing.assert_close(steps, torch.tensor([2.0, -0.5]).expand(1, 96, 2))
    torch.testing.assert_close(seen.steps((6, 16)), steps)


def test_only_matching_notices_that_the_reference_moved_though_its_parts_did_not():
    network = small(difference="matched")
    with torch.no_grad():
        target, reference = torch.rand(2, 1, 3, 64, 64)
        memory = network.encode_reference(reference)
        before = network.segment(target, memory)
        memory.appearance = memory.appearance.roll(2, 4)
        after = network.segment(target, memory)
    assert (after.logits - before.logits).abs().max() > 1e-2 * before.logits.std()
    assert before.correlation.displacement.shape[2] == network.config.parts


@pytest.mark.parametrize("difference", ["none", "plain", "aligned", "matched"])
def test_a_reference_given_twice_changes_nothing_here_either(difference):
    network = small(difference=difference, spread=1, **KNOWS)
    with torch.no_grad():
        target, reference = torch.rand(1, 3, 64, 96), torch.rand(1, 3, 64, 96)
        memory = network.encode_reference(reference)
        once = network.segment(target, memory).logits
        twice = network.segment(target, memory.joined(memory)).logits
    torch.testing.assert_close(once, twice, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("difference", ["aligned", "matched"])
def test_the_pairwise_pass_is_the_clip_pass(difference):
    network = small(difference=difference, spread=1, **KNOWS)
    with torch.no_grad():
        target, reference = torch.rand(1, 3, 64, 96), torch.rand(1, 3, 64, 96)
        pair = network(target, reference, auxiliary=False)
        clip = network.segment(target, network.encode_reference(reference))
    torch.testing.assert_close(pair.logits, clip.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("difference", ["aligned", "matched"])
def test_everything_learns(difference):
    network = small(
        difference=difference, spread=1, position="displacement+bias", attention_scale="cosine"
    ).train()
    output = network(torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64))
    output.logits.square().mean().backward()
    added = ("difference", "matching", "spread", "attention.sharpness", "attention.range")
    for name, parameter in network.named_parameters():
        if name.startswith(added):
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_motion_at_one_place_is_told_to_all():
    torch.manual_seed(0)
    spread = Spread(8, 8, 1).eval()
    appearance, motion = torch.rand(1, 8, 6, 7), torch.zeros(1, 8, 6, 7)
    with torch.no_grad():
        before = spread(appearance, motion)
        motion[..., 0, 0] = 3.0
        after = spread(appearance, motion)
    assert (after - before)[0, :, 5, 6].abs().max() > 1e-4


def test_without_the_new_parameters_the_network_has_no_new_weights():
    names = set(small().state_dict())
    assert not [name for name in names if "sharpness" in name or "range" in name]
    assert not [name for name in names if name.startswith(("difference", "matching", "spread"))]
