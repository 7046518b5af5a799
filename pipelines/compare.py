"""DVC stage: one method of the comparison."""

import sys
from pathlib import Path

from pdnet.base.command import one_line_errors
from pdnet.stages.compare import run

if __name__ == "__main__":
    one_line_errors(run)(Path("params.yaml"), sys.argv[1])
