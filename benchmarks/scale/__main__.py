"""`make bench-scale`: does a request take longer where there is more of everything?"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from app.dev.embedded import throwaway
from benchmarks.scale.data import EACH, Size, filled
from benchmarks.scale.due import due
from benchmarks.scale.measure import explain, measure, place
from benchmarks.scale.report import due_table, tables, write

# The first line is production's; the others make the filling faster.
OPTIONS = (
    "-c synchronous_commit=on -c full_page_writes=on -c shared_buffers=2GB"
    " -c maintenance_work_mem=1GB -c max_wal_size=16GB -c wal_level=minimal -c max_wal_senders=0"
    " -c jit=off"
)


def say(what: str) -> None:
    """Tell on standard error how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


@contextmanager
def loaded(cluster: str, size: Size) -> Iterator[str]:
    """The URL of a database of this size."""
    say(f"filling {size.tasks:,} rows, {size.users:,} users of {EACH} and one of {size.big:,}")
    with filled(cluster, size) as url:
        yield url


def circumstances(rounds: int) -> str:
    """When and where it was measured."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores,"
        f" Linux {platform.release()}, Python {platform.python_version()}, {rounds} rounds."
    )


def main() -> int:
    """Fill, measure, explain, tell."""
    parser = argparse.ArgumentParser(prog="make bench-scale")
    parser.add_argument("--sizes", default="10000,1000000,10000000", help="rows, by commas")
    parser.add_argument("--rounds", type=int, default=60, help="requests of each kind")
    parser.add_argument("--no-write", action="store_true", help="leave the files as they are")
    arguments = parser.parse_args()
    sizes = [Size(int(text)) for text in arguments.sizes.split(",")]
    with throwaway(OPTIONS) as cluster, ExitStack() as stack:
        urls = [stack.enter_context(loaded(cluster, size)) for size in sizes]
        places = [place(url, size) for url, size in zip(urls, sizes, strict=True)]
        say("measuring")
        times = measure(places, arguments.rounds)
        next_of_all = {
            size.tasks: due(url, arguments.rounds) for url, size in zip(urls, sizes, strict=True)
        }
        say("explaining")
        plans = {
            (there.size.tasks, *key): plan
            for url, there in zip(urls, places, strict=True)
            for key, plan in explain(url, there).items()
        }
    numbers = [size.tasks for size in sizes]
    report = "\n\n".join(
        [circumstances(arguments.rounds), tables(times, plans, numbers), due_table(next_of_all)]
    )
    print(report)
    if not arguments.no_write:
        write(report, plans, numbers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
