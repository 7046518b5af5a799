"""DVC stage: the notebooks as pages."""

from pdnet.base.command import one_line_errors
from pdnet.config import load_config
from pdnet.stages.notebooks import run

if __name__ == "__main__":
    one_line_errors(run)(one_line_errors(load_config)())
