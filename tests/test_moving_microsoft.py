"""Tasks of Microsoft To Do, as Graph writes them."""

import json
from calendar import monthrange
from contextlib import suppress
from datetime import UTC, date, datetime
from io import BytesIO
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from app.api.transfer.moving.found import Options
from app.api.transfer.moving.microsoft.reader import read
from app.api.transfer.moving.microsoft.rules import rule_of
from app.api.transfer.moving.microsoft.task import LONGEST_HTML
from app.api.transfer.moving.refused import NotThisFormat
from tests.moving_json import (
    assert_valid,
    check_sample,
    check_sources,
    found,
    growth,
    many,
    mutated,
    sample,
    samples,
    values,
)

NAMES: Final = samples("microsoft")
FILES: Final = [sample("microsoft", name)[0] for name in NAMES]
MEMBERS: Final = (
    "id title status importance isReminderOn categories body content contentType dueDateTime "
    "reminderDateTime completedDateTime dateTime timeZone recurrence pattern range type interval "
    "dayOfMonth month daysOfWeek index recurrenceTimeZone checklistItems displayName tasks value"
)
ZONES: Final = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland", "UTC"]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_read_as_written_beside_it(name: str) -> None:
    check_sample(read, "microsoft", name)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_file_has_the_same_sources(name: str) -> None:
    check_sources(read, "microsoft", name)


@given(st.binary(max_size=300) | mutated(FILES))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(NotThisFormat):
        assert_valid(read(BytesIO(data), Options()))


@given(values(MEMBERS))
def test_members_of_any_type_are_read_or_reported(value: bytes) -> None:
    data = b'{"lists":[{"tasks":[%s]}]}' % value

    assert_valid(read(BytesIO(data), Options()))


@given(st.text(), st.sampled_from(["Europe/Berlin", "America/New_York", "Pacific/Kiritimati"]))
def test_one_time_that_cannot_be_read_stops_no_other(text: str, zone: str) -> None:
    time = {"dateTime": text, "timeZone": text}
    bad = {"id": "a", "title": "A", "dueDateTime": time, "reminderDateTime": time}
    good = {"id": "b", "title": "B", "dueDateTime": "2026-01-31T00:00:00"}

    tasks = found(read, json.dumps([bad, good]).encode(), time_zone=zone)["tasks"]

    assert [task["source"] for task in tasks] == ["a", "b"]
    assert tasks[1]["due_date"] == "2026-01-31"


@pytest.mark.parametrize("zone", sorted(WINDOWS_TO_OLSON))
def test_each_windows_name_of_a_time_zone_is_known(zone: str) -> None:
    reminder = {"dateTime": "2026-01-31T09:00:00.0000000", "timeZone": zone}
    data = json.dumps([{"id": "a", "title": "A", "reminderDateTime": reminder}]).encode()

    everything = found(read, data)

    assert not everything["lossy"]
    assert everything["tasks"][0]["reminders"]


@given(st.dates(date(1990, 1, 1), date(2100, 1, 1)), st.sampled_from(ZONES))
def test_the_midnight_of_a_day_in_the_users_zone_is_that_day(day: date, zone: str) -> None:
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    due = {"dateTime": f"{midnight:%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"}
    data = json.dumps([{"id": "a", "title": "A", "dueDateTime": due}]).encode()

    everything = found(read, data, time_zone=zone)

    assert everything["tasks"][0]["due_date"] == day.isoformat()
    assert not everything["lossy"]


@pytest.mark.parametrize("day", range(1, 32))
@pytest.mark.parametrize("interval", [1, 2, 12])
def test_a_day_of_the_month_is_the_last_of_a_shorter_one(day: int, interval: int) -> None:
    pattern = {"type": "absoluteMonthly", "interval": interval, "dayOfMonth": day}
    start = date(2026, 1, day)

    rule, _ = rule_of({"pattern": pattern}, start)

    months = [divmod(number * interval, 12) for number in range(40)]
    expected = [
        datetime(2026 + years, 1 + month, min(day, monthrange(2026 + years, 1 + month)[1]))
        for years, month in months
    ]
    assert list(rrulestr(f"{rule};COUNT=40", dtstart=datetime(2026, 1, day))) == expected


def test_long_texts_are_left_as_they_are() -> None:
    title, body = "t" * 100_000, "b" * 100_000
    task = {"id": "a", "title": title, "body": {"content": f"<p>{body}</p>", "contentType": "html"}}

    (found_task,) = found(read, json.dumps([task]).encode())["tasks"]

    assert (found_task["title"], found_task["description"]) == (title, body)


def test_html_that_is_too_long_is_read_in_part() -> None:
    body = {"content": "<p>" + "b" * LONGEST_HTML, "contentType": "html"}
    data = json.dumps([{"id": "a", "title": "A", "body": body}]).encode()

    everything = found(read, data)

    assert everything["tasks"][0]["description"] == "b" * (LONGEST_HTML - 3)
    detail = "Only the first 1,000,000 characters are read."
    assert everything["lossy"] == [{"line": 1, "field": "body.content", "detail": detail}]


def test_losses_are_bounded() -> None:
    data = many(10_002, '{"value":[%s]}', '{"id":"%d","title":""}')

    everything = found(read, data)

    assert len(everything["tasks"]) == 10_002
    assert len(everything["lossy"]) == 10_001
    detail = "More than 10,000 losses; no more are listed."
    assert everything["lossy"][-1] == {"line": 10_001, "field": "", "detail": detail}


def test_ten_thousand_tasks_take_little_more_memory_than_the_file() -> None:
    task = """{"id":"%d","title":"T","status":"notStarted",
        "body":{"content":"<p>N</p>","contentType":"html"},"dueDateTime":{"dateTime":"2026-01-31T00:00:00.0000000","timeZone":"UTC"}}"""
    data = many(10_000, '{"lists":[{"displayName":"L","tasks":[%s]}]}', task)

    assert growth(read, data) < 2_000_000
