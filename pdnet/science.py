"""The stages after the evaluation: imbalance series, ablations, reference policies, tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from pdnet import tables
from pdnet.ablation import (
    CONTROL,
    IMBALANCE_VARIANTS,
    reference_policies,
    render_series,
    run_variant,
    variant_configs,
)
from pdnet.checkpoint import load_network
from pdnet.config import Config, load_config
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


def tables_stage(params: Path) -> None:
    """Tables 3, 4 and 5 and the imbalance experiment, as Markdown, CSV and LaTeX."""
    config = load_config(params)
    run, note = config.ablation.run, how_trained(config)
    differs = {name: tables.differs_from_paper(next(iter(variant_configs(params, name).values()))) for name in run}
    clips = tables.read_variants(VARIANTS, "clips", run)
    groups = {"table3": tables.PAPER_TABLE_3, "table4": tables.PAPER_TABLE_4}
    for name, paper in groups.items():
        tables.write_table_files(tables.ablation_table(clips, list(paper), paper, differs), TABLES / name, note)
    ours = [v for v in run if v == "full" or not any(v in paper for paper in groups.values())]
    if len(ours) > 1:
        tables.write_table_files(tables.ablation_table(clips, ours, {}, differs), TABLES / "ours", note)
    policies = pd.read_csv(RESULTS / "references.csv")
    references = tables.references_table(policies, tables.differs_from_paper(config))
    tables.write_table_files(references, TABLES / "table5", "The network of the main training.")
    slopes = tables.imbalance_slopes(tables.read_variants(VARIANTS, "imbalance", run))
    tables.write_table_files(slopes, TABLES / "imbalance", note)
    write_text(TABLES / "conclusion.txt", f"{conclusion(slopes)} {tables.reference_use(policies, CONTROL)}\n")


def conclusion(slopes: pd.DataFrame) -> str:
    """The imbalance experiment in a sentence per comparison."""
    if slopes.empty:
        return f"Not compared: of {', '.join(IMBALANCE_VARIANTS)} only one was run."
    return " ".join(
        f"Against '{other}' the gain near the limbs is {row['gain at rest']:+.1f} at rest and "
        f"{row['gain at the fastest']:+.1f} at the fastest limbs: {row['']} (p = {row['p']:.2f})."
        for other, row in slopes.iterrows()
    )


def how_trained(config: Config) -> str:
    """How the variants of a table were trained, tested and how often."""
    short = ", ".join(f"{name} = {value}" for name, value in config.ablation.set.items())
    trained = f"Short trainings, for comparison with each other only ({short})" if short else "Whole trainings"
    return (
        f"{trained}; {len(config.ablation.seeds)} seeds. p: Wilcoxon signed-rank test across clips, means over seeds."
    )
