"""`make bench` and `make bench-quick`."""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.contestants import CONTESTANTS
from benchmarks.data import ground
from benchmarks.load import OPERATIONS, wrk
from benchmarks.measure import Plan, Run


def main(argv: Sequence[str]) -> int:
    """Measure and print."""
    names = {one.name: one for one in CONTESTANTS}
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names)}; all without any")
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=OPERATIONS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each load")
    options = parser.parse_args(argv)
    wrk()
    chosen = [names[name] for name in options.names or names]
    plan = Plan(chosen, options.operations, options.rounds, options.seconds)
    with ground() as found:
        Run(plan, found).play()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
