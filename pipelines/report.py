"""DVC stage: the report notebook as HTML."""

from pdnet.cli import app

if __name__ == "__main__":
    app(["report"])
