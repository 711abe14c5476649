"""What PostgreSQL does for a request, as auto_explain writes it to the server's log.

So a plan is of the statement that the service really sent, whatever it is made of.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.scale.data import execute

SETTINGS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_nested_statements": "on",
}


class Plan(NamedTuple):
    """The plan of a request, and how many buffers of 8 KiB it touched."""

    text: str
    buffers: int


@contextmanager
def explaining(url: str) -> Iterator[None]:
    """Connections that are opened from now on have their statements explained."""
    database = url.rpartition("/")[2]
    for name, value in SETTINGS.items():
        execute(url, f"alter database {database} set {name} = '{value}'")
    try:
        yield
    finally:
        execute(url, f"alter database {database} reset all")


class Log:
    """The log of the server, from where it was last read."""

    def __init__(self, cursor: Any) -> None:
        cursor.execute("show data_directory")
        self.path = Path(cursor.fetchone()[0], "server.log")
        self.place = 0

    def skip(self) -> None:
        """What was written so far is of no interest."""
        self.place = self.path.stat().st_size

    def plan(self) -> Plan:
        """What was written since: the plans of one request."""
        with self.path.open() as log:
            log.seek(self.place)
            text = log.read()
        plans = re.findall(r"plan:\n((?:\t.*\n)+)", text)
        # Those of functions come before that of the statement, which counts what they touched.
        bodies = [
            re.sub(r"\tQuery Text: .*?\n(?=\t\S[^\n]*\(cost=)", "", plan, flags=re.S)
            for plan in plans
        ]
        touched = re.search(r"Buffers: shared hit=?(\d+)?(?: read=(\d+))?", bodies[-1])
        count = sum(int(number or 0) for number in touched.groups()) if touched else 0
        return Plan("\n".join(re.sub(r"^\t", "", body, flags=re.M) for body in bodies), count)
