"""The command line: every stage without DVC, scoring, and masks for one's own videos."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Optional

import typer

from pdnet.errors import InputError

app = typer.Typer(
    help="PDNet: finds the people in a video. Each stage of the pipeline can be run from here without DVC; "
    "`dvc repro` runs them all.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
Params = Annotated[Path, typer.Option("--params", help="Parameter file.")]
PARAMS = Path("params.yaml")


def one_line_errors(command: Callable) -> Callable:
    """Turns what a user can mend into text and exit status 2."""

    @functools.wraps(command)
    def wrapped(*args: object, **kwargs: object) -> object:
        try:
            return command(*args, **kwargs)
        except InputError as error:
            sys.stderr.write(f"error: {error}\n")
        except OSError as error:
            sys.stderr.write(f"error: {error.filename or ''}: {error.strerror or error}; check space and rights\n")
        raise typer.Exit(2)

    return wrapped


def _add_stage(name: str, module: str, does: str) -> None:
    """A command `name` that calls `<module>.<name>_stage(config)`."""

    def command(params: Params = PARAMS) -> None:
        from pdnet.config import load_config

        getattr(importlib.import_module(module), f"{name}_stage")(load_config(params))

    app.command(name, help=does)(one_line_errors(command))


_add_stage("download", "pdnet.stages", "Bring the clips of `data.source` to data/raw (MVPS layout) and check them.")
_add_stage("preprocess", "pdnet.stages", "Resize data/raw to the working copy data/480p; resumes, skips what is done.")


@app.command()
@one_line_errors
def train(
    params: Params = PARAMS,
    data: Annotated[Path, typer.Option(help="Working copy in the MVPS layout.")] = Path("data/480p"),
    out: Annotated[Path, typer.Option(help="Folder for model, state and tables.")] = Path("models"),
) -> None:
    """Train PDNet. Ctrl-C saves; the same command resumes exactly where it stopped."""
    from pdnet.config import load_config
    from pdnet.stages import train_stage
    from pdnet.training.recipe import Stopped

    try:
        print(train_stage(load_config(params), data, out))
    except Stopped as stopped:
        sys.stderr.write(f"\n{stopped}\n")
        raise typer.Exit(130) from stopped


@app.command()
@one_line_errors
def predict(
    params: Params = PARAMS,
    data: Annotated[Path, typer.Option(help="Working copy in the MVPS layout.")] = Path("data/480p"),
    checkpoint: Annotated[Path, typer.Option(help="Trained network.")] = Path("models/pdnet.safetensors"),
    out: Annotated[Path, typer.Option(help="Folder for masks and results.")] = Path("results"),
) -> None:
    """Predict and score the evaluation split with a trained network."""
    from pdnet.config import load_config
    from pdnet.stages import evaluate_stage

    for name, value in evaluate_stage(load_config(params), data, checkpoint, out).items():
        print(f"{name:24s} {value:7.2f}")


@app.command()
@one_line_errors
def evaluate(
    pred_dir: Annotated[Path, typer.Argument(help="Predictions, <clip>/<frame>.png, 0/255.")],
    dataset_root: Annotated[Path, typer.Argument(help="Data set in the MVPS layout.")],
    set_name: Annotated[str, typer.Option("--set", help="Split list: train or val.")] = "val",
    include_first_last: Annotated[bool, typer.Option(help="Score each clip's first and last frame too.")] = False,
    threshold: Annotated[
        Optional[float], typer.Option(min=0.0, max=1.0, help="Cut grey predictions at this share of 255.")
    ] = None,
    out: Annotated[Optional[Path], typer.Option(help="Folder for the result files (default: PRED_DIR).")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 for all cores.")] = 0,
) -> None:
    """Score a folder of masks with J and F as the MVPS evaluator does, and write its CSV files.

    Example: pdnet evaluate results/predictions data/480p --out results
    """
    from pdnet.metrics.evaluator import overall, score_folder, write_results

    if set_name not in ("train", "val"):
        raise InputError(f"--set {set_name}: expected train or val")
    scores = score_folder(pred_dir, dataset_root, set_name, include_first_last, threshold, workers)
    write_results(scores, out or pred_dir, set_name)
    width = max(len(name) for name in scores)
    total = overall(scores)
    print(" ".join([" " * width, *(f"{column:>8s}" for column in total)]))
    for name, row in [*((n, s.row()) for n, s in scores.items()), ("all clips", total)]:
        print(" ".join([f"{name:{width}s}", *(f"{100 * value:8.2f}" for value in row.values())]))


_add_stage("imbalance", "pdnet.science", "Render the series in which limbs move ever faster, to data/imbalance.")
_add_stage("references", "pdnet.science", "Score the trained network with other reference frames (Table 5).")


@app.command()
@one_line_errors
def tables(params: Params = PARAMS) -> None:
    """Write Tables 3, 4, 5 and the imbalance experiment to results/tables."""
    from pdnet.science import tables_stage

    tables_stage(params)


@app.command()
@one_line_errors
def ablate(
    variant: Annotated[str, typer.Argument(help="A name under ablation.variants of the parameter file.")],
    params: Params = PARAMS,
) -> None:
    """Train and score one variant with every seed, to results/ablation/VARIANT; seeds that are done are kept."""
    from pdnet.science import ablation_stage

    ablation_stage(params, variant)


@app.command()
@one_line_errors
def notebooks(
    names: Annotated[Optional[list[str]], typer.Argument(help="Without a name all of notebooks/.")] = None,
    params: Params = PARAMS,
) -> None:
    """Execute notebooks and write them to reports/NAME.html."""
    from pdnet.config import load_config
    from pdnet.notebook import execute_all

    for page in execute_all(load_config(params), names or []):
        print(page)


@app.command()
@one_line_errors
def segment(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A video file or a folder of frames.")],
    out: Annotated[Optional[Path], typer.Option("--out", "-o", help="Folder for masks (default: INPUT-masks).")] = None,
    checkpoint: Annotated[Path, typer.Option(help="Trained network.")] = Path("models/pdnet.safetensors"),
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="On the probability.")] = 0.5,
    overlay: Annotated[bool, typer.Option(help="Also write overlay.mp4.")] = False,
) -> None:
    """Find the people in your own video: one 0/255 mask per frame.

    Example: pdnet segment holiday.mp4 --overlay
    """
    from pdnet.own_video import segment_video

    folder = out or source.with_name(source.stem + "-masks")
    count = segment_video(source, folder, checkpoint, threshold, overlay)
    print(f"{count} masks in {folder}")


bench = typer.Typer(help="Measure ways of computing the same thing, side by side in one process.", no_args_is_help=True)
app.add_typer(bench, name="bench")
Backbone = Annotated[str, typer.Option(help="torchvision or timm name.")]
Side = Annotated[int, typer.Option(min=32, help="Side of the square input.")]


@bench.command("model")
@one_line_errors
def bench_model(
    backbone: Backbone = "resnet50",
    size: Side = 480,
    parts: Annotated[int, typer.Option(min=2)] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds.")] = 5,
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON file.")] = Path("bench-model.json"),
) -> None:
    """Cost of the network: cached reference, grouped parts, part losses on the grid; prints a table, writes JSON."""
    from pdnet.bench import bench_model as measure
    from pdnet.bench import table
    from pdnet.config import checked
    from pdnet.files import write_json

    result = measure(checked("model", backbone=backbone, input_size=(size, size), parts=parts), rounds)
    write_json(out, result)
    print(table(result))


@bench.command("step")
@one_line_errors
def bench_step(
    backbone: Backbone = "resnet50",
    size: Side = 480,
    parts: Annotated[int, typer.Option(min=1)] = 5,
    batch: Annotated[int, typer.Option(min=1, help="Pairs of frames.")] = 4,
    checkpointing: Annotated[bool, typer.Option(help="Recompute the backbone instead of keeping it.")] = False,
    resolution: Annotated[str, typer.Option(help="Of the part losses: grid or full.")] = "grid",
    rounds: Annotated[int, typer.Option(min=1, help="Timed steps.")] = 1,
) -> None:
    """Time and peak memory of a whole training step (both frames, all losses, backward, update)."""
    from pdnet.bench import bench_step as measure
    from pdnet.config import checked

    model = checked("model", backbone=backbone, input_size=(size, size), parts=parts, checkpointing=checkpointing)
    result = measure(model, checked("loss", resolution=resolution), batch, rounds)
    print(f"{backbone}, {size}x{size}, p = {parts}, batch {batch}, on {result['device']}: {result['seconds']:.1f} s")
    print(f"peak memory {result['peak_gib']:.2f} GiB, {result['start_gib']:.2f} GiB of it before the network")


@app.command("import-official")
@one_line_errors
def import_official(
    file: Annotated[Path, typer.Argument(help="A checkpoint of the authors' release (.pth).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Our checkpoint.")] = Path("pdnet-official.safetensors"),
) -> None:
    """Convert a checkpoint of the authors' release (ResNet-50 or -101) to this project's format."""
    from pdnet.checkpoint import save_network
    from pdnet.model.backbone import read_weight_file
    from pdnet.official import network_from_state_dict

    network = network_from_state_dict(read_weight_file(file))
    save_network(network, out, {"source": file.name})
    print(f"{out}: {network.config.backbone}, {network.config.parts} parts")


@app.command("export-official")
@one_line_errors
def export_official(
    checkpoint: Annotated[Path, typer.Argument(help="Our checkpoint.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File in the authors' format.")] = Path("pdnet-official.pth"),
) -> None:
    """Convert a checkpoint back to the authors' entries."""
    import torch

    from pdnet.checkpoint import load_network
    from pdnet.files import write_atomically
    from pdnet.official import state_dict_from_network

    state = state_dict_from_network(load_network(checkpoint))
    write_atomically(out, lambda temporary: torch.save(state, temporary))
    print(f"{out}: {len(state)} entries")


if __name__ == "__main__":
    app()
