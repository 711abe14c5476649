"""What is due among all users, as what tells of reminders finds it."""

import re
from contextlib import closing
from statistics import median
from typing import Final, NamedTuple

import psycopg2

TOLD: Final = 100
"""How many are told at a time."""

FIRST_OF_ALL: Final = f"""
explain (analyze, buffers) select user_id, task_id, at from task_reminders
    where at <= now() + interval '1 year' order by at limit {TOLD}
"""


class Due(NamedTuple):
    """The first hundred of all users: milliseconds to plan and find them, and buffers touched."""

    milliseconds: float
    buffers: int
    plan: str


def due(url: str, rounds: int) -> Due:
    """What is due next among all users, the median of so many rounds."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        plans = []
        for _ in range(rounds):
            cursor.execute(FIRST_OF_ALL)
            plans.append("\n".join(row[0] for row in cursor.fetchall()))
    times = [
        sum(map(float, re.findall(r"(?:Planning|Execution) Time: ([\d.]+)", p))) for p in plans
    ]
    touched = re.search(r"Buffers: shared hit=?(\d+)?(?: read=(\d+))?", plans[-1])
    count = sum(int(number or 0) for number in touched.groups()) if touched else 0
    return Due(median(times), count, plans[-1])
