"""Moving in from calendars: what a file has becomes tasks, or is reported."""

import io
import json
import re
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.api.transfer.calendars import BEGIN, END, todos
from app.api.transfer.moving.calendar.lines import LARGEST, LONGEST_LINE, MOST_LINES, blocks
from app.api.transfer.moving.calendar.reader import KNOWN, read
from app.api.transfer.moving.calendar.sources import MOST_SAID, OUR_PRODUCT
from app.api.transfer.moving.calendar.zones import OwnZone, Unreadable
from app.api.transfer.moving.found import MOST_OF_READER, Found, FoundTask, Loss, Options
from app.api.transfer.moving.refused import NotThisFormat
from tests.hostile import TEXTS

FILES = Path(__file__).parent / "moving" / "ics"
NAMES = sorted(path.stem for path in FILES.glob("*.ics"))
DEFAULTS = asdict(FoundTask(line=0, source="", title=""))
HASH = re.compile(r"[0-9a-f]{32}")


NO_OPTIONS = Options()


def found(data: bytes, options: Options = NO_OPTIONS) -> list[Found]:
    return list(read(io.BytesIO(data), options))


def tasks(data: bytes, options: Options = NO_OPTIONS) -> list[FoundTask]:
    return [each for each in found(data, options) if isinstance(each, FoundTask)]


def losses(data: bytes) -> list[Loss]:
    return [each for each in found(data) if isinstance(each, Loss)]


def calendar(*lines: str) -> bytes:
    """A calendar of one to-do with these lines."""
    text = ["BEGIN:VCALENDAR", "BEGIN:VTODO", "UID:1", *lines, "END:VTODO", "END:VCALENDAR", ""]
    return "\r\n".join(text).encode()


def as_json(task: FoundTask) -> dict[str, Any]:
    """The fields of a task as the files beside the samples have them."""
    fields = asdict(task)
    for name in ("completed_at", "created_at", "due_at"):
        if fields[name]:
            fields[name] = fields[name].astimezone(UTC).isoformat().replace("+00:00", "Z")
    fields["due_date"] = fields["due_date"] and fields["due_date"].isoformat()
    fields["source"] = HASH.sub("(hash)", fields["source"])
    return fields


@pytest.mark.parametrize("name", NAMES)
def test_a_file_becomes_what_is_beside_it(name: str) -> None:
    expected = json.loads((FILES / f"{name}.json").read_text())
    options = Options(**expected.get("options", {}))
    with (FILES / f"{name}.ics").open("rb") as file:
        everything = list(read(file, options))
    assert [as_json(each) for each in everything if isinstance(each, FoundTask)] == [
        DEFAULTS | task for task in expected["tasks"]
    ]
    assert [list(each) for each in everything if isinstance(each, Loss)] == expected["lossy"]


@pytest.mark.parametrize("name", NAMES)
def test_a_second_reading_finds_the_same_and_each_source_once(name: str) -> None:
    data = (FILES / f"{name}.ics").read_bytes()
    sources = [task.source for task in tasks(data)]
    assert len(set(sources)) == len(sources)
    assert [task.source for task in tasks(data)] == sources


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"TYPE,CONTENT\n",
        b'{"kind": "tasks#taskLists"}',
        b"BEGIN:VCARD\nEND:VCARD\n",
        b"BEGIN:VTODO\nUID:1\nEND:VTODO\n",
        b"x" * 2 * LONGEST_LINE,
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_calendar_is_refused(data: bytes) -> None:
    with pytest.raises(NotThisFormat, match=r"^The file is not a calendar in UTF-8: .*\.$"):
        read(io.BytesIO(data), Options())


# Exports of this service


LATE = datetime(2026, 7, 6, 9, 30, tzinfo=UTC)

ROW = {
    "id": "019a0000-0000-7000-8000-000000000001",
    "title": "Water; ferns, or not\\",
    "description": "",
    "complete": False,
    "completed_at": None,
    "priority": 0,
    "due_at": None,
    "due_date": None,
    "parent_id": None,
    "category_id": None,
    "category": None,
    "labels": [],
    "recurrence": None,
    "occurrence": None,
    "reminders": [],
    "snoozed_until": None,
    "position": "V",
    "created_at": LATE,
    "updated_at": LATE,
    "time_zone": "Europe/Berlin",
}
RECURRENCE = {"time_zone": "Europe/Berlin", "after": "schedule", "overflow": "skip"}


def moved(**changes: Any) -> tuple[dict[str, Any], list[Loss]]:
    """What becomes of a row of this service that is exported and read again."""
    data = BEGIN + todos([SimpleNamespace(**ROW | changes)]) + END  # type: ignore[list-item]
    everything = found(data, Options(time_zone="Europe/Berlin", name="tasks"))
    [task] = [each for each in everything if isinstance(each, FoundTask)]
    return asdict(task), [each for each in everything if isinstance(each, Loss)]


@pytest.mark.parametrize(
    ("row", "task"),
    [
        ({}, {}),
        ({"title": "a\nBEGIN:VEVENT", "description": "b\n c\\n\n"}, None),
        ({"complete": True, "completed_at": LATE}, None),
        ({"priority": 1}, {"priority": "low"}),
        ({"priority": 2}, {"priority": "medium"}),
        ({"priority": 3}, {"priority": "high"}),
        ({"due_date": date(999, 1, 31)}, None),
        ({"due_at": LATE}, None),
        ({"parent_id": "2"}, {"parent": "2"}),
        ({"labels": ["b", "A, B", "c\\;"]}, {"labels": ["A, B", "b", "c\\;"]}),
        (
            {"category_id": "9", "category": "Home, sweet", "labels": ["Home, sweet", "z"]},
            {"category": "Home, sweet", "labels": ["Home, sweet", "z"]},
        ),
        ({"category_id": "9", "category": "Home"}, {"category": "Home"}),
        (
            {
                "due_at": LATE,
                "occurrence": datetime(2026, 7, 6, 11, 30),
                "recurrence": RECURRENCE | {"rule": "FREQ=WEEKLY;BYDAY=MO,FR"},
            },
            {"due_at": LATE, "rule": "FREQ=WEEKLY;BYDAY=MO,FR", "time_zone": "Europe/Berlin"},
        ),
        (
            {
                "due_date": date(2026, 7, 6),
                "occurrence": datetime(2026, 7, 6),
                "recurrence": RECURRENCE
                | {"rule": "FREQ=YEARLY;UNTIL=20300101;BYMONTH=7;BYDAY=1MO"},
            },
            {
                "due_date": date(2026, 7, 6),
                "rule": "FREQ=YEARLY;UNTIL=20300101;BYMONTH=7;BYDAY=1MO",
                "time_zone": "Europe/Berlin",
            },
        ),
        (
            {
                "due_date": date(2026, 7, 31),
                "occurrence": datetime(2026, 7, 31),
                "recurrence": {
                    "rule": "FREQ=MONTHLY",
                    "time_zone": "Asia/Tokyo",
                    "after": "completion",
                    "overflow": "backward",
                },
            },
            {
                "due_date": date(2026, 7, 31),
                "rule": "FREQ=MONTHLY",
                "time_zone": "Asia/Tokyo",
                "after_completion": True,
                "overflow": "backward",
            },
        ),
        ({"position": "V0001"}, {"order": "V0001"}),
        (
            {
                "due_date": date(2026, 7, 6),
                "reminders": [
                    {"days_before": 0, "time": "09:00"},
                    {"days_before": 28, "time": "23:59"},
                    {"at": "2026-07-01T08:00:00Z"},
                ],
            },
            None,
        ),
        ({"due_at": LATE, "reminders": [{"before": "PT0S"}, {"before": "P28D"}]}, None),
        ({"due_at": LATE, "reminders": [{"before": "P1DT1H1M1S"}]}, None),
        (
            {"due_at": LATE, "reminders": [{"days_before": 1, "time": "18:00"}]},
            {"due_at": LATE, "reminders": [{"before": "PT17H30M"}]},
        ),
    ],
)
def test_our_own_export_comes_back(row: dict[str, Any], task: dict[str, Any] | None) -> None:
    same = {
        "source": ROW["id"],
        "title": ROW["title"],
        "created_at": LATE,
        "line": 4,
        "order": ROW["position"],
    }
    expected = DEFAULTS | same | (row if task is None else task)
    assert moved(**row) == (expected, [])


def test_what_ics_does_not_say_of_our_own_export() -> None:
    recurrence = RECURRENCE | {"rule": "FREQ=DAILY;COUNT=3"}
    snoozed = {"snoozed_until": LATE, "complete": False}
    day = {"due_date": date(2026, 7, 6), "occurrence": datetime(2026, 7, 6)}
    task, lossy = moved(**day, **snoozed, recurrence=recurrence)
    assert task["reminders"] == [{"at": "2026-07-06T09:30:00Z"}]
    assert [each.detail for each in lossy] == [
        "The occurrences are counted from the present one on."
    ]
    reminders = [{"days_before": 0, "time": "18:00"}]
    task, lossy = moved(due_at=LATE, reminders=reminders)
    assert task["reminders"] == []
    assert [each.field for each in lossy] == ["TRIGGER"]


def test_our_product_is_that_of_our_export() -> None:
    assert f"PRODID:{OUR_PRODUCT}\r\n".encode() in BEGIN


plain = st.text(st.characters(exclude_categories=["Cs", "Cc"])).map(lambda text: f"t{text}")


@given(title=plain, description=plain, labels=st.sets(plain.map(str.strip)))
@example(title="C:\\New", description="\\N\\n\\", labels={"\\N,", ";"})
def test_any_text_of_our_own_export_comes_back(
    title: str, description: str, labels: set[str]
) -> None:
    task, lossy = moved(title=title, description=description, labels=list(labels))
    assert (task["title"], task["description"], lossy) == (title, description, [])
    assert set(task["labels"]) == labels


# Time zones


def changes(zone: ZoneInfo) -> Iterator[tuple[datetime, timedelta, timedelta]]:
    """The instants at which a zone's offset changes, and the offsets before and after."""
    day, end = datetime(1971, 1, 1, tzinfo=UTC), datetime(2037, 1, 1, tzinfo=UTC)
    while day < end:
        early, late = day, day + timedelta(days=1)
        before, after = (at.astimezone(zone).utcoffset() for at in (early, late))
        day = late
        if before == after or before is None or after is None:
            continue
        while late - early > timedelta(seconds=1):
            middle = early + (late - early) // 2
            early, late = (
                (middle, late) if middle.astimezone(zone).utcoffset() == before else (early, middle)
            )
        yield late.replace(microsecond=0), before, after


def written(offset: timedelta) -> str:
    """An offset as iCalendar has it."""
    minutes = abs(offset) // timedelta(minutes=1)
    return f"{'-' if offset < timedelta(0) else '+'}{minutes // 60:02}{minutes % 60:02}"


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"])
def test_a_zone_of_the_file_is_as_exact_as_the_one_that_it_was_made_of(name: str) -> None:
    zone = ZoneInfo(name)
    text = "BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nTZID:a\n"
    for at, before, after in changes(zone):
        text += f"BEGIN:STANDARD\nDTSTART:{(at + before).strftime('%Y%m%dT%H%M%S')}\n"
        text += f"TZOFFSETFROM:{written(before)}\nTZOFFSETTO:{written(after)}\nEND:STANDARD\n"
    [block, _] = blocks(io.BytesIO(text.encode() + b"END:VTIMEZONE\n"), "VTIMEZONE")
    own, at = OwnZone(block), datetime(1982, 1, 1)
    while at.year < 2037:
        assert own.offset(at) == at.replace(tzinfo=zone).utcoffset(), at
        at += timedelta(minutes=2969)
    with pytest.raises(Unreadable):
        own.offset(datetime(1960, 1, 1))


def test_a_zone_with_rules_is_as_exact_as_its_namesake() -> None:
    data = (FILES / "changes_of_clocks.ics").read_bytes()
    [block] = [each for each in blocks(io.BytesIO(data), "VTIMEZONE") if each.name == "VTIMEZONE"]
    own, zone, at = OwnZone(block), ZoneInfo("Europe/Berlin"), datetime(1997, 1, 1)
    while at.year < 2037:
        assert own.offset(at) == at.replace(tzinfo=zone).utcoffset(), at
        at += timedelta(minutes=1031)


RULES = {
    "FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU": date(2026, 3, 29),
    "FREQ=YEARLY;BYMONTH=3;BYDAY=2SU": date(2026, 3, 8),
    "FREQ=YEARLY;BYMONTH=3;BYDAY=SU;BYMONTHDAY=15,16,17,18,19,20,21": date(2026, 3, 15),
    "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=-1": date(2026, 3, 31),
    "FREQ=YEARLY;BYMONTH=3": date(2026, 3, 5),
    "FREQ=YEARLY": date(2026, 3, 5),
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29": date(2024, 2, 29),
    "FREQ=YEARLY;UNTIL=20260305T010000Z": date(2026, 3, 5),
    "FREQ=YEARLY;UNTIL=20260305T005959Z": date(2025, 3, 5),
    "FREQ=YEARLY;UNTIL=20250305": date(2025, 3, 5),
}
ZONE = """
BEGIN:VTIMEZONE
TZID:Own
BEGIN:DAYLIGHT
DTSTART:20000305T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:{rule}
END:DAYLIGHT
BEGIN:STANDARD
DTSTART:19990101T000000
TZOFFSETFROM:+0100
TZOFFSETTO:+0100
{dates}
END:STANDARD
END:VTIMEZONE
"""


@contextmanager
def refused_zone() -> Iterator[None]:
    with pytest.raises(Unreadable, match="not supported"):
        yield


def own_zone(rule: str, dates: str = "X-A:1") -> OwnZone:
    text = f"BEGIN:VCALENDAR{ZONE.format(rule=rule, dates=dates)}END:VCALENDAR"
    [block] = blocks(io.BytesIO(text.encode()), "VTIMEZONE")
    return OwnZone(block)


@pytest.mark.parametrize("rule", RULES)
def test_the_rules_that_zones_are_written_with(rule: str) -> None:
    last = RULES[rule]
    before = (last - timedelta(days=1)).strftime("%Y%m%dT120000")
    zone = own_zone(rule, f"RDATE:{before}")
    at = datetime.combine(last, datetime.min.time())
    assert zone.offset(at + timedelta(hours=2, minutes=59)) == timedelta(hours=1)
    assert zone.offset(at + timedelta(hours=3)) == timedelta(hours=2)
    assert zone.offset(datetime(2026, 12, 31)) == timedelta(hours=2)


@pytest.mark.parametrize(
    "rule",
    [
        *("FREQ=SECONDLY", "FREQ=DAILY", "FREQ=YEARLY;INTERVAL=2", "FREQ=YEARLY;COUNT=3"),
        *("FREQ=YEARLY;BYDAY=1SU", "FREQ=YEARLY;BYMONTH=3,4", "FREQ=YEARLY;BYMONTHDAY=1", "x"),
        *("FREQ=YEARLY;BYMONTH=3;BYDAY=SU;BYSETPOS=1", "FREQ=YEARLY\nRRULE:FREQ=YEARLY"),
    ],
)
def test_other_rules_are_refused(rule: str) -> None:
    with refused_zone():
        own_zone(rule)


@pytest.mark.parametrize(
    "dates",
    [
        "EXDATE:20000101T000000",
        "RDATE;VALUE=PERIOD:20000101T000000/PT1H",
        "RDATE:20000101T000000Z",
        "RDATE:20000101",
        "TZOFFSETTO:+0200",
        "RDATE:20000101T000000," * 1000,
        "\n".join(["RDATE:" + ",".join(["20000101T000000"] * 500)] * 5),
        "RDATE:99991231T235959\nEXRULE:FREQ=DAILY",
    ],
    ids=lambda text: text[:30],
)
def test_other_dates_are_refused(dates: str) -> None:
    with refused_zone():
        own_zone("FREQ=YEARLY", dates)


@pytest.mark.parametrize("old", ["19990101T000000", "+0200", "TZOFFSETTO:+0100", "STANDARD"])
def test_a_zone_that_is_damaged_is_refused(old: str) -> None:
    text = ZONE.format(rule="FREQ=YEARLY", dates="X-A:1").replace(old, "\xff", 2)
    due = "DUE;TZID=Own:20260101T120000"
    data = calendar("SUMMARY:a", due).replace(b"BEGIN:VTODO", text.encode() + b"BEGIN:VTODO")
    assert "The time zone is not known: Own" in [each.detail for each in losses(data)]


def test_names_of_any_length_are_no_time_zones() -> None:
    name = "/" + "a/" * 1000 + "Europe/Berlin"
    [loss] = losses(calendar("SUMMARY:a", f"DUE;TZID={name}:20260101T120000"))
    assert loss.detail == f"The time zone is not known: {name[:60]}…"


def test_a_time_for_which_two_offsets_are_said_is_lost() -> None:
    zone = own_zone("FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=1", "RDATE:20260301T030000")
    with pytest.raises(Unreadable, match="does not say"):
        zone.offset(datetime(2026, 4, 1))


def test_a_zone_of_one_file_is_unknown_to_the_next() -> None:
    data = (FILES / "two_calendars.ics").read_bytes()
    due = "DUE;TZID=Local:20260101T120000"
    for _ in range(2):
        assert len(tasks(data)) == 3
        assert [each.detail for each in losses(calendar("SUMMARY:a", due))] == [
            "The time zone is not known: Local"
        ]


# Bounds


def test_long_texts_are_left_to_those_who_cut_them() -> None:
    title, text = "ä" * 100_000, "🌱" * 100_000
    [task] = found(calendar(f"SUMMARY:{title}", f"DESCRIPTION:{text}", f"CATEGORIES:{title}"))
    assert isinstance(task, FoundTask)
    assert (task.title, task.description, task.labels) == (title, text, [title])


def test_a_line_that_is_too_long_is_cut() -> None:
    text = "🌱" * LONGEST_LINE
    task, loss = found(calendar("SUMMARY:a", f"DESCRIPTION:x{text}"))
    assert isinstance(task, FoundTask)
    assert task.description == "x" + "🌱" * ((LONGEST_LINE - len("DESCRIPTION:x")) // 4)
    assert loss == Loss(
        5, "DESCRIPTION", f"The value is longer than {LONGEST_LINE} bytes; the rest was cut off."
    )


def test_attachments_of_any_size_take_no_room() -> None:
    data = calendar("SUMMARY:a", *(["ATTACH;ENCODING=BASE64;VALUE=BINARY:" + "A" * LARGEST] * 3))
    task, *lossy = found(data)
    assert isinstance(task, FoundTask)
    assert [each.field for each in lossy if isinstance(each, Loss)] == ["ATTACH"] * 3


@pytest.mark.parametrize(
    "lines",
    [
        ["CATEGORIES:a"] * MOST_LINES,
        ["COMMENT:" + "a" * (LONGEST_LINE - 10)] * 5,
        ["BEGIN:VALARM", *["BEGIN:X", "END:X"] * MOST_LINES, "END:VALARM"],
        ["BEGIN:VALARM", "END:VALARM"] * MOST_LINES,
    ],
    ids=["lines", "bytes", "parts of an alarm", "alarms"],
)
def test_a_to_do_that_is_too_large_is_reported(lines: list[str]) -> None:
    [loss] = found(calendar("SUMMARY:Huge", *lines))
    assert loss == Loss(2, "VTODO", "The to-do is too large, and was not taken over: Huge")


def test_at_most_ten_thousand_losses_are_listed() -> None:
    one = "BEGIN:VTODO\nUID:{0}\nSUMMARY:a\nPRIORITY:x\nEND:VTODO\n"
    data = "BEGIN:VCALENDAR\n" + "".join(one.format(n) for n in range(MOST_OF_READER + 5))
    everything = found(data.encode())
    lossy = [each for each in everything if isinstance(each, Loss)]
    assert len(everything) - len(lossy) == MOST_OF_READER + 5
    assert len(lossy) == MOST_OF_READER + 1
    assert lossy[-1].detail == "More than 10,000 things are lost; the others are not listed."


def test_what_is_said_of_calendars_is_bounded() -> None:
    one = "BEGIN:VCALENDAR\nX-WR-CALNAME:{0}\nBEGIN:VTODO\nUID:{0}\nSUMMARY:a\nEND:VTODO\n"
    one += "END:VCALENDAR\n"
    data = "".join(one.format(n) for n in range(MOST_SAID + 3))
    first, *others = found(data.encode())
    assert first == Loss(
        MOST_SAID * 7 + 2,
        "X-WR-CALNAME",
        "The file has too many calendars and time zones; the last ones were not read.",
    )
    names = [each.category for each in others if isinstance(each, FoundTask)]
    assert names == [*map(str, range(MOST_SAID)), None, None, None]


def test_a_loss_quotes_the_beginning_of_a_value() -> None:
    long = "x" * 10_000
    lines = [f"{name}:{long}" for name in sorted(KNOWN - {"SUMMARY", "RECURRENCE-ID"})]
    alarm = ["BEGIN:VALARM", f"TRIGGER;RELATED={long}:-PT1H", "END:VALARM"]
    assert valid(found(calendar(*lines, *alarm, f"SUMMARY:{long}", f"{long}:")))
    assert valid(found(calendar(*lines, f"SUMMARY:{long}", f"RECURRENCE-ID;RANGE=x:{long}")))
    assert valid(found(calendar(*lines, f"SUMMARY:{long}", f"DUE;TZID={long}:20260101T000000")))


def test_of_many_kinds_of_components_twenty_are_named() -> None:
    lines = [f"BEGIN:X-{n}\nEND:X-{n}\n" for n in range(1000)]
    lossy = losses(f"BEGIN:VCALENDAR\n{''.join(lines)}END:VCALENDAR".encode())
    assert len(lossy) == 21
    assert lossy[-1].detail.endswith(": 980")


@pytest.mark.parametrize("name", ["SUMMARY", "DUE", "RRULE", "CATEGORIES"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_hostile_texts_are_read_at_once(name: str, text: str) -> None:
    text = text.replace("\n", "\\n")
    data = calendar(f"{name}:{text}", "BEGIN:VALARM", f"TRIGGER:P{text}", "END:VALARM", text)
    assert valid(found(data))
    assert valid(found(calendar(f"{name};TZID={text}:1", f"{name};{text}")))


def many(number: int) -> io.BytesIO:
    """A file of to-dos, each with a UID of its own."""
    one = "BEGIN:VTODO\nUID:uid-{0}\nSUMMARY:Task {0}\nDUE:20260101T000000Z\n"
    one += "DESCRIPTION:" + "a" * 1000 + "\nBEGIN:VALARM\nTRIGGER;RELATED=END:PT0S\nEND:VALARM\n"
    todos = "".join((one + "END:VTODO\n").format(n) for n in range(number))
    return io.BytesIO(f"BEGIN:VCALENDAR\n{todos}END:VCALENDAR\n".encode())


def peak(file: io.BytesIO) -> int:
    """Bytes that reading the file takes at most."""
    tracemalloc.start()
    try:
        for each in read(file, Options()):
            assert isinstance(each, FoundTask)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_ten_thousand_to_dos_take_no_more_memory_than_a_thousand() -> None:
    peak(many(10))
    few, lots = peak(many(1000)), peak(many(10_000))
    # Of each to-do two hashes of its source are kept: some 100 bytes each, in a set.
    assert lots < few + 10_000 * 250, (few, lots)
    assert lots < 3_000_000


# Anything


def valid(everything: list[Found]) -> bool:
    """Whether each task is one that can be imported, and each loss one that can be reported."""
    sources = set()
    for each in everything:
        if isinstance(each, Loss):
            assert each.line > 0
            json.dumps(each, ensure_ascii=False).encode()
            assert len(each.detail) < 300
            assert "\0" not in each.detail
            continue
        assert each.title.strip()
        assert each.source
        assert each.source not in sources
        sources.add(each.source)
        assert each.complete or each.completed_at is None
        assert each.due_date is None or each.due_at is None
        for at in (each.due_at, each.completed_at, each.created_at):
            assert at is None or at.utcoffset() is not None
        assert (each.rule is None) == (each.time_zone is None)
        assert each.rule is None or each.due_date or each.due_at
        assert each.priority in ("none", "low", "medium", "high")
        assert not each.after_completion
        texts = [each.title, each.description, each.category or "", each.parent or "", *each.labels]
        assert "\0" not in "".join(texts)
        "".join(texts).encode()
    return True


def readable(data: bytes) -> bool:
    """Whether bytes are refused, or give nothing but what is valid."""
    try:
        return valid(found(data))
    except NotThisFormat:
        return True


@given(st.binary(max_size=500))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    assert readable(data)
    assert readable(b"BEGIN:VCALENDAR\nBEGIN:VTODO\n" + data + b"\nEND:VTODO\nEND:VCALENDAR")


SAMPLES = [(FILES / f"{name}.ics").read_bytes() for name in NAMES]


@settings(max_examples=300)
@given(
    sample=st.sampled_from(SAMPLES),
    changes=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 30), st.binary(max_size=8)), max_size=6
    ),
    end=st.floats(0, 1),
)
def test_damaged_files_are_refused_or_read(
    sample: bytes, changes: list[tuple[float, int, bytes]], end: float
) -> None:
    for place, length, data in changes:
        at = int(place * len(sample))
        sample = sample[:at] + data + sample[at + length :]
    assert readable(sample)
    assert readable(sample[: int(end * len(sample))])


LINES = sorted({line for sample in SAMPLES for line in sample.splitlines() if len(line) < 100})


@settings(max_examples=300)
@given(st.lists(st.sampled_from(LINES), max_size=40))
def test_lines_in_any_order_are_read(lines: list[bytes]) -> None:
    data = b"BEGIN:VCALENDAR\nBEGIN:VTODO\n" + b"\n".join(lines)
    assert readable(data)
    assert readable(data + b"\nEND:VTODO\nEND:VCALENDAR\n")
