"""When tasks are due that repeat: `occurrences_of` against a table, python-dateutil, and itself."""

import json
import time
from datetime import datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.tasks.rules import canonical
from tests.recurrence_rules import (
    STARTS,
    Entry,
    Recurrence,
    entries,
    for_dateutil,
    recurrences,
)

TABLE: Final = list(entries(Path(__file__).with_name("recurrences.txt")))

HOSTILE: Final = {
    "no such day": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    "no such day of a year": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "six Mondays": "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6",
    "366 days without December": (
        "FREQ=YEARLY;BYMONTH=1,2,3,4,5,6,7,8,9,10,11;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYSETPOS=366"
    ),
    "many ordinals in none": (
        "FREQ=YEARLY;BYMONTHDAY=1;BYDAY="
        + ",".join(
            f"{n}{day}" for day in ("MO", "TU", "WE", "TH", "FR", "SA", "SU") for n in (2, 3)
        )
        + ";BYSETPOS=300"
    ),
    "every 999 years": "FREQ=YEARLY;INTERVAL=999;BYMONTH=2;BYMONTHDAY=30",
    "no set of a week": "FREQ=WEEKLY;BYMONTH=2;BYDAY=MO,TU,WE,TH,FR,SA,SU;INTERVAL=999;BYSETPOS=7",
}


def occurrences(
    connection: Any, recurrence: Recurrence, many: int, after: datetime | None = None
) -> list[datetime]:
    """The first occurrences after a local time, as the database computes them."""
    rule, start, overflow, zone = recurrence
    with connection.cursor() as cursor:
        cursor.execute(
            "select occurrences_of(%s, %s, %s, %s, %s, %s)",
            (rule, start, overflow, zone, after, many),
        )
        return list(cursor.fetchone()[0])


@pytest.mark.parametrize("entry", TABLE, ids=[entry.name for entry in TABLE])
def test_a_rule_yields_what_the_table_says(connection: Any, entry: Entry) -> None:
    many = len(entry.expected) + entry.ends
    assert canonical(entry.recurrence.rule) == entry.recurrence.rule
    assert occurrences(connection, entry.recurrence, many) == entry.expected


def test_the_table_has_no_entry_twice() -> None:
    assert len({entry.name for entry in TABLE}) == len(TABLE) >= 50


@pytest.mark.parametrize(
    ("zone", "present", "now", "following"),
    [
        # Half past two is left out and comes at half past three; it is ten past three.
        ("Europe/Berlin", "2024-03-30T02:30", "2024-03-31T01:10Z", "2024-03-31T02:30"),
        # Half past one comes twice, and is past the first time; it is ten past one, once more.
        ("America/New_York", "2024-11-02T01:30", "2024-11-03T06:10Z", "2024-11-04T01:30"),
    ],
)
def test_what_is_past_is_so_by_the_instant(
    connection: Any, zone: str, present: str, now: str, following: str
) -> None:
    recurrence = {"rule": "FREQ=DAILY", "start": present, "time_zone": zone}
    recurrence |= {"overflow": "skip", "after": "schedule"}
    with connection.cursor() as cursor:
        values = (json.dumps(recurrence), present, now)
        cursor.execute("select next_occurrence(%s, %s, false, %s)", values)
        assert cursor.fetchone() == (datetime.fromisoformat(following),)


def test_the_session_s_time_zone_does_not_matter(connection: Any) -> None:
    """At half past two on 29 March 2026, clocks in Berlin are set forward."""
    recurrence = Recurrence("FREQ=DAILY;UNTIL=20260329T023000", datetime(2026, 3, 28, 2, 30))
    with connection.cursor() as cursor:
        cursor.execute("set timezone to 'Europe/Berlin'")
        try:
            found = occurrences(connection, recurrence, 3)
        finally:
            cursor.execute("reset timezone")
    assert found == [datetime(2026, 3, 28, 2, 30), datetime(2026, 3, 29, 2, 30)]


# As another implementation has it


def agrees_with_dateutil(connection: Any, recurrence: Recurrence) -> None:
    rule, start, *_ = recurrence
    found = occurrences(connection, recurrence, 20)
    if found:  # it looks for the first of none until the year 9999
        assert list(islice(rrulestr(rule, dtstart=start), len(found))) == found


SKIPPING: Final = recurrences(overflows=st.just("skip")).map(for_dateutil)


@settings(max_examples=150)
@given(recurrence=SKIPPING)
def test_rules_yield_what_dateutil_says(connection: Any, recurrence: Recurrence) -> None:
    agrees_with_dateutil(connection, recurrence)


@pytest.mark.slow
@settings(max_examples=1000)
@given(recurrence=SKIPPING)
def test_many_rules_yield_what_dateutil_says(connection: Any, recurrence: Recurrence) -> None:
    agrees_with_dateutil(connection, recurrence)


# What holds of every rule


@settings(max_examples=100)
@given(recurrence=recurrences())
def test_occurrences_ascend_from_the_start(connection: Any, recurrence: Recurrence) -> None:
    found = occurrences(connection, recurrence, 20)
    assert all(earlier < later for earlier, later in pairwise(found))
    assert all(at >= recurrence.start for at in found)
    assert all(at.time() == recurrence.start.time() for at in found)


@settings(max_examples=100)
@given(recurrence=recurrences())
def test_the_next_occurrence_is_the_same_however_many_were_asked_for(
    connection: Any, recurrence: Recurrence
) -> None:
    found = occurrences(connection, recurrence, 8)
    assert found[:1] == occurrences(connection, recurrence, 1)
    for at, following in pairwise(found):
        assert occurrences(connection, recurrence, 1, after=at) == [following]
        assert occurrences(connection, recurrence, 1, after=following - SECOND) == [following]


SECOND: Final = timedelta(seconds=1)


@settings(max_examples=50)
@given(start=STARTS, day=st.integers(29, 31), overflow=st.sampled_from(["backward", "forward"]))
def test_overflow_loses_no_month(connection: Any, start: datetime, day: int, overflow: str) -> None:
    first = start.replace(day=1)
    recurrence = Recurrence(f"FREQ=MONTHLY;BYMONTHDAY={day}", first, overflow)
    found = occurrences(connection, recurrence, 48)
    wanted = [at - timedelta(days=1) if at.day == 1 else at for at in found]
    months = [at.year * 12 + at.month for at in wanted]
    assert months == list(range(months[0], months[0] + 48))
    assert months[0] == first.year * 12 + first.month


# What hostile rules cost


@pytest.mark.parametrize("rule", HOSTILE.values(), ids=HOSTILE)
def test_a_rule_that_yields_nothing_takes_little_time(connection: Any, rule: str) -> None:
    recurrence = Recurrence(canonical(rule), datetime(2026, 1, 31, 9))
    assert fastest(connection, recurrence, None) < 0.5


@pytest.mark.parametrize("rule", ["FREQ=DAILY;COUNT=9999", "FREQ=WEEKLY;COUNT=9999"])
def test_counting_for_decades_takes_little_time(connection: Any, rule: str) -> None:
    recurrence = Recurrence(rule, datetime(2026, 1, 1))
    assert fastest(connection, recurrence, datetime(2052, 1, 1)) < 0.5


def fastest(connection: Any, recurrence: Recurrence, after: datetime | None) -> float:
    """Seconds of the fastest of several runs, which what else this machine does disturbs least."""
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        occurrences(connection, recurrence, 1, after)
        taken.append(time.perf_counter() - begun)
    return min(taken)
