"""The training losses of a video step and of an image step, term by term."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pdnet.config import LossConfig
from pdnet.losses.correspondence import correspondence, near_correspondence
from pdnet.losses.equivariance import equivariance
from pdnet.losses.grid import on_grid
from pdnet.losses.parts import (
    area_variance,
    geometric_concentration,
    orthonormality,
    person_concentration,
    semantic_consistency,
)
from pdnet.losses.people import nearest_person, place_in_person
from pdnet.losses.segmentation import segmentation_loss
from pdnet.losses.steps import naming_error, step_error
from pdnet.model.backbone import build_backbone, load_pretrained
from pdnet.model.blocks import resize
from pdnet.model.ipda import Parts, part_predictions
from pdnet.model.pdnet import Output

PLACES = 4  # channels of `place_in_person`


class FeatureNetwork(nn.Module):
    """The frozen classifier whose features tell parts apart (a ResNet-18 in the paper); not used at
    inference.
    """

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.backbone = build_backbone(config.feature_network, config.feature_layer + 1)
        load_pretrained(self.backbone, config.feature_network, config.feature_weights)
        self.layer, self.unit = config.feature_layer, config.feature_normalise
        self.channels = self.backbone.channels[self.layer]
        self.register_buffer(
            "mean", torch.tensor(self.backbone.mean).view(1, 3, 1, 1), persistent=False
        )
        self.register_buffer(
            "std", torch.tensor(self.backbone.std).view(1, 3, 1, 1), persistent=False
        )
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> FeatureNetwork:
        """Stays in evaluation mode whatever is asked: its batch norms never move."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in 0..1 -> non-negative features (B, C, H/s, W/s)."""
        # ReLU again: some backbones' last layer of a stage is linear
        features = self.backbone((image - self.mean) / self.std)[self.layer].relu()
        return F.normalize(features, dim=1) if self.unit else features


class PDNetLoss(nn.Module):
    """All losses of section 4.4. The part basis is a parameter and is trained with the heads.

    Args:
        config: weights and readings.
        parts: p of the network; with p = 1 the part losses are off, as in the paper's Table 4.
        activation: the model's part activation.
        has_parts: False for the network without IPDA.
    """

    def __init__(
        self,
        config: LossConfig,
        *,
        parts: int,
        activation: str = "softmax",
        has_parts: bool = True,
    ) -> None:
        super().__init__()
        self.config, self.activation = config, activation
        self.part_losses = has_parts and parts > 1
        self.semantic = self.part_losses and config.semantic > 0
        if self.semantic:
            self.features = FeatureNetwork(config)
            channels = self.features.channels + (PLACES if config.semantic_place else 0)
            basis = torch.randn(parts, channels).abs()
            # at the features' scale: |N(0, 1)| rows are as long as unreduced features, ten times
            # unit ones
            self.basis = nn.Parameter(F.normalize(basis, dim=1) if self.features.unit else basis)

    def video_step(
        self,
        output: Output,
        *,
        target: Tensor,
        reference: Tensor,
        mask: Tensor,
        reference_mask: Tensor,
        steps: Tensor | None = None,
        body_parts: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Loss of a pair of frames.

        Args:
            output: of the pairwise forward, with auxiliary logits.
            target, reference: (B, 3, H, W) RGB in 0..1, for the feature network.
            mask, reference_mask: (B, 1, H, W) in 0..1.
            steps, body_parts: where they are learned, the truth, see `losses.steps`; parts of the
                target and of the reference.

        Returns:
            `total` and its terms, each already weighted.
        """
        c = self.config
        terms = {"final": segmentation_loss(output.logits, mask, c)}
        terms |= self._maps(output.auxiliary_logits, output.parts, mask)
        if output.reference_auxiliary_logits is not None:
            maps = self._maps(
                output.reference_auxiliary_logits, output.reference_parts, reference_mask
            )
            terms["reference"] = c.reference * sum(maps.values())
        if self.part_losses:
            own = self.part_terms(output.parts, target, mask)
            other = self.part_terms(output.reference_parts, reference, reference_mask)
            for name in own:
                terms[name] = c.parts * (own[name] + c.reference * other[name])
        if c.correspondence and output.correlation is not None:
            terms["correspondence"] = c.correspondence * self._found_again(
                output, target, reference
            )
        if c.steps:
            terms["steps"] = c.steps * step_error(output.correlation.learned.steps, steps, mask)
        if c.body_parts:
            pairs = zip(output.correlation.learned.body_parts, body_parts, strict=True)
            terms["body_parts"] = c.body_parts * sum(naming_error(*pair) for pair in pairs)
        terms["total"] = sum(terms.values())
        return terms

    def _found_again(self, output: Output, target: Tensor, reference: Tensor) -> Tensor:
        """How far attention, and matching, are from gathering the target's colours."""
        found, costs = output.correlation, []
        if found.weights is not None:
            grid = output.parts.masks.shape[-2:]
            costs.append(correspondence(found.weights, target, reference, grid))
        costs += [near_correspondence(one.window, *one.frames) for one in found.matches]
        return sum(costs)

    def following(self, warped: Parts, parts: Parts, mask: Tensor, warps: Tensor) -> Tensor:
        """How far the parts of warped pictures are from the warped parts of the pictures, weighted.

        Args:
            warped, parts: of the warped pictures and of the pictures.
            mask: (B, 1, H, W) in 0..1, of the pictures.
            warps: see `equivariance.draw_warps`.
        """
        truth = on_grid(mask, parts.masks.shape[-2:])
        cost = equivariance(warped.predictions, parts.predictions, truth, warps)
        return self.config.equivariance * cost

    def image_step(self, output: Output, mask: Tensor) -> dict[str, Tensor]:
        """Loss of single images (target = reference = image): final and auxiliary maps, no part
        losses.
        """
        terms = {"final": segmentation_loss(output.logits, mask, self.config)}
        terms |= self._maps(output.auxiliary_logits, output.parts, mask)
        terms["total"] = sum(terms.values())
        return terms

    def part_terms(self, parts: Parts, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """eqs. (6) and (7) of one frame: parts masked by the truth and by the saliency, combined.

        Args:
            parts: of the frame.
            image: (B, 3, H, W) RGB in 0..1.
            mask: (B, 1, H, W).
        """
        c = self.config
        truth, saliency, predictions = self.on_one_grid(parts, mask)
        true_masks, predicted_masks = truth * predictions, saliency * predictions

        def combined(of_truth: Tensor, of_saliency: Tensor) -> Tensor:
            # the authors' code halves only the second term; eq. (6) halves both
            if c.combine == "official":
                return of_truth + of_saliency / 2
            return (of_truth + of_saliency) / 2

        terms = {}
        by_person = c.concentration == "person" or c.semantic_place
        person = nearest_person(truth) if by_person else None

        def concentration(masks: Tensor) -> Tensor:
            if c.concentration == "person":
                return person_concentration(masks, person, c.smoothing)
            return geometric_concentration(masks, c.smoothing)

        if c.geometric:
            terms["geometric"] = c.geometric * combined(
                concentration(true_masks), concentration(predicted_masks)
            )
        if self.semantic:
            features = resize(self.features(image), truth.shape[-2:])
            if c.semantic_place:
                places = c.semantic_place * place_in_person(truth, person)
                features = torch.cat([features, places.to(features.dtype)], 1)
            known = {"features": features, "basis": self.basis, "mean": c.semantic_mean}
            terms["semantic"] = c.semantic * combined(
                semantic_consistency(true_masks, truth, **known),
                semantic_consistency(predicted_masks, saliency, **known),
            )
            if c.orthonormal:
                terms["orthonormal"] = c.orthonormal * orthonormality(self.basis)
        if c.area:
            both = area_variance(true_masks) + area_variance(predicted_masks)
            terms["area"] = c.area * both / 2  # halved in the paper and the authors' code alike
        return terms

    def on_one_grid(self, parts: Parts, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Truth, saliency and part predictions on the part grid, or all at full size as the authors
        have it.
        """
        if self.config.resolution == "grid":
            truth = on_grid(mask, parts.masks.shape[-2:])
            saliency, logits = parts.saliency_logits.float(), parts.logits.float()
        else:
            truth = mask.float()
            saliency = resize(parts.saliency_logits.float(), mask.shape[-2:])
            logits = resize(parts.logits.float(), mask.shape[-2:])
        return truth, saliency.sigmoid(), part_predictions(logits, self.activation)

    def _maps(
        self, auxiliary: list[Tensor], parts: Parts | None, mask: Tensor
    ) -> dict[str, Tensor]:
        """A frame's auxiliary maps and its saliency map against its mask, weighted."""
        c = self.config
        heads = sum(segmentation_loss(logits, mask, c) for logits in auxiliary)
        maps = {"auxiliary": c.auxiliary * heads}
        if parts is not None:
            maps["saliency"] = c.saliency * segmentation_loss(parts.saliency_logits, mask, c)
        return maps
