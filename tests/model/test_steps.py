"""A head that says how far parts have moved: what it looks at, and that it learns."""

from __future__ import annotations

import numpy as np
import torch

from pdnet.data.skeleton import KINDS
from pdnet.inference.segment import ClipSegmenter
from pdnet.model.steps import BODY_PARTS, DILATIONS
from tests.helpers import small

LEARNED = {"difference": "matched", "steps": "learned"}


def frames() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.rand(2, 3, 64, 96), torch.rand(2, 3, 64, 96)


def test_it_names_what_the_renderer_draws():
    assert len(KINDS) == BODY_PARTS


def test_its_layers_see_as_far_as_they_say():
    assert sum(DILATIONS) == 16


def test_without_the_parameter_the_network_has_no_new_weights_and_the_same_masks():
    assert not [name for name in small(difference="matched").state_dict() if "steps" in name]
    target, reference = frames()
    with torch.no_grad():
        plain = small(difference="matched")
        state = {k: v for k, v in small(**LEARNED).state_dict().items() if k in plain.state_dict()}
        plain.load_state_dict(state)
        logits = [one(target, reference).logits for one in (plain, small(**LEARNED))]
    torch.testing.assert_close(*logits, rtol=0, atol=0)


def test_nothing_has_moved_before_it_learned_anything():
    output = small(**LEARNED)(*frames())
    assert output.correlation.learned.steps.shape == (2, 2, 16, 24)
    assert not output.correlation.learned.steps.any()


def test_steps_and_names_teach_the_encoder_too():
    network = small(**LEARNED).train()
    torch.nn.init.normal_(network.steps.read.weight)
    learned = network(*frames()).correlation.learned
    assert [names.shape for names in learned.body_parts] == [(2, 1 + BODY_PARTS, 16, 24)] * 2
    cost = learned.steps.square().mean() + sum(one.square().mean() for one in learned.body_parts)
    cost.backward()
    for part in (network.steps, network.encoder.backbone):
        moved = [p.grad is not None and bool(p.grad.any()) for p in part.parameters()]
        assert np.mean(moved) > 0.9


def test_another_first_frame_gives_other_steps():
    network = small(**LEARNED)
    torch.nn.init.normal_(network.steps.read.weight)
    (target, other), (first, _) = (batch.split(1) for batch in frames())
    with torch.no_grad():
        steps = [network(target, one).correlation.learned.steps for one in (first, other)]
    assert not torch.allclose(*steps)


def test_what_is_said_of_a_clips_frame_is_in_shares_of_the_frame():
    """A head that says 2 tokens right and 1 up everywhere, of 24 x 16 tokens."""
    network = small(**LEARNED, input_size=(64, 96))
    with torch.no_grad():
        network.steps.read.bias.copy_(torch.tensor([2.0, -1.0]))
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 255, (3, 48, 72, 3), dtype=np.uint8)
    seen = ClipSegmenter(network, clip.__getitem__, len(clip)).segment(2)
    assert seen.part_steps.shape == (*seen.part_masks.shape, 2)
    np.testing.assert_allclose(seen.part_steps[..., 0], 2 / 24, rtol=1e-4)
    np.testing.assert_allclose(seen.part_steps[..., 1], -1 / 16, rtol=1e-4)
