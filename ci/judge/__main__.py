"""Judges a grid of storage servers by unmodified Tahoe-LAFS 1.20 clients.

Ten servers, and one to five client nodes with static servers (no introducer), all on loopback, with
their files in one temporary directory. `--servers tahoe` judges Tahoe-LAFS's own storage nodes
instead: what fails there is wrong here.
"""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from judge import adoption, canary, crowd, directories, files, mutable, outage, repair, space
from judge.grid import Grid
from judge.servers import Tahoed, TahoeServer
from judge.suite import TooLate, Trial, note

# Those that start the most clients, or change the grid for good, come last.
PARTS = [canary, files, mutable, directories, repair, outage, adoption, crowd, space]


def main():
    arguments = parsed()
    Tahoed.program = arguments.tahoed
    kind = {"tahoed": Tahoed, "tahoe": TahoeServer}[arguments.servers]
    signal.signal(signal.SIGALRM, too_late)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    signal.alarm(arguments.limit)
    trial = Trial()
    with tempfile.TemporaryDirectory(prefix="interop-") as directory:
        grid = Grid(Path(directory), kind)
        try:
            began = time.monotonic()
            grid.start()
            note(f"a grid is up after {time.monotonic() - began:.1f} s")
            trial.run(PARTS, grid, arguments.only)
        except TooLate:
            print(f"not done after {arguments.limit} s")
            grid.explain()
        finally:
            grid.stop()
    return trial.report()


def too_late(*_):
    raise TooLate


def parsed():
    parser = argparse.ArgumentParser(
        description="Judge storage servers by Tahoe-LAFS 1.20 clients."
    )
    parser.add_argument("--servers", choices=["tahoed", "tahoe"], default="tahoed")
    parser.add_argument("--tahoed", metavar="PROGRAM", help="the tahoed to judge")
    parser.add_argument("--limit", type=int, default=900, help="seconds after which to give up")
    parser.add_argument("only", nargs="?", default="", help="only claims whose names contain this")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
