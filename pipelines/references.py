"""DVC stage: references."""

from pdnet.cli import app

if __name__ == "__main__":
    app(["references"])
