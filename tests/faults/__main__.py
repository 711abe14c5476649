"""`make faults`: every fault, or those that are named, and a table at the end."""

import argparse
import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack

import pytest

from tests.faults.cases import FAULTS
from tests.faults.run import Result, play
from tests.faults.scale import FULL, QUICK, Scale
from tests.faults.scene import Fault
from tests.faults.service import ground
from tests.faults.table import table
from tests.rig.cluster import Cluster


def main(argv: Sequence[str]) -> int:
    """Return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", help="words of the faults' names; all without any")
    parser.add_argument("--quick", action="store_true", help="20 clients and short faults")
    options = parser.parse_args(argv)
    logging.disable(logging.INFO)  # what migrations say of each step
    scale = QUICK if options.quick else FULL
    chosen = [f for f in FAULTS if not options.names or any(n in f.name for n in options.names)]
    if not chosen:
        parser.error(f"there is none of that name, but: {', '.join(f.name for f in FAULTS)}")
    results = [result for fault in chosen if (result := attempt(fault, scale))]
    print(f"\n{table(results)}")
    return 1 if any(result.broken for result in results) else 0


def attempt(fault: Fault, scale: Scale) -> Result | None:
    """Run it on a database and a service of its own, saying how it goes; None if it cannot be."""
    print(f"{fault.name} …", end=" ", flush=True)
    try:
        with ExitStack() as stack:
            cluster = stack.enter_context(Cluster.throwaway())
            found = ground(cluster, fault.way, scale.clients, scale.login_retry)
            result = play(fault, scale, stack.enter_context(found))
    except pytest.skip.Exception as reason:
        print(f"skipped: {reason}")
        return None
    print("; ".join(result.notes))
    if result.crowded:
        print("  The machine was full: how fast /health is was not judged.")
    for promise in result.broken:
        print(f"  BROKEN: {promise}")
    for defect in result.defects:
        print(f"  DEFECT: {defect}")
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
