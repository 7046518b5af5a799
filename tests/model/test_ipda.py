"""Part-to-part attention: against a loop, and what each reading of the paper changes."""

from __future__ import annotations

import pytest
import torch

from pdnet.model import PDNet
from tests.helpers import small


def test_attention_equals_a_loop_over_parts():
    network = small()
    with torch.no_grad():
        parts = [
            network.decoupling(network.encoder(torch.rand(2, 3, 64, 96), False)[0])
            for _ in range(2)
        ]
        ipda, c, d = network.attention, 8, 8
        found = []
        for k in range(3):

            def cut(conv, x, k=k):
                return torch.nn.functional.conv2d(
                    x[:, k * c : (k + 1) * c], conv.weight[k * d : (k + 1) * d]
                ).flatten(2)

            q, keys, values = (
                cut(ipda.query, parts[0].features),
                cut(ipda.key, parts[1].features),
                cut(ipda.value, parts[1].features),
            )
            found.append(
                (torch.softmax(q.transpose(1, 2) @ keys, -1) @ values.transpose(1, 2)).transpose(
                    1, 2
                )
            )
        expected = ipda.output(torch.cat(found, 1).view(2, 3 * d, 4, 6))
        ours = ipda.correlate(parts[0], ipda.remember(parts[1])).features
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fusion", ["mean", "concat_tokens"])
def test_a_reference_given_twice_changes_nothing(fusion):
    network = small(reference_fusion=fusion)
    with torch.no_grad():
        target, reference = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
        memory = network.encode_reference(reference)
        once = network.segment(target, memory).logits
        twice = network.segment(target, memory.joined(memory)).logits
    torch.testing.assert_close(once, twice, rtol=1e-4, atol=1e-5)


def test_attention_weights_sum_to_one():
    network = small(mask_keys="part")
    with torch.no_grad():
        parts = network.decoupling(network.encoder(torch.rand(1, 3, 64, 64), False)[0])
        memory = network.attention.remember(parts)
        weights = network.attention.weights(parts, memory.joined(memory))
    assert weights.shape == (1, 2, 3, 16, 16)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 3, 16))


def motions(**changes) -> tuple[torch.Tensor, PDNet]:
    network = small(**changes)
    torch.manual_seed(1)
    with torch.no_grad():
        return network(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)), network


def test_the_residual_adds_the_targets_own_parts_and_nothing_else():
    (with_it, _), (without, _) = motions(residual=True), motions(residual=False)
    parts = with_it.parts
    own = (parts.features.view(1, 3, 8, 4, 4) * parts.masks[:, :, None]).sum(1)
    torch.testing.assert_close(with_it.motion - without.motion, own, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(with_it.parts.masks, without.parts.masks)


def test_the_scale_divides_the_scores_by_sqrt_d():
    (_, plain), (scaled, _) = motions(), motions(attention_scale="sqrt_d")
    with torch.no_grad():
        plain.attention.query.weight.mul_(8**-0.5)  # d = 8
        torch.manual_seed(1)
        again = plain(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64))
    torch.testing.assert_close(again.motion, scaled.motion, rtol=1e-4, atol=1e-5)


def test_the_background_channel_takes_its_share_of_the_softmax():
    output, _ = motions(part_activation="softmax_background")
    assert output.part_logits.shape[1] == 4 and output.parts.predictions.shape[1] == 3
    torch.testing.assert_close(output.parts.predictions, output.part_logits.softmax(1)[:, :3])


def test_masked_keys_are_not_looked_at():
    network = small(mask_keys="saliency")
    with torch.no_grad():
        parts = network.decoupling(network.encoder(torch.rand(1, 3, 64, 64), False)[0])
        parts.saliency_logits[:] = -1e4
        parts.saliency_logits[..., 2, 1] = 1e4
        weights = network.attention.weights(parts, network.attention.remember(parts))
    assert (weights[..., 2 * 4 + 1] > 0.9).float().mean() > 0.9
