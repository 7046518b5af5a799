"""`python -m tests.attack`: thousands of cases against every way in, and a table of them.

Status 1 where one case ended in a traceback, a hang, a wrong result or a lost file. `--only SURFACE
--case N` makes one case again, with its traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter

from tests.attack import kills
from tests.attack.core import BAD, run_case, table
from tests.attack.run import attack
from tests.attack.surfaces import SURFACES

SHOWN = 3  # bad cases of a surface, whole


def main() -> int:
    """Reads the command line, attacks, prints."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="about how many")
    parser.add_argument("--kills", type=int, default=20, help="of each stage; 0 leaves them out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[*SURFACES, "kills"], help="one surface")
    parser.add_argument("--case", type=int, help="one case of that surface")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    began = time.monotonic()
    if given.case is not None:
        outcomes = [run_case(given.only, SURFACES[given.only][0], given.case, given.seed)]
    elif given.only == "kills":
        outcomes = kills.attack(given.kills, given.seed)
    elif given.only:
        outcomes = attack([given.only], given.cases, given.seed)
    else:
        outcomes = attack([*SURFACES], given.cases, given.seed)
        outcomes += kills.attack(given.kills, given.seed) if given.kills else []
    bad = [outcome for outcome in outcomes if outcome.verdict in BAD]
    shown: Counter[str] = Counter()
    for outcome in bad:
        shown[outcome.surface] += 1
        if shown[outcome.surface] <= SHOWN:
            print(f"{outcome.surface} {outcome.number}: {outcome.verdict}: {outcome.told[:1500]}\n")
    print(table(outcomes))
    print(f"{len(outcomes)} cases in {(time.monotonic() - began) / 60:.1f} min, {len(bad)} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
