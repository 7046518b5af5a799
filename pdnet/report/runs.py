"""What differs from run to run: MLflow's runs, their parameters and curves, and how fast this
machine is.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from pdnet.base.tracking import tracking_client
from pdnet.report.figures import style


def list_runs(experiment: str, kind: str = "train", newest: int = 10) -> pd.DataFrame:
    """The newest runs of an experiment whose name begins with `kind`: name, status, last metrics,
    parameters.

    Empty where nothing was trained with this tracking store, e.g. when DVC's cache had the results
    already.
    """
    client = tracking_client()
    found = client.get_experiment_by_name(experiment)
    rows = []
    for run in client.search_runs([found.experiment_id], max_results=500) if found else []:
        if run.info.run_name.startswith(kind):
            rows.append(
                {"run": run.info.run_id, "name": run.info.run_name, "started": run.info.start_time}
                | {"status": run.info.status}
                | {f"metric {k}": v for k, v in run.data.metrics.items()}
                | run.data.params
            )
    if not rows:
        return pd.DataFrame(columns=["name", "status"])
    table = pd.DataFrame(rows).sort_values("started", ascending=False).head(newest)
    return table.drop(columns="started").set_index("run")


def differing(runs: pd.DataFrame) -> pd.DataFrame:
    """The parameters in which runs differ."""
    names = [c for c in runs if not c.startswith("metric ") and c not in ("name", "status")]
    return runs[[c for c in names if runs[c].nunique(dropna=False) > 1]].T


def curve(run: str, metric: str) -> pd.Series:
    """A metric's values by step."""
    points = {m.step: m.value for m in tracking_client().get_metric_history(run, metric)}
    return pd.Series(points, name=metric, dtype=float).sort_index()


def curves_figure(
    runs: pd.DataFrame, metrics: tuple[str, ...] = ("loss/final", "validation/JandF-Mean")
) -> Figure:
    """Learning curves of runs side by side."""
    style()
    figure, axes = plt.subplots(
        1, len(metrics), figsize=(5.5 * len(metrics), 3.6), layout="constrained"
    )
    for axis, metric in zip(axes, metrics, strict=True):
        for number, (run, row) in enumerate(runs.iterrows()):
            values = curve(run, metric)
            if "loss" in metric:
                # single steps differ by their batch; a median of nine shows the trend
                values = values.rolling(9, min_periods=1).median()
            axis.plot(
                values.index,
                values,
                marker=None if "loss" in metric else "o",
                label=f"{number + 1}: {row['name']}",
            )
        axis.set(xlabel="step", ylabel=metric.replace("JandF-Mean", "J&F in per cent"))
        axis.legend(fontsize=8)
    return figure


def speed_table(results: Path) -> pd.DataFrame | str:
    """Frames per second that were measured when the clips were evaluated and the reference policies
    scored; a sentence where that happened on another machine, or not yet.
    """
    if not (results / "speed.json").is_file():
        return "Not measured here: no clip was evaluated on this machine (`pdnet evaluate` does)."
    measured = json.loads((results / "speed.json").read_text())
    rows = {
        "model alone, reference cached": measured["fps_model"],
        "JPEG to mask, reference cached": measured["fps_end_to_end"],
    }
    policies, cost = results / "references-speed.json", {}
    if policies.is_file():
        measured_policies = json.loads(policies.read_text())
        for policy, milliseconds in measured_policies.items():
            rows[f"reference policy {policy}"] = 1000 / milliseconds
            cost[f"reference policy {policy}"] = milliseconds / measured_policies["first"]
    columns = {"frames per second": pd.Series(rows).round(1)}
    if cost:
        columns["times the cost of `first`"] = pd.Series(cost).round(2)
    table = pd.DataFrame(columns).reindex(rows)
    about = ("device", "threads", "frame", "input")
    return table.assign(**{name: measured[name] for name in about})
