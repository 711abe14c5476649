"""Repetition in Todoist's English texts, as far as it can be read exactly.

Source: Todoist's help, "Introduction to recurring dates".
"""

from dataclasses import dataclass
from datetime import date, time
from typing import Final

from app.api.transfer.moving.todoist.days import Unreadable, Words, clock, day, number
from app.api.transfer.moving.todoist.patterns import (
    LACKING,
    SHORTEST_MONTH,
    UNITS,
    Parts,
    dates,
    days_of_month,
    weekdays,
    weekdays_of_month,
    workdays_of_month,
)

ALONE: Final = {
    "daily": "day",
    "everyday": "day",
    "weekly": "week",
    "monthly": "month",
    "quarterly": "quarter",
    "yearly": "year",
    "annually": "year",
}
MOMENTS: Final = {"morning": 9, "afternoon": 12, "evening": 19, "night": 22}
"""Hours of `every morning` and the like."""

LARGEST_INTERVAL: Final = 999
COUNTED: Final = "counts from the completion, which tasks do only by days, weeks, months or years"
UNDATED: Final = "begins or ends on a day that is not given in full"


@dataclass
class Repetition:
    """What a text says about how a task repeats."""

    parts: Parts
    """Parts of the rule, without INTERVAL and UNTIL."""
    interval: int = 1
    after_completion: bool = False
    clock: time | None = None
    start: date | None = None
    until: date | None = None

    @property
    def fixed(self) -> bool:
        """Whether the rule says on which days it falls, whenever it starts."""
        return self.interval == 1 and (len(self.parts) > 1 or self.parts["FREQ"] == "DAILY")


def repetition(words: Words) -> Repetition | None:
    """Read how a task repeats; None if the text does not begin so. Raises Unreadable."""
    word = words.take()
    if word in ALONE:
        frequency, interval = UNITS[ALONE[word]]
        found = Repetition({"FREQ": frequency}, interval)
    elif word in ("every", "ev"):
        found = _pattern(words)
    elif word in ("every!", "ev!") or (word == "after" and words.peek().isdigit()):
        found = _pattern(words)
        found.after_completion = True
    else:
        return None
    _read_bounds(words, found)
    _check(found)
    return found


def _pattern(words: Words) -> Repetition:
    interval = 2 if words.skip("other") else 1
    count = number(words.peek(), LARGEST_INTERVAL)
    if interval == 1 and count and words.peek(1) in UNITS:
        words.take()
        interval = count
    if words.peek() in UNITS:
        frequency, each = UNITS[words.take()]
        return Repetition({"FREQ": frequency}, interval * each)
    if parts := words.attempt(weekdays):
        if interval > 1 and "," in parts["BYDAY"]:
            raise Unreadable
        return Repetition(parts, interval)
    if interval > 1:
        raise Unreadable
    if words.peek() in MOMENTS:
        return Repetition({"FREQ": "DAILY"}, clock=time(MOMENTS[words.take()]))
    for read in (dates, workdays_of_month, weekdays_of_month, days_of_month):
        if parts := words.attempt(read):
            return Repetition(parts)
    raise Unreadable


def _read_bounds(words: Words, found: Repetition) -> None:
    """Read time, start and end, up to the end of the text."""
    while words.peek():
        words.skip(",")
        if found.clock is None and (at := clock(words)):
            found.clock = at
        elif not found.start and words.skip("starting", "starts", "start", "from", "beginning"):
            found.start = _bound(words)
        elif not found.until and words.skip("until", "till", "ending", "ends", "end"):
            found.until = _bound(words)
        else:
            raise Unreadable


def _bound(words: Words) -> date:
    """Read a day with its year: unlike that of a task, it stays as the user once typed it."""
    words.skip("on")
    try:
        return day(words, None)
    except Unreadable:
        raise Unreadable(UNDATED) from None


def _check(found: Repetition) -> None:
    """Raise Unreadable for what no rule says."""
    if found.after_completion and (len(found.parts) > 1 or found.until):
        raise Unreadable(COUNTED)
    if found.after_completion or len(found.parts) > 1 or not found.start:
        return
    often = found.parts["FREQ"]
    leap_day = (found.start.month, found.start.day) == (2, 29)
    if (often == "MONTHLY" and found.start.day > SHORTEST_MONTH) or (
        often == "YEARLY" and leap_day
    ):
        raise Unreadable(LACKING)
