"""What is found in a file of another app: tasks, and what of them could not be taken over."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from math import inf
from typing import IO, Any, Final, NamedTuple

from app.api.transfer.moving.in_time import require_time

LONGEST_TITLE: Final = 200
"""Characters of a task's title; what is longer goes on in the description."""

LONGEST_DESCRIPTION: Final = 5000

UNTITLED: Final = "Untitled"
"""The title of a task that has none."""

MOST_LOSSES: Final = 1000
"""Losses to list, the first ones."""

MOST_OF_READER: Final = 10_000
"""Losses that a reader yields."""

LONGEST_QUOTE: Final = 100
"""Characters of a text in a sentence."""

UNSTORABLE: Final = re.compile("[\\x00\\ud800-\\udfff]")
"""What PostgreSQL cannot store: U+0000, and lone surrogates, which may stand for other bytes."""


class Options(NamedTuple):
    """What a file does not say: the time zone of local times, and the name of the file."""

    time_zone: str = "UTC"
    name: str | None = None
    end: float = inf
    """When it has to be read, in monotonic seconds."""


class Loss(NamedTuple):
    """Something that a task cannot hold, or that could not be read.

    What a user would miss is in the task's description as well.
    """

    line: int
    """The line of the file that it is in, or the number of the item if the file has no lines."""
    field: str
    """The file's own name of it, such as a column."""
    detail: str
    """One sentence for the user, which may quote a short value."""


class Losses:
    """The first losses, and how many there are in all."""

    def __init__(self) -> None:
        self.listed: list[Loss] = []
        self.total = 0

    def append(self, loss: Loss) -> None:
        """Add one."""
        self.total += 1
        if len(self.listed) < MOST_LOSSES:
            self.listed.append(loss)


@dataclass(kw_only=True)
class FoundTask:
    """A task of a file, in our terms. Texts are as in the file, and not measured yet."""

    line: int
    source: str
    """What identifies the task in each export of the same account; unique within the file."""

    title: str
    description: str = ""
    complete: bool = False
    completed_at: datetime | None = None
    """In UTC; only of a complete task."""
    created_at: datetime | None = None
    priority: str = "none"
    """none, low, medium or high."""
    due_date: date | None = None
    due_at: datetime | None = None
    """Aware. A task has at most one of `due_date` and `due_at`."""
    rule: str | None = None
    """A rule of iCalendar (RFC 5545) in canonical form (app/api/tasks/rules.py)."""
    time_zone: str | None = None
    """The IANA name of the rule's time zone; given with each rule."""
    after_completion: bool = False
    """Whether the rule counts from the completion of the task."""
    overflow: str = "skip"
    """What becomes of a day that a month lacks: skip, backward or forward."""
    reminders: list[dict[str, Any]] = field(default_factory=list)
    """As the API takes them: `{"at"}`, `{"before"}` or `{"days_before", "time"}`; at most ten."""
    parent: str | None = None
    """The `source` of the parent, which may come later in the file, or not at all."""
    order: float | str | None = None
    """Where the task is among its siblings, if the file says so; else the order of the file."""
    category: str | None = None
    """The name of the list or project."""
    labels: list[str] = field(default_factory=list)
    """Names, each once, in the order of the file."""


Found = FoundTask | Loss
Reader = Callable[[IO[bytes], Options], Iterator[Found]]


def storable(text: str) -> str:
    """Return the text with what cannot be stored replaced."""
    return UNSTORABLE.sub("\ufffd", text)


def quoted(text: str) -> str:
    """Return the beginning of a text in quotation marks."""
    short = text if len(text) <= LONGEST_QUOTE else f"{text[: LONGEST_QUOTE - 1]}\u2026"
    return f'"{short}"'


def limited(
    found: Iterable[Found], options: Options, detail: str, name: str = ""
) -> Iterator[Found]:
    """Yield all tasks and the first MOST_OF_READER losses.

    If there are more, one with this detail and the field `name` says so. Raises TooSlow.
    """
    losses = 0
    for each in found:
        losses += isinstance(each, Loss)
        if isinstance(each, FoundTask) or losses <= MOST_OF_READER:
            yield each
        elif losses == MOST_OF_READER + 1:
            yield Loss(each.line, name, detail)
        else:
            require_time(options.end)
