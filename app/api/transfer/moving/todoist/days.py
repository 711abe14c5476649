"""Days and times in Todoist's English texts, as far as they can be read exactly.

Source: Todoist's help, "Introduction to dates and time".
"""

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Final, TypeVar

Read = TypeVar("Read")

MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            *("jan january", "feb february", "mar march", "apr april", "may", "jun june"),
            *("jul july", "aug august", "sep sept september", "oct october", "nov november"),
            "dec december",
        ),
        1,
    )
    for name in names.split()
}
WEEKDAYS: Final = {
    name: number
    for number, names in enumerate(
        (
            *("mon monday", "tue tues tuesday", "wed wednesday", "thu thur thurs thursday"),
            *("fri friday", "sat saturday", "sun sunday"),
        )
    )
    for name in names.split()
}
"""Numbers from Monday, which is 0, as `date.weekday` has them."""

RELATIVE: Final = {"today": 0, "tod": 0, "tomorrow": 1, "tom": 1, "yesterday": -1}
DAYS: Final = {"day": 1, "days": 1, "week": 7, "weeks": 7}

WORD: Final = re.compile(r"[^\s,]+|,")
YEAR: Final = re.compile("[1-9][0-9]{3}")
DAY: Final = re.compile("([0-9]{4})-([0-9]{2})-([0-9]{2})")
DAY_OF_MONTH: Final = re.compile("([0-9]{1,2})(st|nd|rd|th)?")
CLOCK: Final = re.compile("([0-9]{1,2})(?::([0-9]{2}))?(am|pm)?")
DIGITS: Final = re.compile("([01][0-9]|2[0-3])([0-5][0-9])")
"""A time as in `at 2300`."""

UNCLEAR_HOURS: Final = ("1", "2", "3", "4", "5", "6", "7")
"""Hours that people also write of the afternoon, without saying so."""

NOT_EXACT: Final = "cannot be read exactly"
NO_DAY: Final = "is no day of the calendar"
NO_YEAR: Final = "has no year, and neither the file nor its name states the day of the export"
RELATIVE_TO: Final = (
    "is relative to the day of the export, which neither the file nor its name states"
)
THIS_OR_NEXT: Final = "may be the day of the export or a week later"
MORNING_OR_AFTERNOON: Final = "may be of the morning or of the afternoon"


class Unreadable(ValueError):
    """A text could not be read; why is the predicate of a sentence about it."""

    def __init__(self, why: str = NOT_EXACT) -> None:
        super().__init__(why)


class Words:
    """The words and commas of a text in lower case, taken from the left."""

    def __init__(self, text: str) -> None:
        self.words = WORD.findall(text.lower())
        self.place = 0

    def peek(self, ahead: int = 0) -> str:
        """Return a word that is to come, without a full stop; empty after the last."""
        place = self.place + ahead
        return self.words[place].removesuffix(".") if place < len(self.words) else ""

    def take(self) -> str:
        """Return the next word and go on."""
        word = self.peek()
        self.place += 1
        return word

    def skip(self, *words: str) -> bool:
        """Go on if the next word is one of these."""
        found = self.peek() in words
        self.place += found
        return found

    def attempt(self, read: Callable[["Words"], Read | None]) -> Read | None:
        """Return what is read; if that is nothing, stay."""
        place = self.place
        found = read(self)
        if found is None:
            self.place = place
        return found


def number(word: str, largest: int) -> int | None:
    """Return the number from 1 to `largest`; None if the word is none."""
    if not (word.isascii() and word.isdigit() and len(word) <= len(str(largest))):
        return None
    return int(word) if 1 <= int(word) <= largest else None


def day_of_month(words: Words) -> int | None:
    """Read `15` or `15th`."""
    match = DAY_OF_MONTH.fullmatch(words.take())
    return number(match[1].lstrip("0"), 31) if match else None


def month_and_day(words: Words) -> tuple[int, int] | None:
    """Read `15 Mar`, `15th March` or `Mar 15`."""
    month = MONTHS.get(words.peek())
    if month:
        words.take()
    day = day_of_month(words)
    month = month or MONTHS.get(words.take())
    return (month, day) if month and day else None


def on_calendar(year: int, month: int, day: int) -> date:
    """Return the day. Raises Unreadable if there is none."""
    try:
        return date(year, month, day)
    except ValueError:
        raise Unreadable(NO_DAY) from None


def days_after(start: date, days: int) -> date:
    """Return a day so many days later. Raises Unreadable beyond the calendar."""
    try:
        return start + timedelta(days)
    except OverflowError:
        raise Unreadable(NO_DAY) from None


def day(words: Words, today: date | None) -> date:
    """Read a day; `today` is the one of the export. Raises Unreadable."""
    if match := DAY.fullmatch(words.peek()):
        words.take()
        return on_calendar(*map(int, match.groups()))
    if found := words.attempt(month_and_day):
        return _with_year(words, today, *found)
    return _relative(words, today)


def _with_year(words: Words, today: date | None, month: int, day: int) -> date:
    """Read the year of a day; without one, it is that of the export."""
    if words.peek() == "," and YEAR.fullmatch(words.peek(1)):
        words.take()
    if YEAR.fullmatch(words.peek()):
        return on_calendar(int(words.take()), month, day)
    if not today:
        raise Unreadable(NO_YEAR)
    return on_calendar(today.year, month, day)


def _relative(words: Words, today: date | None) -> date:
    word = words.take()
    if word in RELATIVE:
        days = RELATIVE[word]
    elif word == "in" and (count := number(words.take(), 9999)) and words.peek() in DAYS:
        days = count * DAYS[words.take()]
    elif word in WEEKDAYS:
        days = 0
    else:
        raise Unreadable
    if not today:
        raise Unreadable(RELATIVE_TO)
    if word in WEEKDAYS:
        days = (WEEKDAYS[word] - today.weekday()) % 7
        if not days:
            raise Unreadable(THIS_OR_NEXT)
    return days_after(today, days)


def clock(words: Words) -> time | None:
    """Read a time of day, as in `at 9`, `9am` or `21:00`; None if there is none.

    Raises Unreadable if it is not clear which one is meant.
    """
    at = words.skip("at", "@")
    if words.skip("noon"):
        return time(12)
    if at and (digits := DIGITS.fullmatch(words.peek())):
        words.take()
        return time(int(digits[1]), int(digits[2]))
    match = CLOCK.fullmatch(words.peek())
    if not match:
        if at:
            raise Unreadable
        return None
    half = match[3] or (words.peek(1) if words.peek(1) in ("am", "pm") else "")
    if not (at or half or match[2]):
        return None
    words.place += 1 if match[3] or not half else 2
    return _time(match[1], match[2] or "0", half)


def _time(hour: str, minute: str, half: str) -> time:
    hours, minutes = int(hour), int(minute)
    if half and not 1 <= hours <= 12:
        raise Unreadable
    if half:
        hours = hours % 12 + (12 if half == "pm" else 0)
    elif hour in UNCLEAR_HOURS:
        raise Unreadable(MORNING_OR_AFTERNOON)
    if hours > 23 or minutes > 59:
        raise Unreadable
    return time(hours, minutes)


def moment(words: Words, today: date | None) -> date | datetime:
    """Read a day, or a day and a local time. Raises Unreadable."""
    found = day(words, today)
    at = clock(words)
    if words.peek():
        raise Unreadable
    return found if at is None else datetime.combine(found, at)
