"""Whether a pattern takes all that an earlier one took.

Nothing here works that out of two expressions. A pattern that was replaced stands in `REPLACED`
with the one that took its place and the reason why that takes as much; a test tries it with texts
that are made of the earlier one. Any other difference counts as a break.
"""

from typing import Final, NamedTuple

from app.web.fields.strings import LINE_PATTERN
from app.web.fields.times import DATE_PATTERN, TIMESTAMP_PATTERN


class Replaced(NamedTuple):
    """The pattern that took another's place, and why nobody's values are refused by it."""

    by: str
    reason: str


REPLACED: Final = {
    "^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$": Replaced(
        DATE_PATTERN, "The year 0000 is left out without a look-ahead."
    ),
    "^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    "[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(\.[0-9]{1,6})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$": Replaced(
        TIMESTAMP_PATTERN, "The same of the year, and a fraction may have more digits."
    ),
}
"""Patterns of earlier releases, as long as the contract of the last release has them."""


TIGHTENED: Final = {
    r"^[^\x00]*[^\s\x00][^\x00]*$": Replaced(
        LINE_PATTERN,
        "Titles and names have to show something. The earlier pattern says so, takes U+200B and "
        "its like for something to see, and languages differ in what they take for its `\\s`. "
        "What is not taken any more helped nobody: it looks like an empty text.",
    ),
}
"""Patterns whose successor takes less, and why that is right; what it leaves out is tested."""

ALL: Final = REPLACED | TIGHTENED


def is_wider(earlier: str | None, later: str) -> bool:
    """Whether what the earlier pattern matches is known to match the later one, or rightly not."""
    while earlier is not None and earlier != later and earlier in ALL:
        earlier = ALL[earlier].by
    return earlier == later
