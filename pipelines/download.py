"""DVC stage: bring the clips."""

from pdnet.base.command import one_line_errors
from pdnet.config import load_config
from pdnet.stages.download import run

if __name__ == "__main__":
    one_line_errors(run)(one_line_errors(load_config)())
