"""DVC stage: download."""

from pdnet.cli import app

if __name__ == "__main__":
    app(["download"])
