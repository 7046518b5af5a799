"""DVC stage: tables."""

from pdnet.cli import app

if __name__ == "__main__":
    app(["tables"])
