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
    camera_between,
    coordinates,
    fit_camera,
    led,
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


def picture(height: int, width: int) -> torch.Tensor:
    """Soft stains, as the encoder sees them; larger than any window into it."""
    torch.manual_seed(0)
    coarse = torch.randn(1, 3, height // 8, width // 8)
    return F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)


def seen_by(motion: torch.Tensor, size: tuple[int, int], scene: torch.Tensor) -> torch.Tensor:
    """A window into the middle of a scene after a camera's motion (2, 3), as `camera_between` says
    it, which leads from a place of the window to a place of the window at rest.
    """
    share = torch.tensor([size[1] / scene.shape[3], size[0] / scene.shape[2]])
    places = F.affine_grid(torch.eye(2, 3)[None], [1, 3, *size], align_corners=False)
    moved = places + F.pad(places, (0, 1), value=1.0) @ motion.T
    return F.grid_sample(scene, moved * share, align_corners=False)


@pytest.mark.parametrize("size", [(64, 96), (240, 320)])
def test_the_camera_is_found_to_a_tenth_of_a_pixel_though_somebody_moves(size):
    height, width = size
    scene = picture(2 * height, 2 * width)
    motion = torch.tensor([[0.02, 0.03, 0.06], [-0.03, 0.01, -0.05]])
    reference = seen_by(torch.zeros(2, 3), size, scene)
    target = seen_by(motion, size, scene)
    # a fifth of the picture goes its own way
    own = slice(height // 4, 3 * height // 4), slice(width // 4, 5 * width // 8)
    target[..., own[0], own[1]] = reference[..., own[0], own[1]].roll(6, -1)
    found = camera_between(target, reference)[0]
    corners = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, 1]])
    apart = (corners @ (found - motion).T) * torch.tensor([width, height]) / 2
    assert apart.abs().max() < 0.1
    rest = torch.ones(height, width, dtype=torch.bool)
    rest[own] = False
    rest[: height // 8], rest[-height // 8 :] = False, False
    rest[:, : width // 8], rest[:, -width // 8 :] = False, False
    left = (led(reference, found[None]) - target).abs()[0, :, rest]
    assert left.max() < 0.05 and (reference - target).abs()[0, :, rest].max() > 0.5


def test_half_precision_finds_the_same_camera():
    scene = picture(128, 192)
    target, reference = scene[..., :64, 3:99], scene[..., :64, :96]
    exact = camera_between(target, reference)
    with torch.autocast("cpu", torch.bfloat16):
        half = camera_between(target.bfloat16(), reference.bfloat16())
        seen = led(reference.bfloat16(), exact)
        output = small(difference="matched", spread=1)(target, reference)
    assert (half - exact).abs().max() < 0.002
    assert (seen - led(reference, exact)).abs().max() < 0.02
    assert output.logits.isfinite().all()


def test_of_a_plain_picture_no_motion_is_known():
    plain = torch.full((2, 3, 64, 64), 0.3)
    assert torch.equal(camera_between(plain, plain + 0.1), torch.zeros(2, 2, 3))


def test_tokens_find_themselves_nearby_once_the_camera_is_undone():
    torch.manual_seed(0)
    scene = picture(128, 192)
    matcher = Matching(DESCRIPTION, 8).eval()
    with torch.no_grad():
        matcher.describe.weight.copy_(torch.eye(DESCRIPTION)[..., None, None])
        matcher.describe.bias.zero_()
        matcher.sharpness.fill_(5.0)
    # the camera goes right by four tokens of the 24; appearance is of noise, and follows it
    frames = scene[..., :64, 16:112], scene[..., :64, :96]
    tokens = torch.randn(1, DESCRIPTION, 16, 28)
    target, reference = tokens[..., 4:].clone(), tokens[..., :24]
    target[..., 4:10, 6:12] = tokens[..., 4:10, 12:18]  # whoever is there came from the right
    with torch.no_grad():
        found, match = matcher((frames[0], target), (frames[1], reference), (8, 12))
    assert found.shape == (1, 8, 8, 12)
    torch.testing.assert_close(match.window.sum(1), torch.ones(1, 16, 24))
    steps = match.steps[0].permute(1, 2, 0)
    mover = torch.zeros(16, 24, dtype=torch.bool)
    mover[5:9, 7:11] = True
    expected = torch.tensor([2.0, 0.0]).expand(16, 2)
    torch.testing.assert_close(steps[mover], expected, atol=0.1, rtol=0)
    rest = torch.ones(16, 24, dtype=torch.bool)
    rest[3:11, 5:13] = False
    rest[:, 18:] = False  # not in the reference
    assert steps[rest].abs().max() < 0.1


def test_a_match_is_told_to_the_part_grid_in_its_cells():
    motion = torch.tensor([[[0.1, 0.0, 0.25], [0.0, 0.0, -0.5]]])
    steps = torch.tensor([4.0, -2.0])[None, :, None, None].expand(1, 2, 24, 32)
    window, frame = torch.full((1, 121, 24, 32), 1 / 121), torch.zeros(1, 3, 96, 128)
    match = Match(window, steps, motion, (frame, frame), torch.zeros(1, 8, 24, 32))
    displacement, camera = match.on((6, 16))
    of_camera = camera.steps((6, 16))
    left = torch.tensor([2.0, -0.5]).expand(1, 96, 2)
    torch.testing.assert_close(displacement - of_camera, left)
    # at the first cell's centre: 1/16 - 1 and 1/6 - 1 of half the sides
    first = torch.tensor([(0.25 + 0.1 * (1 / 16 - 1)) * 8, -0.5 * 3])
    torch.testing.assert_close(of_camera[0, 0], first)


def test_only_matching_notices_that_the_reference_moved_though_its_parts_did_not():
    network = small(difference="matched")
    with torch.no_grad():
        target, reference = torch.rand(2, 1, 3, 64, 64)
        memory = network.encode_reference(reference)
        before = network.segment(target, memory)
        memory.frames = memory.frames.roll(9, 4)
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
