"""DVC stage: Tables 3 to 5 and the imbalance experiment."""

from pathlib import Path

from pdnet.base.command import one_line_errors
from pdnet.stages.tables import run

if __name__ == "__main__":
    one_line_errors(run)(Path("params.yaml"))
