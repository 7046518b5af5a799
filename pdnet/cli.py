"""The command line: every stage without DVC, scoring, and masks for one's own videos."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Optional

import typer

from pdnet.base.command import one_line_errors
from pdnet.config import CHECKPOINT, LEFT_OUT, MODELS, PARAMS, RESULTS, STUDY, WORKING, Config
from pdnet.errors import InputError

app = typer.Typer(
    help="PDNet: finds the people in a video. Each stage of the pipeline can be run from here "
    "without DVC; `dvc repro` runs them all.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Params = Annotated[Path, typer.Option("--params", help="Parameter file.")]
Values = Annotated[
    Optional[list[str]],
    typer.Option(
        "--set",
        "-S",
        metavar="NAME=VALUE",
        help="A parameter for this run alone, as in `dvc exp run -S`, any number of times.",
    ),
]
Device = Annotated[
    Optional[str], typer.Option(help="auto, cpu, cuda, cuda:1 ...; without it machine.device.")
]
Shard = Annotated[
    str,
    typer.Option(
        help="Part of the trainings that this machine does, as 1/2; put what all machines leave "
        "in models/ together and run once more for the tables of all."
    ),
]
RowsToTrain = Annotated[
    Optional[list[str]],
    typer.Option(
        help="A row to train, as no-ipda; can be given several times. Without it all. With "
        "--shard 1/3 the first of three of its trainings."
    ),
]
Checkpoint = Annotated[Path, typer.Option(help="Trained network.")]
Port = Annotated[int, typer.Option(help="The first one that is tried.", min=1, max=65535)]
Browser = Annotated[bool, typer.Option(help="Open a browser.")]


def _tell_version(wanted: bool) -> None:
    if wanted:
        print(f"pdnet {version('pdnet')}")
        raise typer.Exit


@app.callback()
def _main(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """The options before any command."""


def read_config(params: Path, values: list[str] | None, device: str | None = None) -> Config:
    """The parameters, with what the command line gives in place of the file's."""
    from pdnet.base.parameters_file import read_overrides
    from pdnet.config import load_config

    given = read_overrides(values or [])
    if device is not None:
        given["machine.device"] = device
    return load_config(params, given)


def add_stage(name: str, module: str, does: str) -> None:
    """A command `name` that runs the stage in `pdnet.stages.<module>`."""

    def command(params: Params = PARAMS, values: Values = None, device: Device = None) -> None:
        stage = importlib.import_module(f"pdnet.stages.{module}")
        stage.run(read_config(params, values, device))

    app.command(name, help=does)(one_line_errors(command))


add_stage(
    "download",
    "download",
    "Bring the clips of `data.source` to data/raw (MVPS layout) and check them.",
)
add_stage(
    "preprocess",
    "preprocess",
    "Resize data/raw to the working copy data/480p; resumes, skips what is done.",
)
add_stage(
    "flow",
    "flow",
    "Compute the clips' optical flow (DIS or RAFT) to data/flow, where a method that is run looks "
    "at it.",
)
add_stage(
    "imbalance",
    "imbalance",
    "Render the series in which limbs move ever faster, to data/imbalance.",
)
add_stage(
    "references", "references", "Score the trained network with other reference frames (Table 5)."
)


@app.command()
@one_line_errors
def train(
    *,
    params: Params = PARAMS,
    values: Values = None,
    device: Device = None,
    data: Annotated[Path, typer.Option(help="Working copy in the MVPS layout.")] = WORKING,
    out: Annotated[Path, typer.Option(help="Folder for model, state and tables.")] = MODELS,
) -> None:
    """Train PDNet. Ctrl-C saves; the same command resumes exactly where it stopped."""
    from pdnet.stages.train import run
    from pdnet.training.interrupt import Stopped

    try:
        print(run(read_config(params, values, device), data, out))
    except Stopped as stopped:
        sys.stderr.write(f"\n{stopped}\n")
        raise typer.Exit(130) from stopped


@app.command()
@one_line_errors
def predict(
    *,
    params: Params = PARAMS,
    values: Values = None,
    device: Device = None,
    data: Annotated[Path, typer.Option(help="Working copy in the MVPS layout.")] = WORKING,
    checkpoint: Checkpoint = CHECKPOINT,
    out: Annotated[Path, typer.Option(help="Folder for masks and results.")] = RESULTS,
) -> None:
    """Predict and score the evaluation split with a trained network."""
    from pdnet.stages.evaluate import run

    evaluation = run(read_config(params, values, device), data, checkpoint, out)
    for name, value in evaluation.metrics.items():
        print(f"{name:24s} {value:7.2f}")


@app.command()
@one_line_errors
def evaluate(
    pred_dir: Annotated[Path, typer.Argument(help="Predictions, <clip>/<frame>.png, 0/255.")],
    dataset_root: Annotated[Path, typer.Argument(help="Data set in the MVPS layout.")],
    *,
    set_name: Annotated[str, typer.Option("--set", help="Split list: train or val.")] = "val",
    include_first_last: Annotated[
        bool, typer.Option(help="Score each clip's first and last frame too.")
    ] = False,
    threshold: Annotated[
        Optional[float],
        typer.Option(
            min=0.0,
            max=1.0,
            help="Cut grey predictions at this share of 255 (of 65535 with 16 bits); masks of 0 "
            "and one value stay as they are.",
        ),
    ] = None,
    foreground: Annotated[
        str,
        typer.Option(
            help="binary refuses what is no mask; nonzero takes all that is not 0, as the official "
            "evaluator does."
        ),
    ] = "binary",
    out: Annotated[
        Optional[Path], typer.Option(help="Folder for the result files (default: PRED_DIR).")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 for all cores.")] = 0,
) -> None:
    """Score a folder of masks with J and F as the MVPS evaluator does, and write its CSV files.

    Example: pdnet evaluate results/predictions data/480p --out results
    """
    from pdnet.metrics.evaluator import overall, score_folder, write_results

    if set_name not in ("train", "val"):
        raise InputError(f"--set {set_name}: expected train or val")
    if foreground not in ("binary", "nonzero"):
        raise InputError(f"--foreground {foreground}: expected binary or nonzero")
    scores = score_folder(
        pred_dir,
        dataset_root,
        set_name,
        include_first_last=include_first_last,
        threshold=threshold,
        nonzero=foreground == "nonzero",
        workers=workers,
    )
    write_results(scores, out or pred_dir, set_name)
    width = max(len(name) for name in scores)
    total = overall(scores)
    print(" ".join([" " * width, *(f"{column:>8s}" for column in total)]))
    for name, row in [*((n, s.row()) for n, s in scores.items()), ("all clips", total)]:
        print(" ".join([f"{name:{width}s}", *(f"{100 * value:8.2f}" for value in row.values())]))


@app.command()
@one_line_errors
def recipes(params: Params = PARAMS) -> None:
    """Write what each stage reads and runs to results/recipes; stages depend on it."""
    from pdnet.stages.recipes import run

    run(params)


@app.command()
@one_line_errors
def tables(params: Params = PARAMS) -> None:
    """Write Tables 3, 4, 5 and the imbalance experiment to results/tables."""
    from pdnet.stages.tables import run

    run(params)


@app.command()
@one_line_errors
def ablate(
    variant: Annotated[
        str, typer.Argument(help="A name under ablation.variants of the parameter file.")
    ],
    params: Params = PARAMS,
) -> None:
    """Train and score one variant with every seed, to results/ablation/VARIANT; seeds that are done
    are kept.
    """
    from pdnet.stages.ablate import run

    run(params, variant)


@app.command()
@one_line_errors
def compare(
    interaction: Annotated[
        str, typer.Argument(help="A name under comparison.methods: ipda, concat, cosnet, hfan ...")
    ],
    params: Params = PARAMS,
) -> None:
    """Train and score one method of Tables 1 and 2 with every seed, to results/comparison/NAME;
    seeds that are done are kept.
    """
    from pdnet.stages.compare import run

    run(params, interaction)


@app.command()
@one_line_errors
def comparison(params: Params = PARAMS) -> None:
    """Write Tables 1 and 2 to results/comparison_tables, with the masks of comparison.external."""
    from pdnet.stages.comparison import run

    run(params)


@app.command()
@one_line_errors
def study(
    params: Params = PARAMS,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = STUDY,
    shard: Shard = "1/1",
    row: RowsToTrain = None,
) -> None:
    """Train every row of the study of motion whole, on rendered people beside figures that stand
    still, and score it. It can be stopped and goes on; profile `casts` says rows and seeds. What
    is recorded in the tables stays, so that one row can be repeated or added.
    """
    from pdnet.stages.study import run

    missing = run(params, out, shard, row or ())
    if missing:
        print(f"still to be trained: {', '.join(missing)}")


@app.command()
@one_line_errors
def left_out(
    params: Params = PARAMS,
    values: Values = None,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = LEFT_OUT,
    shard: Shard = "1/1",
    row: RowsToTrain = None,
) -> None:
    """Train variants whole on all clips but one, score that one, and so on in turn: what they say
    of filmed people that they never saw. It can be stopped and goes on; `left_out` of the profile
    says which, as -S profile=people -S data.root=FOLDER. What is recorded in the tables stays.
    """
    from pdnet.base.parameters_file import read_overrides
    from pdnet.stages.left_out import run

    missing = run(params, read_overrides(values or []), out, shard, row or ())
    if missing:
        print(f"still to be trained: {', '.join(missing)}")


@app.command()
@one_line_errors
def notebooks(
    names: Annotated[
        Optional[list[str]], typer.Argument(help="Without a name all of notebooks/.")
    ] = None,
    params: Params = PARAMS,
    values: Values = None,
) -> None:
    """Execute notebooks and write them to reports/NAME.html."""
    from pdnet.stages.notebooks import run

    for page in run(read_config(params, values), names):
        print(page)


@app.command()
@one_line_errors
def lab(
    port: Port = 8888,
    browser: Browser = True,
) -> None:
    """JupyterLab on copies of the notebooks in explore/, which git does not look at."""
    from pdnet.report.serve import serve_lab

    serve_lab(port, browser=browser)


@app.command()
@one_line_errors
def ui(
    port: Port = 5000,
    params: Params = PARAMS,
    browser: Browser = True,
) -> None:
    """MLflow at 127.0.0.1: the pipelines that ran, side by side; their stages' runs below them."""
    from pdnet.report.serve import serve_ui

    serve_ui(port, read_config(params, None).profile, browser=browser)


@app.command(name="app")
@one_line_errors
def explorer_app(
    port: Port = 8866,
    browser: Browser = True,
) -> None:
    """The explorer as an app at 127.0.0.1, without JupyterLab."""
    from pdnet.report.serve import serve_app

    serve_app(port, browser=browser)


@app.command()
@one_line_errors
def verify(
    write: Annotated[
        bool, typer.Option("--write", help="Make the results here the reference.")
    ] = False,
) -> None:
    """Compare results with the committed reference: bit-equal or not, file by file, and by how
    much.

    Exit status 1 where a score differs by more than other kernels explain, or a file is missing.
    """
    from pdnet.report import verify as reference

    if write:
        reference.write_reference()
        return
    known = reference.read_reference()
    findings = reference.verify(known)
    print(reference.report(findings, known))
    if not all(finding.acceptable for finding in findings):
        raise typer.Exit(1)


@app.command()
@one_line_errors
def segment(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="A video file or a folder of frames.")
    ],
    *,
    out: Annotated[
        Optional[Path], typer.Option("--out", "-o", help="Folder for masks (default: INPUT-masks).")
    ] = None,
    checkpoint: Annotated[
        Optional[Path],
        typer.Option(
            help="Trained network: a file, or people (the default) or free, which come with the "
            f"project; where none does, {CHECKPOINT}."
        ),
    ] = None,
    device: Device = None,
    threshold: Annotated[
        Optional[float],
        typer.Option(
            min=0.0, max=1.0, help="On the probability; without it the checkpoint's note, else 0.5."
        ),
    ] = None,
    people: Annotated[
        Optional[str],
        typer.Option(
            help="Whose masks: all, each frame's largest, or who is the largest in the first frame "
            "(reference); without it the checkpoint's note, else all."
        ),
    ] = None,
    look: Annotated[
        Optional[str],
        typer.Option(
            help="At whole frames (whole), or at where people were one frame before (near: finer "
            "and faster); without it the checkpoint's note, else whole."
        ),
    ] = None,
    stills: Annotated[
        bool,
        typer.Option(
            help="The pictures of a folder are no film: each by itself, everybody in it, with more "
            "care and time."
        ),
    ] = False,
    overlay: Annotated[bool, typer.Option(help="Also write overlay.mp4.")] = False,
) -> None:
    """Find the people in your own video: one 0/255 mask per frame.

    Example: pdnet segment holiday.mp4 --overlay
    """
    from pdnet.inference.folded import folded
    from pdnet.inference.shipped import cutting_of, network_at_hand, terms_of
    from pdnet.inference.video import segment_video
    from pdnet.model.checkpoint import load_network, read_header
    from pdnet.model.device import choose_device

    if out is None and source.name in ("", ".."):
        raise InputError(
            f"'{source}': the input has no name to call the folder of masks by; name it, or give "
            "--out"
        )
    name = source.name if source.is_dir() else source.stem
    folder = out or source.with_name(name + "-masks")
    chosen = network_at_hand(checkpoint)
    about = read_header(chosen)
    cutting = cutting_of(about, chosen)
    network, place = load_network(chosen), choose_device(device or "auto")
    network = folded(network) if place.type == "cpu" else network.to(place)
    if checkpoint is None:
        sys.stderr.write(f"network: {chosen} ({terms_of(about)})\n")
    count, announced = segment_video(
        source,
        folder,
        network=network,
        threshold=cutting.threshold if threshold is None else threshold,
        people=people or cutting.people,
        look=look or cutting.look,
        stills=stills,
        overlay=overlay,
    )
    print(f"{count} masks in {folder}")
    if announced is not None and count < announced:
        sys.stderr.write(f"note: {source} announces {announced} frames, {count} could be read\n")


@app.command()
@one_line_errors
def ship(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="A trained network, or several trainings that went on from one: the mean of their "
            "weights.",
        ),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="File in half precision.")],
    note: Annotated[
        Optional[list[str]],
        typer.Option(
            help="key=value for the header, any number of times; `data` and `terms` must be there. "
            '`segment` says how to cut: {"threshold": 0.5, "people": "all"}.'
        ),
    ] = None,
    side: Annotated[
        Optional[int],
        typer.Option(help="Of the input at use, a multiple of 32; without it as in training."),
    ] = None,
) -> None:
    """Write a network in half precision, at most 10 MB, with its data, terms and commit noted.

    Example: pdnet ship models/pdnet.safetensors -o pdnet/weights/people.safetensors --note
    data=voc,penn --note "terms=research and non-commercial use"
    """
    from pdnet.inference.shipped import read_notes
    from pdnet.inference.shipped import ship as write

    size = write(checkpoints, out, read_notes(note or []), side=side)
    print(f"{out}: {size / 1e6:.2f} MB")


bench = typer.Typer(
    help="Measure ways of computing the same thing, side by side in one process.",
    no_args_is_help=True,
)
app.add_typer(bench, name="bench")
Backbone = Annotated[str, typer.Option(help="torchvision or timm name.")]
Side = Annotated[int, typer.Option(min=32, help="Side of the square input.")]
OUR_NAME = "PDNet"  # in the bench of peers


@bench.command("model")
@one_line_errors
def bench_model(
    *,
    backbone: Backbone = "resnet50",
    size: Side = 480,
    parts: Annotated[int, typer.Option(min=2)] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds.")] = 5,
    device: Device = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON file.")] = Path("bench-model.json"),
) -> None:
    """Cost of the network: cached reference, grouped parts, part losses on the grid; prints a
    table, writes JSON.
    """
    from pdnet.base.files import write_json
    from pdnet.bench import bench_model as measure
    from pdnet.bench import table
    from pdnet.config import checked

    result = measure(
        checked("model", backbone=backbone, input_size=(size, size), parts=parts),
        rounds,
        device=device or "auto",
    )
    write_json(out, result)
    print(table(result))


@bench.command("step")
@one_line_errors
def bench_step(
    *,
    backbone: Backbone = "resnet50",
    size: Side = 480,
    parts: Annotated[int, typer.Option(min=1)] = 5,
    batch: Annotated[int, typer.Option(min=1, help="Pairs of frames.")] = 4,
    checkpointing: Annotated[
        bool, typer.Option(help="Recompute the backbone instead of keeping it.")
    ] = False,
    resolution: Annotated[str, typer.Option(help="Of the part losses: grid or full.")] = "grid",
    rounds: Annotated[int, typer.Option(min=1, help="Timed steps.")] = 1,
    device: Device = None,
) -> None:
    """Time and peak memory of a whole training step (both frames, all losses, backward, update)."""
    from pdnet.bench import bench_step as measure
    from pdnet.config import checked

    model = checked(
        "model",
        backbone=backbone,
        input_size=(size, size),
        parts=parts,
        checkpointing=checkpointing,
    )
    result = measure(
        model,
        checked("loss", resolution=resolution),
        batch=batch,
        rounds=rounds,
        device=device or "auto",
    )
    print(
        f"{backbone}, {size}x{size}, p = {parts}, batch {batch}, on {result['device']}: "
        f"{result['seconds']:.1f} s"
    )
    print(
        f"peak memory {result['peak_gib']:.2f} GiB, {result['start_gib']:.2f} GiB of it before "
        "the network"
    )


@bench.command("peers")
@one_line_errors
def bench_peers(
    data: Annotated[Path, typer.Argument(help="Clips with masks in the MVPS layout.")],
    *,
    peer: Annotated[
        Optional[list[str]],
        typer.Option(
            metavar="NAME=FILE[,OPTION=VALUE ...]",
            help="An ONNX or TFLite file, any number of times. Options: size=WIDTHxHEIGHT, mean, "
            "std, order=rgb|bgr, output=NAME, channel=N, values=probability|logit|softmax, "
            "threshold, people.",
        ),
    ] = None,
    clip: Annotated[
        Optional[list[str]],
        typer.Option(help="A clip, any number of times; without one the evaluation list."),
    ] = None,
    frames: Annotated[
        Optional[int],
        typer.Option(min=3, help="At most so many of a clip, from its beginning; without it all."),
    ] = None,
    checkpoint: Annotated[
        Optional[Path],
        typer.Option(
            help=f"Our network; without it the one that comes with the project, else {CHECKPOINT}."
        ),
    ] = None,
    out: Annotated[Optional[Path], typer.Option("--out", "-o", help="JSON file.")] = None,
) -> None:
    """Other people's segmenters and our network on the same frames, in turn, on one core: J&F, J, F
    and frames a second. All run here, peers in OpenCV: their own runtimes may be faster.

    Example: pdnet bench peers data/480p --peer
    Selfie=selfie_segmentation.tflite,size=256x256,mean=0,std=1
    """
    from pdnet.base.files import write_json
    from pdnet.data.layout import read_tree
    from pdnet.inference.folded import folded
    from pdnet.inference.peers import PeerNetwork, read_peers
    from pdnet.inference.shipped import cutting_of, network_at_hand
    from pdnet.inference.side_by_side import chosen_clips, our_way, peers_way, side_by_side, table
    from pdnet.model.checkpoint import load_network, read_header

    described = read_peers(peer or [], taken=OUR_NAME)
    clips = chosen_clips(read_tree(data), clip or [])
    chosen = network_at_hand(checkpoint)
    cutting = cutting_of(read_header(chosen), chosen)
    ways = {OUR_NAME: our_way(folded(load_network(chosen)), cutting)}
    ways |= {one.name: peers_way(PeerNetwork(one)) for one in described}
    result = side_by_side(ways, clips, frames=frames)
    if out is not None:
        files = {one.name: str(one.file) for one in described}
        write_json(out, {**result, "files": {OUR_NAME: str(chosen), **files}})
    print(table(result))


@bench.command("flow")
@one_line_errors
def bench_flow(
    dataset_root: Annotated[Path, typer.Argument(help="Clips with masks in the MVPS layout.")],
    *,
    clip: Annotated[
        Optional[list[str]],
        typer.Option(help="A clip, any number of times; without one the evaluation list."),
    ] = None,
    frames: Annotated[
        int, typer.Option(min=3, help="At most so many of a clip, from its beginning.")
    ] = 6,
    raft: Annotated[
        str, typer.Option(help="RAFT's network: small, large, or none for DIS alone.")
    ] = "none",
    raft_weights: Annotated[
        Optional[str],
        typer.Option(
            help="A file with torchvision's entries, or download (the default), or random: drawn "
            "ones, which tell the speed alone."
        ),
    ] = None,
) -> None:
    """Optical flow by DIS (three presets) and RAFT on the same pairs of frames, in turn, on one
    core: milliseconds a pair; photometric: how far a frame is from the next one brought back by the
    flow, in levels of 255; warped IoU: the same of the true masks. The row of no motion is what to
    beat. It is a bench: annotations are read for the warped IoU, and for nothing else.

    Example: pdnet bench flow data/480p --raft large --raft-weights raft_large.pth
    """
    from pdnet.base.parameters_file import shown
    from pdnet.data.layout import read_tree
    from pdnet.inference.flow_bench import bench_flow as measure
    from pdnet.inference.flow_bench import flow_ways, table
    from pdnet.inference.side_by_side import chosen_clips

    if raft not in ("small", "large", "none"):
        raise InputError(f"--raft {shown(raft)}: expected small, large or none")
    if raft == "none" and raft_weights is not None:
        raise InputError("--raft-weights: of no network; give --raft small or large too")
    clips = chosen_clips(read_tree(dataset_root), clip or [])
    print(table(measure(flow_ways(raft, raft_weights or "download"), clips, frames=frames)))


@app.command("import-official")
@one_line_errors
def import_official(
    file: Annotated[Path, typer.Argument(help="A checkpoint of the authors' release (.pth).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Our checkpoint.")] = Path(
        "pdnet-official.safetensors"
    ),
) -> None:
    """Convert a checkpoint of the authors' release (ResNet-50 or -101) to this project's format."""
    from pdnet.model.backbone import read_weight_file
    from pdnet.model.checkpoint import save_network
    from pdnet.official import network_from_state_dict

    network = network_from_state_dict(read_weight_file(file))
    save_network(network, out, {"source": file.name})
    print(f"{out}: {network.config.backbone}, {network.config.parts} parts")


@app.command("import-baseline")
@one_line_errors
def import_baseline(
    method: Annotated[
        str,
        typer.Argument(help="AGNN, AMC-Net, COSNet, F2Net, FSNet, HFAN-M, IMCNet or MATNet."),
    ],
    file: Annotated[
        Path,
        typer.Argument(
            help="A checkpoint of the method's authors; of MATNet the folder with its encoder's "
            "and its decoder's."
        ),
    ],
    out: Annotated[
        Optional[Path],
        typer.Option("--out", "-o", help=f"Our file (default: {MODELS}/METHOD.safetensors)."),
    ] = None,
) -> None:
    """Convert a checkpoint of a compared method's authors, for `pdnet predict-baseline`.

    Example: pdnet import-baseline COSNet co_attention.pth
    """
    from pdnet.base.parameters_file import shown
    from pdnet.inference.native import import_baseline as read
    from pdnet.inference.native import save_method

    network, dropped = read(method, file)
    place = out or MODELS / f"{method}.safetensors"
    save_method(network, place, {"dropped": dropped, "source": file.name})
    print(f"{place}: {method}, {len(network.state_dict())} entries")
    if dropped:
        print(f"{len(dropped)} dropped, since no pass uses them: {shown(', '.join(dropped), 200)}")


@app.command("predict-baseline")
@one_line_errors
def predict_baseline(
    checkpoint: Annotated[Path, typer.Argument(help="A file by `pdnet import-baseline`.")],
    dataset_root: Annotated[Path, typer.Argument(help="Data set in the MVPS layout.")],
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for masks, <clip>/<frame>.png, 0/255.")
    ],
    set_name: Annotated[str, typer.Option("--set", help="Split list: train or val.")] = "val",
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="On the probability at the frame's size.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="Of references that are drawn.")] = 0,
    device: Device = None,
) -> None:
    """Predict a split with a compared method as its authors test it; annotations are not opened.

    Example: pdnet predict-baseline models/COSNet.safetensors data/480p --out results/COSNet
    """
    from pdnet.inference.native import load_method, predict_tree
    from pdnet.model.device import choose_device

    place = choose_device(device or "auto")
    network = load_method(checkpoint).to(place)
    count = predict_tree(network, dataset_root, set_name, out, threshold=threshold, seed=seed)
    print(f"{count} masks in {out}")


@app.command("export-official")
@one_line_errors
def export_official(
    checkpoint: Annotated[Path, typer.Argument(help="Our checkpoint.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File in the authors' format.")] = Path(
        "pdnet-official.pth"
    ),
) -> None:
    """Convert a checkpoint back to the authors' entries."""
    import torch

    from pdnet.base.files import write_atomically
    from pdnet.model.checkpoint import load_network
    from pdnet.official import state_dict_from_network

    state = state_dict_from_network(load_network(checkpoint))
    write_atomically(out, lambda temporary: torch.save(state, temporary))
    print(f"{out}: {len(state)} entries")


if __name__ == "__main__":
    app()
