"""`python -m tests.bench [evaluator ... | texture]`; without a name all of them."""

from __future__ import annotations

import sys

from tests.bench import evaluator, texture

BENCHES = {"evaluator": evaluator.run, "texture": texture.run}

if __name__ == "__main__":
    names = [sys.argv[1]] if len(sys.argv) > 1 else list(BENCHES)
    for name in names:
        print(f"--- {name}")
        BENCHES[name](sys.argv[2:])
