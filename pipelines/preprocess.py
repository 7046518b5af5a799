"""DVC stage: preprocess."""

from pdnet.cli import app

if __name__ == "__main__":
    app(["preprocess"])
