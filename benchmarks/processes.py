"""What a program and all the processes it has started use, as Linux counts it."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> list[int]:
    """The process and its descendants."""
    found = [root]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def cpu_seconds(root: int) -> float:
    """Processor time of all of them, and of those that have ended and were waited for."""
    while True:
        try:
            return sum(_ticks(pid) for pid in tree(root)) / TICKS
        except (FileNotFoundError, ProcessLookupError):
            continue  # one ended meanwhile, and counts as its parent's now


def _ticks(pid: int) -> int:
    # The command's name, in parentheses, may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime


def worker_megabytes(root: int, workers: int) -> float:
    """Resident memory of a worker, on average; the workers are the largest descendants."""
    sizes = sorted((_resident(pid) for pid in tree(root)[1:]), reverse=True)
    return sum(sizes[:workers]) / workers / 1e6


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
