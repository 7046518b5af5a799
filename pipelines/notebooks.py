"""DVC stage: the notebooks as HTML."""

from pdnet.cli import app

if __name__ == "__main__":
    app(["notebooks"])
