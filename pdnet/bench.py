"""What the network costs: ways of computing the same thing side by side, in one process, in turn,
by medians.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pdnet.base.parallel import peak_memory, progress
from pdnet.config import LossConfig, ModelConfig
from pdnet.inference.cost import MIB, PeakMemory, giga_macs
from pdnet.losses.parts import area_variance, geometric_concentration, semantic_consistency
from pdnet.losses.total import PDNetLoss
from pdnet.model import PDNet
from pdnet.model.device import choose_device
from pdnet.model.ipda import Memory, Parts


def medians(ways: dict[str, Callable[[], object]], rounds: int, what: str) -> dict[str, float]:
    """Seconds of each way: all ways in turn, `rounds` times after a warm-up, medians."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in progress(range(rounds + 1), what, unit="round"):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def loop_over_parts(network: PDNet, target: Parts, memory: Memory) -> Tensor:
    """O^k part by part, as the authors' code goes about it; for comparison only."""
    attention, p = network.attention, network.config.parts
    c, d = network.config.part_channels, network.config.attention_channels
    h, w = target.features.shape[-2:]
    found = []
    for k in range(p):
        query = F.conv2d(
            target.features[:, k * c : (k + 1) * c], attention.query.weight[k * d : (k + 1) * d]
        )
        scores = query.flatten(2).transpose(1, 2) @ memory.keys[:, 0, k].transpose(1, 2)
        found.append(
            (scores.softmax(-1) @ memory.values[:, 0, k]).transpose(1, 2).unflatten(2, (h, w))
        )
    return attention.output(torch.cat(found, 1))


def bench_model(
    config: ModelConfig, rounds: int, *, loss_batch: int = 1, device: str = "auto"
) -> dict[str, Any]:
    """All measurements of one network.

    Args:
        config: of the network; weights do not matter and are random.
        rounds: timed rounds of each comparison.
        loss_batch: batch of the part-loss comparison.

    Returns:
        parameters and GMACs by module, seconds of each way, ratios.
    """
    place = choose_device(device)
    torch.manual_seed(0)
    network = PDNet(config.model_copy(update={"weights": "none"})).eval().to(place)
    result: dict[str, Any] = {
        "config": config.model_dump(mode="json"),
        "device": str(place),
        "rounds": rounds,
    }
    with torch.no_grad():
        result.update(_costs(network, place))
        result.update(_passes(network, place, rounds))
    result.update(_part_losses(network, place, rounds, loss_batch))
    return result


def _costs(network: PDNet, device: torch.device) -> dict[str, Any]:
    x = torch.rand(1, 3, *network.config.input_size, device=device)
    memory = network.encode_reference(x)
    appearance, _ = network.encoder(x, False)
    parts = network.decoupling(appearance)
    motion = network.attention(parts, memory)
    calls = {
        "encoder.backbone": (network.encoder.backbone, lambda: network.encoder.backbone(x)),
        "encoder (whole)": (network.encoder, lambda: network.encoder(x, False)),
        "decoupling": (network.decoupling, lambda: network.decoupling(appearance)),
        "attention": (network.attention, lambda: network.attention(parts, memory)),
        "fusion": (network.fusion, lambda: network.fusion(appearance, motion)),
        "head": (network.head, lambda: network.head(appearance)),
    }
    modules = {
        name: {"parameters": sum(p.numel() for p in module.parameters()), "gmacs": giga_macs(call)}
        for name, (module, call) in calls.items()
    }
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "gmacs_pairwise": giga_macs(lambda: network(x, -x, auxiliary=False)),
        "gmacs_cached": giga_macs(lambda: network.segment(x, memory)),
        "modules": modules,
    }


def _passes(network: PDNet, device: torch.device, rounds: int) -> dict[str, Any]:
    x = torch.rand(1, 3, *network.config.input_size, device=device)
    other = torch.rand_like(x)
    last = x.contiguous(memory_format=torch.channels_last)
    twin = PDNet(network.config).eval().to(device, memory_format=torch.channels_last)
    twin.load_state_dict(network.state_dict())
    memory, twin_memory = network.encode_reference(other), twin.encode_reference(other)
    two = twin_memory.joined(twin.encode_reference(x))
    parts = network.decoupling(network.encoder(x, False)[0])
    seconds = medians(
        {
            "pairwise": lambda: twin(last, other, auxiliary=False),
            "cached reference": lambda: twin.segment(last, twin_memory),
            "cached, two references": lambda: twin.segment(last, two),
            "cached, channels first": lambda: network.segment(x, memory),
        },
        rounds,
        "passes",
    )
    loop = medians(
        {
            "attention, loop over parts": lambda: loop_over_parts(network, parts, memory),
            "attention, grouped": lambda: network.attention.correlate(parts, memory),
        },
        4 * rounds,
        "attention",
    )
    return {
        "seconds": {**seconds, **loop},
        "cached_speedup": seconds["pairwise"] / seconds["cached reference"],
        "second_reference_cost": seconds["cached, two references"] / seconds["cached reference"]
        - 1,
        "channels_last_speedup": seconds["cached, channels first"] / seconds["cached reference"],
        "grouped_speedup": loop["attention, loop over parts"] / loop["attention, grouped"],
    }


def _part_losses(network: PDNet, device: torch.device, rounds: int, batch: int) -> dict[str, Any]:
    """Forward and backward of L_geo, L_sem and L_area of one frame, on the part grid and at full
    size.

    The frozen features are computed before: they cost the same in both.
    """
    height, width = network.config.input_size
    grid = (height // 4 // network.config.downsample, width // 4 // network.config.downsample)
    p = network.config.parts
    logits = torch.randn(batch, p, *grid, device=device, requires_grad=True)
    saliency = torch.randn(batch, 1, *grid, device=device, requires_grad=True)
    mask = (torch.rand(batch, 1, height, width, device=device) > 0.5).float()
    features = torch.rand(batch, 512, max(1, height // 32), max(1, width // 32), device=device)
    basis = torch.rand(p, 512, device=device, requires_grad=True)

    def step(resolution: str) -> None:
        loss = PDNetLoss(LossConfig(resolution=resolution, semantic=0.0), parts=p)
        dummy = torch.empty(0, device=device)
        parts = Parts(dummy, logits, saliency, dummy, logits)  # of masks only the size is asked for
        truth, portrait, predictions = loss.on_one_grid(parts, mask)
        v = F.interpolate(features, size=truth.shape[-2:], mode="bilinear", align_corners=True)
        total = sum(
            geometric_concentration(y * predictions)
            + semantic_consistency(y * predictions, y, v, basis)
            + area_variance(y * predictions)
            for y in (truth, portrait)
        )
        torch.autograd.grad(total, (logits, saliency, basis))

    ways = {
        "part losses, full size": lambda: step("full"),
        "part losses, part grid": lambda: step("grid"),
    }
    peaks = {}
    for name, way in ways.items():
        with PeakMemory() as memory:
            way()
        peaks[name] = memory.peak / MIB
    seconds = medians(ways, max(2, rounds // 2), "part losses")
    full, on_grid = ways
    return {
        "part_loss_seconds": seconds,
        "part_loss_peak_mib": peaks,
        "part_loss_time_ratio": seconds[full] / seconds[on_grid],
        "part_loss_memory_ratio": peaks[full] / peaks[on_grid],
    }


def bench_step(
    model: ModelConfig, loss: LossConfig, *, batch: int, rounds: int, device: str = "auto"
) -> dict[str, Any]:
    """Time and peak memory of a whole training step: forward of both frames, all losses, backward,
    update.

    Args:
        model, loss: parameters; weights do not matter and are random.
        batch: pairs of frames.
        rounds: timed steps after the first.

    Returns:
        seconds (median), peak_gib (of the process on a CPU, of the tensors on a GPU), start_gib
        (before the network).
    """
    place = choose_device(device)
    torch.manual_seed(0)
    start = peak_memory()
    network = (
        PDNet(model.model_copy(update={"weights": "none"}))
        .to(place, memory_format=torch.channels_last)
        .train()
    )
    losses = PDNetLoss(
        loss.model_copy(update={"feature_weights": "none"}),
        parts=model.parts,
        activation=model.part_activation,
        has_parts=network.has_parts,
    ).to(place)
    optimiser = torch.optim.SGD(
        [*network.parameters(), *losses.parameters()], lr=1e-4, momentum=0.9
    )
    frames = torch.rand(2, batch, 3, *model.input_size, device=place)
    masks = (torch.rand(2, batch, 1, *model.input_size, device=place) > 0.5).float()

    def step() -> None:
        output = network(*(network.encoder.normalise(frame) for frame in frames))
        terms = losses.video_step(
            output, target=frames[0], reference=frames[1], mask=masks[0], reference_mask=masks[1]
        )
        optimiser.zero_grad(set_to_none=True)
        terms["total"].backward()
        optimiser.step()

    seconds = medians({"step": step}, rounds, "training step")["step"]
    return {
        "device": str(place),
        "batch": batch,
        "seconds": seconds,
        "start_gib": start,
        "peak_gib": peak_memory(),
    }


def table(result: dict[str, Any]) -> str:
    """The measurements as text."""
    lines = [
        f"{result['config']['backbone']}, p = {result['config']['parts']}, on {result['device']}"
    ]
    lines.append(f"{'module':24s} {'parameters':>12s} {'GMACs':>8s}")
    for name, row in result["modules"].items():
        lines.append(f"{name:24s} {row['parameters']:12,d} {row['gmacs']:8.2f}")
    lines.append(
        f"{'all, pairwise':24s} {result['parameters']:12,d} {result['gmacs_pairwise']:8.2f}"
    )
    lines.append(f"{'all, cached reference':24s} {'':12s} {result['gmacs_cached']:8.2f}")
    for name, value in {**result["seconds"], **result["part_loss_seconds"]}.items():
        peak = result["part_loss_peak_mib"].get(name)
        lines.append(
            f"{name:28s} {1000 * value:10.2f} ms"
            + (f" {peak:10.1f} MiB" if peak is not None else "")
        )
    lines.append(
        f"cached reference: {result['cached_speedup']:.2f} x the frames per second of pairwise"
    )
    lines.append(f"second reference: {100 * result['second_reference_cost']:+.1f} % time")
    lines.append(
        f"channels last: {result['channels_last_speedup']:.2f} x, grouped: "
        f"{result['grouped_speedup']:.2f} x"
    )
    lines.append(
        f"part losses on the grid: {result['part_loss_time_ratio']:.0f} x faster, "
        f"1/{result['part_loss_memory_ratio']:.0f} of the memory"
    )
    return "\n".join(lines)
