"""What a run comes from: commit, DVC's stage and experiment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def git_commit() -> str:
    """The commit of the working tree, `-dirty` appended where it differs; `unknown` outside git."""
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain"], capture_output=True, text=True, check=True
        ).stdout
        return commit + ("-dirty" if changed.strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def origin() -> dict[str, str]:
    """MLflow's tags and ours that say it; those without a value are left out."""
    commit = git_commit()
    tags = {
        "mlflow.source.name": os.environ.get("DVC_STAGE") or Path(sys.argv[0]).name,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit.removesuffix("-dirty"),
        "git_commit": commit,
        "dvc_experiment": os.environ.get("DVC_EXP_NAME", ""),
        "dvc_baseline": os.environ.get("DVC_EXP_BASELINE_REV", ""),
    }
    return {name: value for name, value in tags.items() if value}
