"""DVC stage: one variant of the ablation."""

import sys
from pathlib import Path

from pdnet.base.command import one_line_errors
from pdnet.stages.ablate import run

if __name__ == "__main__":
    one_line_errors(run)(Path("params.yaml"), sys.argv[1])
