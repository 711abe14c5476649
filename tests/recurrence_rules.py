"""Random rules of repetition, and tables of them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from hypothesis import strategies as st

from app.api.tasks.rules import WEEKDAYS, canonical


class Recurrence(NamedTuple):
    """A rule and where it begins."""

    rule: str
    start: datetime
    overflow: str = "skip"
    zone: str = "UTC"


class Entry(NamedTuple):
    """What a recurrence must yield first, and whether that is all."""

    name: str
    recurrence: Recurrence
    expected: list[datetime]
    ends: bool


def entries(path: Path) -> Iterator[Entry]:
    """The entries of a table, whose first lines say how to read it."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    for block in "\n".join(lines).split("\n\n"):
        if block.strip():
            yield _entry(block.strip())


def _entry(block: str) -> Entry:
    name, _, rest = block.partition("\n")
    above, _, expected = rest.partition("expected:")
    fields = dict(line.split(": ", 1) for line in above.splitlines())
    assert fields.pop("source"), name
    start = datetime.fromisoformat(fields.pop("start"))
    *days, end = expected.split()
    assert end in ("end", "..."), name
    occurrences = [datetime.combine(datetime.fromisoformat(day), start.time()) for day in days]
    return Entry(name, Recurrence(start=start, **fields), occurrences, end == "end")


def _lists(values: st.SearchStrategy[object], most: int = 4) -> st.SearchStrategy[str]:
    return st.lists(values, min_size=1, max_size=most).map(
        lambda items: ",".join(str(item) for item in items)
    )


def _either_sign(largest: int) -> st.SearchStrategy[int]:
    return st.integers(1, largest) | st.integers(-largest, -1)


STARTS: Final = st.datetimes(datetime(1970, 1, 1), datetime(2120, 1, 1)).map(
    lambda at: at.replace(microsecond=0)
)
DAYS: Final = st.sampled_from(WEEKDAYS)
FREQUENCIES: Final = st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])
OVERFLOWS: Final = st.sampled_from(["skip", "backward", "forward"])


@st.composite
def recurrences(draw: st.DrawFn, overflows: st.SearchStrategy[str] = OVERFLOWS) -> Recurrence:
    """Recurrences of any kind."""
    frequency = draw(FREQUENCIES)
    start = draw(STARTS)
    parts = {"FREQ": frequency, "INTERVAL": str(draw(st.integers(1, 5) | st.integers(1, 999)))}
    if draw(st.booleans()):
        parts["BYMONTH"] = draw(_lists(st.integers(1, 12)))
    if frequency != "WEEKLY" and draw(st.booleans()):
        parts["BYMONTHDAY"] = draw(_lists(_either_sign(31), most=8))
    if draw(st.booleans()):
        parts["BYDAY"] = draw(_weekdays(frequency, "BYMONTH" in parts))
    if len(parts) > 2 and draw(st.booleans()):
        parts["BYSETPOS"] = draw(_lists(_either_sign(_largest_place(parts)), most=2))
    ends = draw(st.sampled_from(["", "COUNT", "UNTIL"]))
    if ends == "COUNT":
        parts["COUNT"] = str(draw(st.integers(1, 30)))
    elif ends == "UNTIL":
        until = start + timedelta(days=draw(st.integers(0, 4000)), hours=draw(st.integers(0, 23)))
        parts["UNTIL"] = f"{until:%Y%m%dT%H%M%S}"
    if draw(st.booleans()):
        parts["WKST"] = draw(DAYS)
    rule = canonical(";".join(f"{name}={value}" for name, value in parts.items()))
    return Recurrence(rule, start, draw(overflows))


def _weekdays(frequency: str, within_months: bool) -> st.SearchStrategy[str]:
    plain = _lists(DAYS, most=7)
    if frequency in ("DAILY", "WEEKLY"):
        return plain
    largest = 53 if frequency == "YEARLY" and not within_months else 5
    numbered = st.builds("{}{}".format, _either_sign(largest), DAYS)
    return plain | _lists(numbered) | _lists(numbered | DAYS)


def _largest_place(parts: dict[str, str]) -> int:
    if parts["FREQ"] == "WEEKLY":
        return len(set(parts.get("BYDAY", "").split(",")))
    return {"DAILY": 1, "MONTHLY": 31, "YEARLY": 366}[parts["FREQ"]]


def part(rule: str, name: str) -> str:
    """The value of a part of the rule, or an empty text."""
    return dict(each.split("=") for each in rule.split(";")).get(name, "")


def for_dateutil(recurrence: Recurrence) -> Recurrence:
    """The recurrence, or one near it on which python-dateutil is right."""
    rule, start = recurrence.rule, recurrence.start
    days = part(rule, "BYDAY").split(",")
    if part(rule, "BYDAY"):
        ordinals = [day for day in days if len(day) > 2]
        # It takes weekdays with and without ordinals for two conditions.
        kept = ordinals or days
        # It raises IndexError where an ordinal is beyond the year.
        kept = [day for day in kept if len(day) == 2 or abs(int(day[:-2])) <= 52] or ["MO"]
        rule = rule.replace(f"BYDAY={','.join(days)}", f"BYDAY={','.join(kept)}")
    if part(rule, "FREQ") == "WEEKLY" and part(rule, "BYSETPOS"):
        # Its first set of a week begins at the start.
        week_start = WEEKDAYS.index(part(rule, "WKST") or "MO")
        start -= timedelta(days=(start.weekday() - week_start) % 7)
    return recurrence._replace(rule=rule, start=start)
