"""The stages after the evaluation: imbalance series, ablations, reference policies, tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from pdnet import tables
from pdnet.ablation import reference_policies, render_series, run_variant
from pdnet.checkpoint import load_network
from pdnet.config import Config
from pdnet.files import write_json, write_text
from pdnet.stages import CHECKPOINT, RESULTS, WORKING
from pdnet.training.state import seed_everything, write_table

SERIES, VARIANTS, WORK = Path("data/imbalance"), RESULTS / "ablation", Path("models/ablation")
TABLES = RESULTS / "tables"


def imbalance_stage(config: Config) -> None:
    """Renders the imbalance series, which is the same for every source of clips."""
    render_series(config, SERIES)


def ablation_stage(params: Path, name: str) -> None:
    """Trains and scores one variant with every seed."""
    run_variant(params, name, WORKING, SERIES, WORK, VARIANTS / name)


def references_stage(config: Config) -> None:
    """Scores the trained network with every reference policy; times go to an undeclared file."""
    seed_everything(config.seed)
    network = load_network(CHECKPOINT).to("cuda" if torch.cuda.is_available() else "cpu")
    rows, milliseconds = reference_policies(network, WORKING, config)
    write_table(RESULTS / "references.csv", rows)
    write_json(RESULTS / "references-speed.json", milliseconds)


def tables_stage(config: Config) -> None:
    """Tables 3, 4 and 5 and the imbalance experiment, as Markdown, CSV and LaTeX."""
    differs = what_differs(config)
    clips = tables.read_variants(VARIANTS, "clips", config.ablation.run)
    groups = {"table3": tables.PAPER_TABLE_3, "table4": tables.PAPER_TABLE_4}
    for name, paper in groups.items():
        tables.write_table_files(tables.ablation_table(clips, list(paper), paper), TABLES / name, differs)
    ours = [v for v in config.ablation.run if v == "full" or not any(v in paper for paper in groups.values())]
    if len(ours) > 1:
        tables.write_table_files(tables.ablation_table(clips, ours, {}), TABLES / "ours", differs)
    references = pd.read_csv(RESULTS / "references.csv")
    table = tables.references_table(references, None)
    tables.write_table_files(table, TABLES / "table5", f"The network of the main training. {_data(config)}")
    slopes = tables.imbalance_slopes(tables.read_variants(VARIANTS, "imbalance", config.ablation.run))
    tables.write_table_files(slopes, TABLES / "imbalance", differs.replace("Data", "Trained on"))
    write_text(TABLES / "conclusion.txt", conclusion(slopes) + "\n")


def conclusion(slopes: pd.DataFrame) -> str:
    """The imbalance experiment in a sentence per comparison."""
    return " ".join(
        f"Against '{other}' the gain near the limbs is {row['gain at rest']:+.1f} at rest and "
        f"{row['gain at the fastest']:+.1f} at the fastest limbs: {row['']} (p = {row['p']:.2f})."
        for other, row in slopes.iterrows()
    )


def what_differs(config: Config) -> str:
    """Why a number here may not be held against the paper's."""
    short = ", ".join(f"{name} = {value}" for name, value in config.ablation.set.items())
    return f"{_data(config)} Short trainings for comparison only ({short}); {len(config.ablation.seeds)} seeds."


def _data(config: Config) -> str:
    return (
        f"Data: {config.data.source}; backbone {config.model.backbone}. The paper: MVPS, ResNet-50, 480x480, 60 epochs."
    )
