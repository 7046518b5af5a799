"""DVC stage: Tables 1 and 2."""

from pathlib import Path

from pdnet.base.command import one_line_errors
from pdnet.stages.comparison import run

if __name__ == "__main__":
    one_line_errors(run)(Path("params.yaml"))
