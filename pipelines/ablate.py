"""DVC stage: one variant of the ablation."""

import sys

from pdnet.cli import app

if __name__ == "__main__":
    app(["ablate", *sys.argv[1:]])
