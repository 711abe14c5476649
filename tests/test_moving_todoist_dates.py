"""What the texts of Todoist's dates mean: a table, and the days of rules against dateutil."""

from datetime import date, datetime, timedelta, timezone
from typing import Final

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st

from app.api.tasks.rules import after_completion, canonical
from app.api.transfer.moving.todoist.dates import NO_EXPORT, Due, due
from app.api.transfer.moving.todoist.days import NO_YEAR, RELATIVE_TO, Unreadable

FRIDAY: Final = date(2026, 11, 20)
"""The day of the export in these tests."""

WORKDAYS: Final = "BYDAY=MO,TU,WE,TH,FR"
MONDAYS: Final = "FREQ=WEEKLY;BYDAY=MO"

ONCE: Final = {
    "2027-01-31": "2027-01-31",
    " 2027-01-31 ": "2027-01-31",
    "2027-01-31 9am": "2027-01-31T09:00:00",
    "2027-01-31 15:30": "2027-01-31T15:30:00",
    "2027-01-31T15:30": "2027-01-31T15:30:00",
    "2027-01-31t15:30:20": "2027-01-31T15:30:20",
    "15 Mar": "2026-03-15",
    "Mar 15": "2026-03-15",
    "15 March": "2026-03-15",
    "15th march": "2026-03-15",
    "Mar 15th": "2026-03-15",
    "1 Sep.": "2026-09-01",
    "sept 1": "2026-09-01",
    "31 Dec": "2026-12-31",
    "15 Mar 2027": "2027-03-15",
    "Mar 15 2027": "2027-03-15",
    "Mar 15, 2027": "2027-03-15",
    "29 Feb 2028": "2028-02-29",
    "15 March at 9am": "2026-03-15T09:00:00",
    "15 Mar 9:00am": "2026-03-15T09:00:00",
    "15 Mar 2027 21:05": "2027-03-15T21:05:00",
    "15 Mar 09:00": "2026-03-15T09:00:00",
    "10 Apr 17:15": "2026-04-10T17:15:00",
    "15 Mar @ 7pm": "2026-03-15T19:00:00",
    "15 Mar 7 pm": "2026-03-15T19:00:00",
    "15 Mar 7\u202fPM": "2026-03-15T19:00:00",
    "15 Mar at 9": "2026-03-15T09:00:00",
    "15 Mar at 2300": "2026-03-15T23:00:00",
    "15 Mar 0:30": "2026-03-15T00:30:00",
    "15 Mar 12am": "2026-03-15T00:00:00",
    "15 Mar 12pm": "2026-03-15T12:00:00",
    "15 Mar at noon": "2026-03-15T12:00:00",
    "today": "2026-11-20",
    "tod": "2026-11-20",
    "Tomorrow": "2026-11-21",
    "tom 18:00": "2026-11-21T18:00:00",
    "yesterday": "2026-11-19",
    "today at 10": "2026-11-20T10:00:00",
    "in 2 days": "2026-11-22",
    "in 1 week": "2026-11-27",
    "sat": "2026-11-21",
    "Thursday": "2026-11-26",
    "mon at 9am": "2026-11-23T09:00:00",
}

REPEATING: Final = {
    "every day": ("2026-11-20", "FREQ=DAILY"),
    "Every Day": ("2026-11-20", "FREQ=DAILY"),
    "ev day": ("2026-11-20", "FREQ=DAILY"),
    "everyday": ("2026-11-20", "FREQ=DAILY"),
    "daily": ("2026-11-20", "FREQ=DAILY"),
    "every 1 day": ("2026-11-20", "FREQ=DAILY"),
    "every day at 9am": ("2026-11-20T09:00:00", "FREQ=DAILY"),
    "every day 09:00": ("2026-11-20T09:00:00", "FREQ=DAILY"),
    "every morning": ("2026-11-20T09:00:00", "FREQ=DAILY"),
    "every evening": ("2026-11-20T19:00:00", "FREQ=DAILY"),
    "every weekday": ("2026-11-20", f"FREQ=WEEKLY;{WORKDAYS}"),
    "every workday at 8:30": ("2026-11-20T08:30:00", f"FREQ=WEEKLY;{WORKDAYS}"),
    "every mon": ("2026-11-23", MONDAYS),
    "every monday": ("2026-11-23", MONDAYS),
    "every friday": ("2026-11-20", "FREQ=WEEKLY;BYDAY=FR"),
    "every mon, thu": ("2026-11-23", "FREQ=WEEKLY;BYDAY=MO,TH"),
    "every mon, thu at 9": ("2026-11-23T09:00:00", "FREQ=WEEKLY;BYDAY=MO,TH"),
    "every thu and mon": ("2026-11-23", "FREQ=WEEKLY;BYDAY=MO,TH"),
    "every tue, wed and sun": ("2026-11-22", "FREQ=WEEKLY;BYDAY=TU,WE,SU"),
    "every tue, wed, and sun": ("2026-11-22", "FREQ=WEEKLY;BYDAY=TU,WE,SU"),
    "every fri at noon": ("2026-11-20T12:00:00", "FREQ=WEEKLY;BYDAY=FR"),
    "every mon, fri at 2300": ("2026-11-20T23:00:00", "FREQ=WEEKLY;BYDAY=MO,FR"),
    "every 15th": ("2026-12-15", "FREQ=MONTHLY;BYMONTHDAY=15"),
    "every 3": ("2026-12-03", "FREQ=MONTHLY;BYMONTHDAY=3"),
    "every 15": ("2026-12-15", "FREQ=MONTHLY;BYMONTHDAY=15"),
    "every 20th": ("2026-11-20", "FREQ=MONTHLY;BYMONTHDAY=20"),
    "every 2, 15, 27": ("2026-11-27", "FREQ=MONTHLY;BYMONTHDAY=2,15,27"),
    "every 1st of the month": ("2026-12-01", "FREQ=MONTHLY;BYMONTHDAY=1"),
    "every last day": ("2026-11-30", "FREQ=MONTHLY;BYMONTHDAY=-1"),
    "every last day of the month": ("2026-11-30", "FREQ=MONTHLY;BYMONTHDAY=-1"),
    "every 15, last day": ("2026-11-30", "FREQ=MONTHLY;BYMONTHDAY=-1,15"),
    "every 3rd friday": ("2026-11-20", "FREQ=MONTHLY;BYDAY=3FR"),
    "every first mon": ("2026-12-07", "FREQ=MONTHLY;BYDAY=1MO"),
    "every last friday at 5pm": ("2026-11-27T17:00:00", "FREQ=MONTHLY;BYDAY=-1FR"),
    "every 1st mon, 3rd mon": ("2026-12-07", "FREQ=MONTHLY;BYDAY=1MO,3MO"),
    "every 1st wed jan": ("2027-01-06", "FREQ=YEARLY;BYMONTH=1;BYDAY=1WE"),
    "every last workday": ("2026-11-30", f"FREQ=MONTHLY;{WORKDAYS};BYSETPOS=-1"),
    "every first workday": ("2026-12-01", f"FREQ=MONTHLY;{WORKDAYS};BYSETPOS=1"),
    "every 15th workday": ("2026-11-20", f"FREQ=MONTHLY;{WORKDAYS};BYSETPOS=15"),
    "every 15 mar": ("2027-03-15", "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=15"),
    "every mar 15th": ("2027-03-15", "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=15"),
    "every 20 nov": ("2026-11-20", "FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=20"),
    "every 31 dec at 9pm": ("2026-12-31T21:00:00", "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=31"),
    "every 14 jan, 14 apr": ("2027-01-14", "FREQ=YEARLY;BYMONTH=1,4;BYMONTHDAY=14"),
    "every mon until 2027-01-31": ("2026-11-23", "FREQ=WEEKLY;UNTIL=20270131;BYDAY=MO"),
    "every day ending 31 Jan 2027": ("2026-11-20", "FREQ=DAILY;UNTIL=20270131"),
    "every mon starting 2027-01-02": ("2027-01-04", MONDAYS),
    "every mon starting 2024-01-01": ("2026-11-23", MONDAYS),
    "every day, starting on 2 Jan 2027 at 9am": ("2027-01-02T09:00:00", "FREQ=DAILY"),
    "every day at 9am from 2027-01-02 until 2027-01-03": (
        "2027-01-02T09:00:00",
        "FREQ=DAILY;UNTIL=20270103",
    ),
    "every other fri starting 2024-01-01": ("2024-01-05", "FREQ=WEEKLY;INTERVAL=2;BYDAY=FR"),
    "every other day starting 2027-01-02": ("2027-01-02", "FREQ=DAILY;INTERVAL=2"),
    "every 3 days starting 2027-01-02": ("2027-01-02", "FREQ=DAILY;INTERVAL=3"),
    "every week starting 2027-01-02": ("2027-01-02", "FREQ=WEEKLY"),
    "weekly starting Jan 2, 2027": ("2027-01-02", "FREQ=WEEKLY"),
    "every month starting 2027-01-28": ("2027-01-28", "FREQ=MONTHLY"),
    "every 2 months starting 2027-01-02": ("2027-01-02", "FREQ=MONTHLY;INTERVAL=2"),
    "every quarter starting 2027-01-02": ("2027-01-02", "FREQ=MONTHLY;INTERVAL=3"),
    "every 2 quarters starting 2027-01-02": ("2027-01-02", "FREQ=MONTHLY;INTERVAL=6"),
    "every year starting 2027-01-31": ("2027-01-31", "FREQ=YEARLY"),
    "every 15 months starting 2027-01-02": ("2027-01-02", "FREQ=MONTHLY;INTERVAL=15"),
}

AFTER_COMPLETION: Final = {
    "every! day starting 2027-01-02": ("2027-01-02", "FREQ=DAILY"),
    "every! 2 weeks starting 2027-01-02": ("2027-01-02", "FREQ=WEEKLY;INTERVAL=2"),
    "ev! other month starting 2027-01-31": ("2027-01-31", "FREQ=MONTHLY;INTERVAL=2"),
    "every! year at 9am starting 2024-02-29": ("2024-02-29T09:00:00", "FREQ=YEARLY"),
    "after 10 days starting 2027-01-02": ("2027-01-02", "FREQ=DAILY;INTERVAL=10"),
}

EXACT: Final = "cannot be read exactly"
START: Final = "does not say on which day the task is due first"
LACKING: Final = "is on a day that some months lack"
COUNTED: Final = "counts from the completion, which tasks do only by days, weeks, months or years"
UNDATED: Final = "begins or ends on a day that is not given in full"
CALENDAR: Final = "is no day of the calendar"
HALF: Final = "may be of the morning or of the afternoon"

UNREADABLE: Final = {
    "": EXACT,
    "soon": EXACT,
    "no date": EXACT,
    ",": EXACT,
    "27th": EXACT,
    "2026": EXACT,
    "03/04/2026": EXACT,
    "15.3.2026": EXACT,
    "next friday": EXACT,
    "next week": EXACT,
    "friday": "may be the day of the export or a week later",
    "in 2 months": EXACT,
    "in 99999 days": EXACT,
    "in 0 days": EXACT,
    "6pm": EXACT,
    "at 6pm": EXACT,
    "tomorrow morning": EXACT,
    "15 Mar 15 Apr": EXACT,
    "15 Mar at": EXACT,
    "15 Mar at 5": HALF,
    "15 Mar 5:30": HALF,
    "15 Mar 13pm": EXACT,
    "15 Mar 0am": EXACT,
    "15 Mar 24:00": EXACT,
    "15 Mar 9:60": EXACT,
    "15 Mar 10": EXACT,
    "0 Mar": EXACT,
    "32 Mar": EXACT,
    "30 Feb": CALENDAR,
    "29 Feb": CALENDAR,
    "2026-02-30": CALENDAR,
    "2026-13-01": CALENDAR,
    "0000-01-01": CALENDAR,
    "2026-07-01T25:00": CALENDAR,
    "\uff11\uff15 Mar": EXACT,
    "in 1 wee\u212a": EXACT,
    "every": EXACT,
    "every!": EXACT,
    "every day,": EXACT,
    "every day day": EXACT,
    "every hour": EXACT,
    "every 12 hours starting at 9pm": EXACT,
    "every 0 days": EXACT,
    "every 1000 days": EXACT,
    "every 999 quarters starting 2027-01-02": EXACT,
    "every weekend": EXACT,
    "every holiday": EXACT,
    "every 3 workday": EXACT,
    "every 2 fri": EXACT,
    "every other weekday": EXACT,
    "every other mon, thu": EXACT,
    "every other 15th": EXACT,
    "every 2nd month": EXACT,
    "every 5th friday": EXACT,
    "every 15th day": EXACT,
    "every march": EXACT,
    "every mon thu": EXACT,
    "every mon at 8pm, tue at 9pm": EXACT,
    "every mon except holidays": EXACT,
    "every mon, 15th": EXACT,
    "every 2, 15 mar": EXACT,
    "every 14 jan, 15 apr": EXACT,
    "every 1st wed jan, 3rd thu jul": EXACT,
    "every 1st mon, 3rd thu jul": EXACT,
    "every morning at 8": EXACT,
    "every day at 9 at 10": EXACT,
    "every 29th": LACKING,
    "every 31": LACKING,
    "every 1, 30": LACKING,
    "every 29 feb": LACKING,
    "every 31 apr": LACKING,
    "every 21st workday": LACKING,
    "every month starting 2027-01-31": LACKING,
    "every year starting 2024-02-29": LACKING,
    "every 3 days": START,
    "every other day": START,
    "every other fri": START,
    "every week": START,
    "weekly": START,
    "every month": START,
    "every 2 months": START,
    "every year": START,
    "every! 2 weeks": START,
    "every! day": START,
    "after 10 days": START,
    "after lunch": EXACT,
    "after other day": EXACT,
    "every! mon": COUNTED,
    "every! 15th": COUNTED,
    "every! day starting 2027-01-02 until 2027-02-02": COUNTED,
    "every day starting aug 3": UNDATED,
    "every day starting tomorrow": UNDATED,
    "every day until friday": UNDATED,
    "every day for 3 weeks": EXACT,
    "every day until 2026-11-19": "ends before it begins",
    "every day starting 9999-12-31 until 9999-12-31 until 9999-12-31": EXACT,
    "every mon starting 9999-12-31": CALENDAR,
    "every " * 40: "is too long for a date",
    "x" * 201: "is too long for a date",
}

WITHOUT_AN_EXPORT_DAY: Final = {
    "15 Mar": NO_YEAR,
    "15 Mar at 9am": NO_YEAR,
    "today": RELATIVE_TO,
    "in 3 days": RELATIVE_TO,
    "mon": RELATIVE_TO,
    "every day": NO_EXPORT,
    "every mon, thu at 9": NO_EXPORT,
    "every mon until 2027-01-31": NO_EXPORT,
}

FIXED: Final = [
    *("every day", "every mon, thu", "every weekday", "every 15th", "every 2, 15, last day"),
    *("every 3rd friday", "every last sun", "every last workday", "every 20th workday"),
    *("every 15 mar", "every 14 jan, 14 apr", "every 1st wed jan", "every last fri feb"),
]
"""Rules that are the same whenever they start."""


def when(text: str) -> date | datetime:
    return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)


@pytest.mark.parametrize("text", ONCE)
def test_a_date_is_read(text: str) -> None:
    assert due(text, "en", FRIDAY) == Due(when(ONCE[text]))


@pytest.mark.parametrize("text", REPEATING)
def test_a_repetition_is_read(text: str) -> None:
    first, rule = REPEATING[text]
    assert due(text, "", FRIDAY) == Due(when(first), rule)


@pytest.mark.parametrize("text", AFTER_COMPLETION)
def test_a_repetition_after_completion_is_read(text: str) -> None:
    first, rule = AFTER_COMPLETION[text]
    assert due(text, "EN", FRIDAY) == Due(when(first), rule, after_completion=True)


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_is_not_clear_is_not_read(text: str) -> None:
    with pytest.raises(Unreadable) as caught:
        due(text, "en", FRIDAY)
    assert str(caught.value) == UNREADABLE[text]


@pytest.mark.parametrize("text", WITHOUT_AN_EXPORT_DAY)
def test_nothing_is_read_relative_to_an_unknown_day(text: str) -> None:
    with pytest.raises(Unreadable) as caught:
        due(text, "en", None)
    assert str(caught.value) == WITHOUT_AN_EXPORT_DAY[text]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("2027-01-31", "2027-01-31"),
        ("15 Mar 2027 at 9am", "2027-03-15T09:00:00"),
        ("every mon starting 2024-01-01", "2024-01-01"),
        ("every 3 days starting 2024-01-01", "2024-01-01"),
    ],
)
def test_what_is_complete_needs_no_day_of_the_export(text: str, first: str) -> None:
    assert due(text, "en", None).when == when(first)


def test_texts_are_read_in_english_only() -> None:
    with pytest.raises(Unreadable, match="is in another language than English"):
        due("15 Mar 2027", "nl", FRIDAY)


@pytest.mark.parametrize("language", ["de", "ja", "klingon"])
def test_dates_of_iso_8601_are_read_in_each_language(language: str) -> None:
    assert due("2027-01-31", language, None) == Due(date(2027, 1, 31))


def test_an_offset_is_kept() -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    assert due("2027-01-31T15:30:00+05:30", "de", None).when == datetime(
        2027, 1, 31, 15, 30, tzinfo=zone
    )


@pytest.mark.parametrize("text", FIXED)
@given(today=st.dates(date(1900, 1, 1), date(2100, 1, 1)))
def test_the_first_day_is_the_rules_first_one_from_the_export_on(text: str, today: date) -> None:
    found = due(text, "en", today)
    assert isinstance(found.rule, str)
    rule = rrulestr(found.rule, dtstart=datetime(today.year, today.month, today.day))
    assert found.when == rule[0].date()


WORDS: Final = [
    *("every", "every!", "ev", "after", "other", "daily", "day", "days", "week", "months", "year"),
    *("mon", "thu", "fri", "weekday", "workday", "last", "1st", "3rd", "15th", "15", "31", "2027"),
    *("mar", "jan", "2027-01-31", "0000-00-00", "at", "9", "9am", "25:00", "@", "noon", "morning"),
    *("starting", "until", "from", "on", "of", "the", "month", ",", "and", "&", "today", "in", "."),
]


@given(
    st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join) | st.text(max_size=30),
    st.none() | st.dates(),
)
def test_each_text_is_read_whole_or_not_at_all(text: str, today: date | None) -> None:
    try:
        found = due(text, "en", today)
    except Unreadable:
        return
    if found.rule:
        assert found.rule == canonical(found.rule)
        assert not found.after_completion or after_completion(found.rule)
