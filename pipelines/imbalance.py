"""DVC stage: imbalance."""

from pdnet.cli import app

if __name__ == "__main__":
    app(["imbalance"])
