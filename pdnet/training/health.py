"""Are the parts alive? Signals of an epoch that tell collapse early."""

from __future__ import annotations

import torch
from torch import Tensor

from pdnet.losses.parts import area_variance
from pdnet.model.ipda import Parts

LIVE_SHARE = 0.01  # a part with less of the portrait's area is dead


@torch.no_grad()
def part_health(parts: Parts, basis: Tensor | None = None) -> dict[str, float]:
    """Signals of one batch of part maps.

    Args:
        parts: of the batch.
        basis: (p, C) part vectors of the semantic loss, if there are any.

    Returns:
        live_parts: how many hold more than 1 % of the portrait; entropy of a portrait pixel's
            part distribution
        (0 ... log p); centre_spread: mean distance of the parts' centres from their mean, in half
        frame sides;
        area_variance: eq. (3); basis_cosine: mean cosine between different parts' vectors.
    """
    masks = parts.masks.float()
    areas = masks.sum((0, 2, 3))
    # over the batch: a part may well be hidden in one frame
    shares = areas / areas.sum().clamp_min(1e-6)
    health = {"live_parts": float((shares > LIVE_SHARE).sum())}
    # background pixels may split as they like: only the portrait's entropy matters
    weight = parts.saliency_logits.float().sigmoid()
    entropy = -(parts.predictions.float().clamp_min(1e-8).log() * parts.predictions.float()).sum(
        1, keepdim=True
    )
    health["entropy"] = float((entropy * weight).sum() / weight.sum().clamp_min(1e-6))
    health["centre_spread"] = float(_spread(masks))
    health["area_variance"] = float(area_variance(masks)) if masks.shape[1] > 1 else 0.0
    if basis is not None:
        rows = torch.nn.functional.normalize(basis.relu(), dim=1)
        cosines = rows @ rows.T
        p = len(rows)
        health["basis_cosine"] = float((cosines.sum() - cosines.diagonal().sum()) / (p * (p - 1)))
    return health


def _spread(masks: Tensor) -> Tensor:
    h, w = masks.shape[-2:]
    v = torch.linspace(-1, 1, h, device=masks.device).view(1, 1, h, 1)
    u = torch.linspace(-1, 1, w, device=masks.device).view(1, 1, 1, w)
    total = masks.sum((2, 3)).clamp_min(1e-6)
    centres = torch.stack([(masks * v).sum((2, 3)) / total, (masks * u).sum((2, 3)) / total], -1)
    return (centres - centres.mean(1, keepdim=True)).norm(dim=-1).mean()
