"""DVC stage: predict and score the evaluation clips."""

from pdnet.cli import app

if __name__ == "__main__":
    app(["predict"])
