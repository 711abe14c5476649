"""Which rules of repetition are taken, and their canonical form."""

from contextlib import suppress
from random import Random
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from app.api.tasks.rules import LONGEST_RULE, after_completion, canonical
from tests.recurrence_rules import Recurrence, recurrences

SUPPORTED: Final = "must be parts like FREQ=DAILY"
ALL_DAYS: Final = "MO,TU,WE,TH,FR,SA,SU"

CANONICAL: Final = {
    "FREQ=DAILY": "FREQ=DAILY",
    "freq=weekly;byday=mo": "FREQ=WEEKLY;BYDAY=MO",
    "COUNT=2;INTERVAL=3;FREQ=MONTHLY": "FREQ=MONTHLY;INTERVAL=3;COUNT=2",
    "WKST=SU;BYSETPOS=1;BYDAY=MO;BYMONTHDAY=1;BYMONTH=1;UNTIL=20260101;FREQ=YEARLY": (
        "FREQ=YEARLY;UNTIL=20260101;BYMONTH=1;BYMONTHDAY=1;BYDAY=MO;BYSETPOS=1;WKST=SU"
    ),
    "FREQ=DAILY;INTERVAL=1": "FREQ=DAILY",
    "FREQ=DAILY;INTERVAL=01": "FREQ=DAILY",
    "FREQ=DAILY;INTERVAL=2": "FREQ=DAILY;INTERVAL=2",
    "FREQ=DAILY;INTERVAL=999": "FREQ=DAILY;INTERVAL=999",
    "FREQ=DAILY;COUNT=1": "FREQ=DAILY;COUNT=1",
    "FREQ=DAILY;COUNT=9999": "FREQ=DAILY;COUNT=9999",
    "FREQ=DAILY;UNTIL=00010101": "FREQ=DAILY;UNTIL=00010101",
    "FREQ=DAILY;UNTIL=99991231t235959z": "FREQ=DAILY;UNTIL=99991231T235959Z",
    "FREQ=DAILY;UNTIL=20280229T000000": "FREQ=DAILY;UNTIL=20280229T000000",
    "FREQ=DAILY;BYMONTH=12,1,12,01": "FREQ=DAILY;BYMONTH=1,12",
    "FREQ=DAILY;BYMONTHDAY=31,+1,-31,1": "FREQ=DAILY;BYMONTHDAY=-31,1,31",
    "FREQ=WEEKLY;BYDAY=SU,MO,SU,FR": "FREQ=WEEKLY;BYDAY=MO,FR,SU",
    "FREQ=MONTHLY;BYDAY=TU,5MO,-5MO,MO,+1MO,1MO": "FREQ=MONTHLY;BYDAY=-5MO,MO,1MO,5MO,TU",
    "FREQ=YEARLY;BYMONTH=5;BYDAY=-5SU": "FREQ=YEARLY;BYMONTH=5;BYDAY=-5SU",
    "FREQ=YEARLY;BYDAY=53SU,-53SU,6SU": "FREQ=YEARLY;BYDAY=-53SU,6SU,53SU",
    "FREQ=YEARLY;BYMONTHDAY=13;BYDAY=FR": "FREQ=YEARLY;BYMONTHDAY=13;BYDAY=FR",
    "FREQ=DAILY;BYMONTH=1;BYSETPOS=1,-1": "FREQ=DAILY;BYMONTH=1;BYSETPOS=-1,1",
    "FREQ=WEEKLY;BYMONTH=1;BYSETPOS=-1": "FREQ=WEEKLY;BYMONTH=1;BYSETPOS=-1",
    "FREQ=WEEKLY;BYDAY=MO,TU,MO;BYSETPOS=2": "FREQ=WEEKLY;BYDAY=MO,TU;BYSETPOS=2",
    f"FREQ=WEEKLY;BYDAY={ALL_DAYS};BYSETPOS=-7": f"FREQ=WEEKLY;BYDAY={ALL_DAYS};BYSETPOS=-7",
    "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=31,-31": "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=-31,31",
    "FREQ=YEARLY;BYMONTHDAY=1;BYSETPOS=366,-366": "FREQ=YEARLY;BYMONTHDAY=1;BYSETPOS=-366,366",
    "FREQ=WEEKLY;WKST=MO": "FREQ=WEEKLY",
    "FREQ=WEEKLY;WKST=su": "FREQ=WEEKLY;WKST=SU",
}

REFUSED: Final = {
    "": SUPPORTED,
    ";": SUPPORTED,
    "DAILY": SUPPORTED,
    "FREQ=DAILY;": SUPPORTED,
    ";FREQ=DAILY": SUPPORTED,
    "FREQ=DAILY;;COUNT=1": SUPPORTED,
    "FREQ=DAILY;COUNT": SUPPORTED,
    "FREQ=DAILY;X-NAME=1": SUPPORTED,
    "FREQ=DAILY;{code}=1": SUPPORTED,
    " FREQ=DAILY": SUPPORTED,
    "FREQ=DAILY; COUNT=1": SUPPORTED,
    "FREQ=DAILY,COUNT=1": "FREQ must",
    "FREQ=DAILY ": "FREQ must",
    "FREQ=DAILY\n": "FREQ must",
    "FREQ= DAILY": "FREQ must",
    "RRULE:FREQ=DAILY": "RRULE:",
    "rrule:FREQ=DAILY": "RRULE:",
    "DTSTART:20260101\nRRULE:FREQ=DAILY": SUPPORTED,
    # FREQ
    "FREQ=": "FREQ must come once and be DAILY, WEEKLY, MONTHLY or YEARLY",
    "COUNT=1": "FREQ must come once",
    "FREQ=DAILY;FREQ=DAILY": "FREQ must come once",
    "FREQ=HOURLY": "FREQ must",
    "FREQ=SECONDLY": "FREQ must",
    "FREQ=DAIL": "FREQ must",
    # What RFC 5545 and RFC 7529 have besides
    "FREQ=DAILY;BYHOUR=9": "BYHOUR is not supported",
    "FREQ=DAILY;BYMINUTE=9": "BYMINUTE is not supported",
    "FREQ=DAILY;BYSECOND=9": "BYSECOND is not supported",
    "FREQ=YEARLY;BYWEEKNO=9": "BYWEEKNO is not supported",
    "FREQ=YEARLY;BYYEARDAY=9": "BYYEARDAY is not supported",
    "RSCALE=GREGORIAN;FREQ=YEARLY": "RSCALE is not supported",
    "FREQ=YEARLY;SKIP=FORWARD": "SKIP is not supported",
    # INTERVAL and COUNT
    "FREQ=DAILY;INTERVAL=0": "INTERVAL must be 1 to 999",
    "FREQ=DAILY;INTERVAL=1000": "INTERVAL must be 1 to 999",
    "FREQ=DAILY;INTERVAL=": "INTERVAL must be 1 to 999",
    "FREQ=DAILY;INTERVAL=-1": "INTERVAL must be 1 to 999",
    "FREQ=DAILY;INTERVAL=+1": "INTERVAL must be 1 to 999",
    "FREQ=DAILY;INTERVAL=1.5": "INTERVAL must be 1 to 999",
    "FREQ=DAILY;INTERVAL=1_0": "INTERVAL must be 1 to 999",
    "FREQ=DAILY;INTERVAL=2=3": "INTERVAL must be 1 to 999",
    f"FREQ=DAILY;INTERVAL={'9' * 400}": "INTERVAL must be 1 to 999",
    "FREQ=DAILY;INTERVAL=1;INTERVAL=1": "INTERVAL must come at most once",
    "FREQ=DAILY;COUNT=0": "COUNT must be 1 to 9999",
    "FREQ=DAILY;COUNT=10000": "COUNT must be 1 to 9999",
    "FREQ=DAILY;COUNT=1;COUNT=2": "COUNT must come at most once",
    "FREQ=DAILY;COUNT=1;UNTIL=20260101": "COUNT and UNTIL must not come together",
    # UNTIL
    "FREQ=DAILY;UNTIL=": "UNTIL must be a date or time",
    "FREQ=DAILY;UNTIL=00000101": "UNTIL must be",
    "FREQ=DAILY;UNTIL=20270229": "UNTIL must be",
    "FREQ=DAILY;UNTIL=21000229T000000Z": "UNTIL must be",
    "FREQ=DAILY;UNTIL=20261301": "UNTIL must be",
    "FREQ=DAILY;UNTIL=2026-01-01": "UNTIL must be",
    "FREQ=DAILY;UNTIL=202601 1": "UNTIL must be",
    "FREQ=DAILY;UNTIL=20260101Z": "UNTIL must be",
    "FREQ=DAILY;UNTIL=20260101T": "UNTIL must be",
    "FREQ=DAILY;UNTIL=20260101T0900": "UNTIL must be",
    "FREQ=DAILY;UNTIL=20260101T240000": "UNTIL must be",
    "FREQ=DAILY;UNTIL=20260101T006000": "UNTIL must be",
    "FREQ=DAILY;UNTIL=20260101T000060Z": "UNTIL must be",
    "FREQ=DAILY;UNTIL=20260101T000000+0100": "UNTIL must be",
    "FREQ=DAILY;UNTIL=20260101T000000Z\n": "UNTIL must be",
    "FREQ=DAILY;UNTIL=100000101": "UNTIL must be",
    # Lists
    "FREQ=DAILY;BYMONTH=0": "BYMONTH must be 1 to 12",
    "FREQ=DAILY;BYMONTH=13": "BYMONTH must be 1 to 12",
    "FREQ=DAILY;BYMONTH=-1": "BYMONTH must be 1 to 12",
    "FREQ=DAILY;BYMONTH=5L": "BYMONTH must be 1 to 12",
    "FREQ=DAILY;BYMONTH=": "BYMONTH must be 1 to 12",
    "FREQ=DAILY;BYMONTH=1,": "BYMONTH must be 1 to 12",
    "FREQ=DAILY;BYMONTH=1,,2": "BYMONTH must be 1 to 12",
    "FREQ=DAILY;BYMONTH=1, 2": "BYMONTH must be 1 to 12",
    "FREQ=DAILY;BYMONTHDAY=0": "BYMONTHDAY must be 1 to 31 or -1 to -31",
    "FREQ=DAILY;BYMONTHDAY=-0": "BYMONTHDAY must be 1 to 31 or -1 to -31",
    "FREQ=DAILY;BYMONTHDAY=32": "BYMONTHDAY must be 1 to 31 or -1 to -31",
    "FREQ=DAILY;BYMONTHDAY=-32": "BYMONTHDAY must be 1 to 31 or -1 to -31",
    "FREQ=DAILY;BYMONTHDAY=+-1": "BYMONTHDAY must be 1 to 31 or -1 to -31",
    "FREQ=DAILY;BYMONTHDAY=--1": "BYMONTHDAY must be 1 to 31 or -1 to -31",
    "FREQ=DAILY;BYMONTHDAY=-": "BYMONTHDAY must be 1 to 31 or -1 to -31",
    "FREQ=WEEKLY;BYMONTHDAY=1": "BYMONTHDAY must not come with FREQ=WEEKLY",
    # BYDAY
    "FREQ=WEEKLY;BYDAY=": "BYDAY must be MO, TU, WE, TH, FR, SA or SU",
    "FREQ=WEEKLY;BYDAY=MO,": "BYDAY must be MO",
    "FREQ=WEEKLY;BYDAY=M": "BYDAY must be MO",
    "FREQ=WEEKLY;BYDAY=1": "BYDAY must be MO",
    "FREQ=WEEKLY;BYDAY=MON": "BYDAY must be MO",
    "FREQ=WEEKLY;BYDAY=OT": "BYDAY must be MO",
    "FREQ=DAILY;BYDAY=1MO": "BYDAY must not have ordinals",
    "FREQ=WEEKLY;BYDAY=-1MO": "BYDAY must not have ordinals",
    "FREQ=MONTHLY;BYDAY=0MO": "BYDAY must have ordinals of 1 to 5 or -1 to -5",
    "FREQ=MONTHLY;BYDAY=6MO": "BYDAY must have ordinals of 1 to 5 or -1 to -5",
    "FREQ=MONTHLY;BYDAY=-6MO": "BYDAY must have ordinals of 1 to 5 or -1 to -5",
    "FREQ=MONTHLY;BYDAY=1 MO": "BYDAY must have ordinals",
    "FREQ=MONTHLY;BYDAY=MOMO": "BYDAY must have ordinals",
    "FREQ=YEARLY;BYMONTH=1;BYDAY=6MO": "BYDAY must have ordinals of 1 to 5 or -1 to -5",
    "FREQ=YEARLY;BYDAY=54MO": "BYDAY must have ordinals of 1 to 53 or -1 to -53",
    "FREQ=YEARLY;BYDAY=-54MO": "BYDAY must have ordinals of 1 to 53 or -1 to -53",
    # BYSETPOS
    "FREQ=MONTHLY;BYSETPOS=1": "BYSETPOS must come with BYMONTH, BYMONTHDAY or BYDAY",
    "FREQ=DAILY;BYDAY=MO;BYSETPOS=2": "BYSETPOS must be 1 or -1",
    "FREQ=DAILY;BYDAY=MO;BYSETPOS=-2": "BYSETPOS must be 1 or -1",
    "FREQ=WEEKLY;BYMONTH=1;BYSETPOS=2": "BYSETPOS must be 1 or -1",
    "FREQ=WEEKLY;BYDAY=MO,TU,MO;BYSETPOS=3": "BYSETPOS must be 1 to 2 or -1 to -2",
    f"FREQ=WEEKLY;BYDAY={ALL_DAYS};BYSETPOS=-8": "BYSETPOS must be 1 to 7 or -1 to -7",
    "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=0": "BYSETPOS must be 1 to 31 or -1 to -31",
    "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=32": "BYSETPOS must be 1 to 31 or -1 to -31",
    "FREQ=YEARLY;BYDAY=MO;BYSETPOS=367": "BYSETPOS must be 1 to 366 or -1 to -366",
    "FREQ=YEARLY;BYDAY=MO;BYSETPOS=-367": "BYSETPOS must be 1 to 366 or -1 to -366",
    # WKST
    "FREQ=WEEKLY;WKST=": "WKST must be MO, TU, WE, TH, FR, SA or SU",
    "FREQ=WEEKLY;WKST=MO,SU": "WKST must be MO",
    "FREQ=WEEKLY;WKST=1MO": "WKST must be MO",
    # What Python takes for digits or for capitals
    "FREQ=DAILY;COUNT=\u0661": "must be ASCII",
    "FREQ=DAILY;COUNT=\u00b2": "must be ASCII",
    "FREQ=DAILY;COUNT=\uff11": "must be ASCII",
    "FREQ=DA\u0131LY": "must be ASCII",
    "FREQ=WEEKLY;WKST=\u017fU": "must be ASCII",
    "FREQ=DAILY\u00a0": "must be ASCII",
    "FREQ=DAILY;COUNT\u2003=1": "must be ASCII",
}


@pytest.mark.parametrize(("rule", "form"), CANONICAL.items())
def test_a_rule_has_one_canonical_form(rule: str, form: str) -> None:
    assert canonical(rule) == form
    assert canonical(form) == form


@pytest.mark.parametrize(("rule", "message"), REFUSED.items())
def test_what_is_refused_is_named(rule: str, message: str) -> None:
    with pytest.raises(PydanticCustomError) as refusal:
        canonical(rule)
    assert refusal.value.type == "rule"
    assert message in refusal.value.message()


def of_length(length: int) -> str:
    rule = "FREQ=MONTHLY;BYMONTHDAY=1"
    repeats = ",1" * ((length - len(rule)) // 2)
    return (rule + repeats).ljust(length, "1")


def test_a_rule_has_at_most_500_characters() -> None:
    assert canonical(of_length(LONGEST_RULE)) == "FREQ=MONTHLY;BYMONTHDAY=1,11"
    with pytest.raises(PydanticCustomError, match="is too long"):
        canonical(of_length(LONGEST_RULE + 1))


def test_a_long_text_is_refused_for_its_length_whatever_it_holds() -> None:
    with pytest.raises(PydanticCustomError, match="is too long"):
        canonical("\u0661;" * LONGEST_RULE)


@pytest.mark.parametrize(
    ("rule", "possible"),
    [
        ("FREQ=DAILY", True),
        ("FREQ=YEARLY;INTERVAL=999", True),
        ("FREQ=DAILY;COUNT=1", False),
        ("FREQ=DAILY;UNTIL=20260101", False),
        ("FREQ=WEEKLY;BYDAY=MO", False),
        ("FREQ=WEEKLY;WKST=SU", False),
    ],
)
def test_a_rule_of_a_frequency_and_an_interval_counts_from_completions(
    rule: str, possible: bool
) -> None:
    assert after_completion(rule) is possible


NAMES: Final = (
    *("FREQ", "INTERVAL", "COUNT", "UNTIL", "BYMONTH", "BYMONTHDAY", "BYDAY", "BYSETPOS", "WKST"),
    *("BYHOUR", "X"),
)
VALUES: Final = st.sampled_from(
    ["DAILY", "WEEKLY", "MONTHLY", "YEARLY", "MO", "-1SU", "su,mo", "1", "-1", "31,1", "20260101"]
) | st.text(max_size=6)
PARTS: Final = st.builds("{}={}".format, st.sampled_from(NAMES), VALUES)
TEXTS: Final = st.text() | st.lists(PARTS, max_size=6).map(
    lambda parts: ";".join(["FREQ=MONTHLY", *parts])
)


@given(text=TEXTS)
@example(text="FREQ=DAILY;COUNT=\ud800")
def test_any_text_is_refused_or_has_a_canonical_form(text: str) -> None:
    form = None
    with suppress(PydanticCustomError):
        form = canonical(text)
    assert form is None or canonical(form) == form


@given(recurrence=recurrences(), order=st.randoms())
def test_the_order_of_parts_and_their_case_make_no_difference(
    recurrence: Recurrence, order: Random
) -> None:
    parts = recurrence.rule.split(";")
    order.shuffle(parts)
    assert canonical(";".join(parts).lower()) == recurrence.rule
