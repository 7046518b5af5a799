"""DVC stage: optical flow of the working copy, where a method that is run looks at it."""

from pdnet.base.command import one_line_errors
from pdnet.config import load_config
from pdnet.stages.flow import run

if __name__ == "__main__":
    one_line_errors(run)(one_line_errors(load_config)())
