"""DVC stage: what each stage reads and runs."""

from pdnet.base.command import one_line_errors
from pdnet.stages.recipes import run

if __name__ == "__main__":
    one_line_errors(run)()
