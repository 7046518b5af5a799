"""Self-supervision of the parts: geometric concentration, semantic consistency, area variance,
orthonormality.

The first two and the last come from SCOPS (Hung et al., CVPR 2019) in the form that PDNet uses:
parts are masked by the portrait (true or predicted) instead of having a background channel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pdnet.losses.people import one_at_a_time
from pdnet.losses.precision import at_least_single

EPSILON = 1e-7  # the authors' constant in denominators


def geometric_concentration(masks: Tensor, smoothing: float = 0.0) -> Tensor:
    """How far each part's pixels lie from its centre, in squared units of half the image's side.

    sum_k sum_uv |(u, v) - c_k|^2 R_k(u, v) / z_k, mean over the batch.

    Args:
        masks: (B, p, h, w) part masks R, in 0..1.
        smoothing: added to every pixel before normalising. With 0 (the authors) an empty part costs
            nothing, which rewards dead parts; SCOPS adds 1e-3.
    """
    masks = at_least_single(masks)
    h, w = masks.shape[-2:]
    # -1 to just below 1, the authors' grid: not symmetric, which shifts every centre alike
    v = (2.0 * torch.arange(h, device=masks.device, dtype=masks.dtype) / h - 1).view(1, 1, h, 1)
    u = (2.0 * torch.arange(w, device=masks.device, dtype=masks.dtype) / w - 1).view(1, 1, 1, w)
    masks = masks + smoothing
    share = masks / (masks.sum((2, 3), keepdim=True) + EPSILON)
    centre_v = (share * v).sum((2, 3), keepdim=True)
    centre_u = (share * u).sum((2, 3), keepdim=True)
    return (((v - centre_v) ** 2 + (u - centre_u) ** 2) * share).sum((1, 2, 3)).mean()


def person_concentration(masks: Tensor, person: Tensor, smoothing: float = 0.0) -> Tensor:
    """`geometric_concentration` of one person at a time, so that a part may be on each of several
    people; mean over the people.

    Args:
        masks: (B, p, h, w) part masks R, in 0..1.
        person: (B, h, w) of `people.nearest_person`.
        smoothing: see `geometric_concentration`.
    """
    pictures, cells = one_at_a_time(person)
    return geometric_concentration(masks[pictures] * cells, smoothing)


def semantic_consistency(
    masks: Tensor, portrait: Tensor, features: Tensor, basis: Tensor, *, mean: str = "pixels"
) -> Tensor:
    """Squared difference of the portrait's features and their reconstruction from one vector per
    part.

    |Y * V - sum_k R_k ReLU(w_k)|^2, averaged as `mean` says.

    Args:
        masks: (B, p, h, w) part masks R.
        portrait: (B, 1, h, w) true or predicted portrait Y in 0..1.
        features: (B, C, h, w) of the frozen network, non-negative.
        basis: (p, C) part vectors.
        mean: `pixels` is the authors' mean over batch, channels and all pixels, most of which are
            background and cost nothing; `portrait` sums the channels and averages over the
            portrait's pixels, so that with features of unit length parts that explain nothing cost
            1.
    """
    rebuilt = torch.einsum("bkhw,kc->bchw", masks, basis.relu().to(masks.dtype))
    rebuilt, wanted = at_least_single(rebuilt), at_least_single(portrait * features)
    if mean == "pixels":
        return F.mse_loss(rebuilt, wanted)
    # the size is a constant: else a larger predicted portrait would be a cheaper one
    size = at_least_single(portrait).detach().sum()
    return (rebuilt - wanted).square().sum() / size.clamp_min(1.0)


def area_variance(masks: Tensor) -> Tensor:
    """Eqs. (3) and (4): variance over the parts of their areas, scaled to unit length; mean over
    the batch.

    The variance is the unbiased one, as in the authors' code: 0 for equal parts, 1/p for one part
    that has all.
    """
    masks = at_least_single(masks)
    # by its length, so that a large person and a small one count alike
    areas = F.normalize(masks.sum((2, 3)), dim=1, eps=1e-12)
    return areas.var(1, unbiased=True).mean()


def orthonormality(basis: Tensor) -> Tensor:
    """|W W^T - I|^2 of the rows of ReLU(W), scaled to unit length; (p, C) -> scalar."""
    rows = F.normalize(basis.relu(), dim=1)
    return ((rows @ rows.T - torch.eye(len(rows), device=rows.device, dtype=rows.dtype)) ** 2).sum()
