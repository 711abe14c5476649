"""`make bench` and `make bench-quick`: what a request costs here and elsewhere, side by side."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import results, table
from benchmarks.contestants import CONTESTANTS
from benchmarks.data import ground
from benchmarks.load import OPERATIONS, wrk
from benchmarks.measure import Plan, Run

HERE = Path(__file__).parent


def main(argv: Sequence[str]) -> int:
    """Measure, print the tables, and write them down if asked to."""
    options = arguments(argv)
    names = {one.name: one for one in CONTESTANTS}
    chosen = [names[name] for name in options.names or names]
    logging.disable(logging.INFO)  # what migrations say of each step
    plan = Plan(chosen, options.operations, options.rounds, options.seconds)
    try:
        wrk()
        with ground() as found:
            run = Run(plan, found)
            run.play()
            everything = results.collect(run)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\n{table.full(everything)}")
    if options.write:
        write(everything)
    return 0


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """What is to be measured."""
    names = [one.name for one in CONTESTANTS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names)}; all without any")
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=OPERATIONS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each load, twice a round")
    parser.add_argument("--write", action="store_true", help="the tables into the READMEs")
    options = parser.parse_args(argv)
    if unknown := set(options.names) - set(names):
        parser.error(f"there is no {', '.join(sorted(unknown))}, but {', '.join(names)}")
    return options


def write(everything: dict[str, Any]) -> None:
    """The figures into a file of their own, the tables into the READMEs."""
    print(results.save(everything))
    table.fill(HERE / "README.md", table.full(everything))
    table.fill(HERE.parent / "README.md", table.short(everything))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
