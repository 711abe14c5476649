"""Rules of repetition: the part of RFC 5545's recur that tasks support, in one canonical form.

Source: RFC 5545, section 3.3.10.
"""

import re
from collections.abc import Callable
from datetime import date
from typing import Final, NoReturn

from pydantic_core import PydanticCustomError

Parts = dict[str, str]
"""The values of a rule by the names of its parts."""

LONGEST_RULE: Final = 500
LARGEST_INTERVAL: Final = 999
LARGEST_COUNT: Final = 9999
FREQUENCIES: Final = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
DEFAULTS: Final = {("INTERVAL", "1"), ("WKST", "MO")}
"""Parts that a rule means without them."""

UNSUPPORTED: Final = {
    *("BYSECOND", "BYMINUTE", "BYHOUR", "BYYEARDAY", "BYWEEKNO"),
    *("RSCALE", "SKIP"),  # RFC 7529
}
UNTIL: Final = re.compile(r"([0-9]{8})(T([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]Z?)?")


def canonical(rule: str) -> str:
    """Return the rule in upper case, its parts and lists in order, without repeats and defaults.

    Raises PydanticCustomError with the code `rule` and a message that names the part in question.
    """
    if len(rule) > LONGEST_RULE:
        _refuse(f"is too long: at most {LONGEST_RULE} characters")
    parts = _parts(rule)
    if parts.get("FREQ") not in FREQUENCIES:
        _refuse("FREQ must come once and be DAILY, WEEKLY, MONTHLY or YEARLY")
    forms = [(name, form(parts)) for name, form in FORMS.items() if name in parts]
    return ";".join(f"{name}={value}" for name, value in forms if (name, value) not in DEFAULTS)


def after_completion(rule: str) -> bool:
    """Whether the canonical rule has FREQ and INTERVAL alone, and can count from a completion."""
    return _parts(rule).keys() <= {"FREQ", "INTERVAL"}


def _refuse(message: str) -> NoReturn:
    raise PydanticCustomError("rule", message)


def _parts(rule: str) -> Parts:
    """The rule's parts in upper case, each of a name that FORMS has."""
    if not rule.isascii():  # upper() makes ASCII letters of some others
        _refuse("must be ASCII")
    parts: Parts = {}
    for part in rule.upper().split(";"):
        name, equals, value = part.partition("=")
        if name.startswith("RRULE:"):
            _refuse("must begin with a part, not with RRULE:")
        if name in UNSUPPORTED:
            _refuse(f"{name} is not supported")
        if not equals or name not in FORMS:
            _refuse(f"must be parts like FREQ=DAILY with semicolons between: {', '.join(FORMS)}")
        if name in parts:
            _refuse(
                f"{name} must come once" if name == "FREQ" else f"{name} must come at most once"
            )
        parts[name] = value
    return parts


def _number(text: str, largest: int) -> int | None:
    """The number from 1 to `largest`; None if the text is none."""
    number = int(text) if text.isdigit() else 0
    return number if 1 <= number <= largest else None


def _signed(text: str, largest: int) -> int | None:
    """The number from 1 to `largest`, or the same below zero; None if the text is neither."""
    number = _number(text.removeprefix("-" if text.startswith("-") else "+"), largest)
    return -number if number and text.startswith("-") else number


def _one(parts: Parts, name: str, largest: int) -> str:
    number = _number(parts[name], largest)
    return str(number or _refuse(f"{name} must be 1 to {largest}"))


def _numbers(parts: Parts, name: str, read: Callable[[str, int], int | None], largest: int) -> str:
    """The numbers of a list, which `read` reads each."""
    numbers = {read(text, largest) for text in parts[name].split(",")}
    if None in numbers:
        allowed = [_range(sign, largest) for sign in ("", "-")[: 1 + (read is _signed)]]
        _refuse(f"{name} must be {' or '.join(allowed)}")
    return ",".join(str(number) for number in sorted(filter(None, numbers)))


def _range(sign: str, largest: int) -> str:
    return f"{sign}1" if largest == 1 else f"{sign}1 to {sign}{largest}"


def _frequency(parts: Parts) -> str:
    return parts["FREQ"]


def _interval(parts: Parts) -> str:
    return _one(parts, "INTERVAL", LARGEST_INTERVAL)


def _count(parts: Parts) -> str:
    if "UNTIL" in parts:
        _refuse("COUNT and UNTIL must not come together")
    return _one(parts, "COUNT", LARGEST_COUNT)


def _until(parts: Parts) -> str:
    until = UNTIL.fullmatch(parts["UNTIL"])
    try:
        if until and date.fromisoformat(until[1]):
            return until[0]
    except ValueError:
        pass  # no day of the calendar
    _refuse("UNTIL must be a date or time as YYYYMMDD, YYYYMMDDTHHMMSS or YYYYMMDDTHHMMSSZ")


def _months(parts: Parts) -> str:
    return _numbers(parts, "BYMONTH", _number, 12)


def _month_days(parts: Parts) -> str:
    if parts["FREQ"] == "WEEKLY":
        _refuse("BYMONTHDAY must not come with FREQ=WEEKLY")
    return _numbers(parts, "BYMONTHDAY", _signed, 31)


def _weekdays(parts: Parts) -> str:
    largest = _largest_ordinal(parts)
    days = {_weekday(text, largest) for text in parts["BYDAY"].split(",")}
    return ",".join(f"{ordinal or ''}{WEEKDAYS[day]}" for day, ordinal in sorted(days))


def _largest_ordinal(parts: Parts) -> int:
    """The most often that a weekday comes within what ordinals count in; 0 where there are none."""
    if parts["FREQ"] in ("DAILY", "WEEKLY"):
        return 0
    return 53 if parts["FREQ"] == "YEARLY" and "BYMONTH" not in parts else 5


def _weekday(text: str, largest: int) -> tuple[int, int]:
    """Number and ordinal of a weekday; the ordinal is 0 if it has none."""
    ordinal, name = text[:-2], text[-2:]
    if name not in WEEKDAYS:
        _refuse("BYDAY must be MO, TU, WE, TH, FR, SA or SU")
    if not ordinal:
        return WEEKDAYS.index(name), 0
    if not largest:
        _refuse("BYDAY must not have ordinals with FREQ=DAILY or FREQ=WEEKLY")
    number = _signed(ordinal, largest)
    return WEEKDAYS.index(name), number or _refuse(
        f"BYDAY must have ordinals of 1 to {largest} or -1 to -{largest}"
    )


def _places(parts: Parts) -> str:
    if not parts.keys() & {"BYMONTH", "BYMONTHDAY", "BYDAY"}:
        _refuse("BYSETPOS must come with BYMONTH, BYMONTHDAY or BYDAY")
    return _numbers(parts, "BYSETPOS", _signed, _largest_set(parts))


def _largest_set(parts: Parts) -> int:
    """The most occurrences that one period of the rule can have."""
    if parts["FREQ"] == "WEEKLY":
        return len(set(parts.get("BYDAY", "").split(",")))
    return {"DAILY": 1, "MONTHLY": 31, "YEARLY": 366}[parts["FREQ"]]


def _week_start(parts: Parts) -> str:
    if parts["WKST"] not in WEEKDAYS:
        _refuse("WKST must be MO, TU, WE, TH, FR, SA or SU")
    return parts["WKST"]


FORMS: Final[dict[str, Callable[[Parts], str]]] = {
    "FREQ": _frequency,
    "INTERVAL": _interval,
    "COUNT": _count,
    "UNTIL": _until,
    "BYMONTH": _months,
    "BYMONTHDAY": _month_days,
    "BYDAY": _weekdays,
    "BYSETPOS": _places,
    "WKST": _week_start,
}
"""How each part is checked and written, in the order of the canonical form."""
