"""Tasks from the rows of a project of Todoist.

The author of a task and what is folded in a view are left out: neither says anything of the task.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from hashlib import sha256
from typing import Final

from app.api.transfer.moving.found import (
    LONGEST_DESCRIPTION,
    UNTITLED,
    FoundTask,
    Loss,
    Options,
    quoted,
)
from app.api.transfer.moving.todoist.dates import ISO, due
from app.api.transfer.moving.todoist.days import Unreadable
from app.api.transfer.moving.todoist.rows import Row
from app.api.transfer.moving.todoist.texts import labelled, lines
from app.api.transfer.moving.todoist.times import export_time, local_day, set_due
from app.core.texts import is_visible
from app.web.fields.zones import is_time_zone

PRIORITIES: Final = {"1": "high", "2": "medium", "3": "low", "4": "none", "": "none"}
"""The reverse of the numbers in Todoist's API. Exports always have one."""

DEEPEST_INDENT: Final = 99
MOST_NOTES: Final = 10 * LONGEST_DESCRIPTION
"""Characters of a task's notes that are collected; far more than is kept of a description."""

EMPTY: Final = ("", "None")
"""How a column is without a value."""

ATTACHMENT: Final = "[[file "


class Project:
    """A project as its rows tell it, in the order of the file."""

    def __init__(
        self, name: str | None, source: str, options: Options, exported: datetime | date | None
    ) -> None:
        """`source` is what identifies the project; `exported` is when the file was, if known."""
        self.name = name
        self.source = source
        self.options = options
        self.exported = exported
        self.titles: Counter[int] = Counter()
        self.above: list[tuple[int, str]] = []
        """The indents and sources of the last task and of those that it is a step of."""
        self.task: FoundTask | None = None
        """The last task, which waits for its notes."""
        self.description: list[str] = []
        self.notes_length = 0

    def found(self, row: Row) -> Iterator[FoundTask | Loss]:
        """Yield what a row completes, and what of it tasks cannot hold."""
        kind = row.cells["TYPE"].strip().lower()
        read = KINDS.get(kind)
        if kind in OF_A_TASK and not self.task:
            read = Project._stray
        if read:
            yield from read(self, row)
        else:
            detail = (
                f"Rows of the type {quoted(kind)} are not read: {quoted(row.cells['CONTENT'])}."
            )
            yield Loss(row.line, "TYPE", detail)

    def rest(self) -> Iterator[FoundTask]:
        """Yield the last task, if there is one."""
        if self.task:
            self.task.description = "\n".join(filter(None, self.description))
            yield self.task
        self.task = None

    def _task(self, row: Row) -> Iterator[FoundTask | Loss]:
        yield from self.rest()
        title, labels = labelled(lines(row.cells["CONTENT"]))
        self.task = task = FoundTask(
            line=row.line,
            source=self._source(title),
            title=title,
            category=self.name,
            labels=labels,
        )
        self.description = [lines(row.cells["DESCRIPTION"])]
        self.notes_length = 0
        if not is_visible(title):
            task.title = UNTITLED
            yield Loss(row.line, "CONTENT", f"The task has no title; it is {quoted(UNTITLED)} now.")
        yield from self._priority(task, row)
        yield from self._parent(task, row)
        yield from self._due(task, row)
        yield from self._without_counterpart(row)

    def _source(self, title: str) -> str:
        """Return what identifies a task: its title, and which one of that title it is.

        Exports have no ids. With the number of its row, a task that is inserted would have those
        below it overwritten by one another; so a changed title counts as a new task.
        """
        digest = sha256(title.encode())
        key = int.from_bytes(digest.digest()[:8])  # which takes little memory
        self.titles[key] += 1
        source = f"{self.source}\n{digest.hexdigest()}"
        return source if self.titles[key] == 1 else f"{source} {self.titles[key]}"

    def _priority(self, task: FoundTask, row: Row) -> Iterator[Loss]:
        given = row.cells["PRIORITY"].strip()
        if given in PRIORITIES:
            task.priority = PRIORITIES[given]
        else:
            yield Loss(row.line, "PRIORITY", f"{quoted(given)} is no priority from 1 to 4.")

    def _parent(self, task: FoundTask, row: Row) -> Iterator[Loss]:
        """Make the task a step of the last one that is indented less."""
        given = row.cells["INDENT"].strip() or "1"
        digits = given.isascii() and given.isdigit() and len(given) <= len(str(DEEPEST_INDENT))
        indent = int(given) if digits else 0
        while self.above and self.above[-1][0] >= max(indent, 1):
            self.above.pop()
        if self.above:
            task.parent = self.above[-1][1]
        self.above.append((max(indent, 1), task.source))
        if indent < 1:
            yield Loss(row.line, "INDENT", f"{quoted(given)} is no indent; the task has no parent.")
        elif indent > 1 and not task.parent:
            yield Loss(row.line, "INDENT", "There is no task above; the task has no parent.")

    def _due(self, task: FoundTask, row: Row) -> Iterator[Loss]:
        text = row.cells["DATE"].strip()
        if not text:
            return
        zone = row.cells["TIMEZONE"].strip() or self.options.time_zone
        if not is_time_zone(zone):
            detail = f"{quoted(zone)} is no time zone; {self.options.time_zone} was used."
            yield Loss(row.line, "TIMEZONE", detail)
            zone = self.options.time_zone
        try:
            language = row.cells["DATE_LANG"].strip()
            set_due(task, due(text, language, local_day(self.exported, zone)), zone)
        except Unreadable as error:
            yield Loss(row.line, "DATE", f"{quoted(text)} {error}; it is in the description.")
            self.description.append(f"Date: {text}")

    def _without_counterpart(self, row: Row) -> Iterator[Loss]:
        """Report what tasks lack, and keep it in the description."""
        values = {
            "RESPONSIBLE": (row.cells["RESPONSIBLE"],),
            "DURATION": (row.cells["DURATION"], row.cells["DURATION_UNIT"]),
            "DEADLINE": (row.cells["DEADLINE"],),
        }
        for column, texts in values.items():
            value = lines(" ".join(texts))
            if lines(texts[0]) not in EMPTY:
                detail = f"Tasks have no such value: {quoted(value)} is in the description."
                yield Loss(row.line, column, detail)
                self.description.append(f"{column.capitalize()}: {value}")

    def _note(self, row: Row) -> Iterator[Loss]:
        text = lines(row.cells["CONTENT"])
        day = ISO.match(row.cells["DATE"].strip())
        author = lines(row.cells["AUTHOR"])
        author = author.rpartition(" (")[0] or author  # the id follows
        when = f" of {day[1]}" if day else ""
        who = f" by {author}" if author else ""
        yield from self._add(row, f"Note{when}{who}: {text}")
        if ATTACHMENT in text:
            detail = "Files are not taken over; what the note says of one is in the description."
            yield Loss(row.line, "note", detail)

    def _reminder(self, row: Row) -> Iterator[Loss]:
        """Keep the text of a reminder, as no form of these rows is documented."""
        texts = (lines(row.cells[name]) for name in ("CONTENT", "DATE"))
        text = " ".join(filter(None, texts))
        yield Loss(row.line, "reminder", f"{quoted(text)} is in the description only.")
        yield from self._add(row, f"Reminder: {text}")

    def _add(self, row: Row, text: str) -> Iterator[Loss]:
        """Add a text of another row to the description."""
        self.notes_length += len(text)
        if self.notes_length <= MOST_NOTES:
            self.description.append(text)
        else:
            yield Loss(row.line, "CONTENT", f"The description has no room for {quoted(text)}.")

    def _stray(self, row: Row) -> Iterator[Loss]:
        """Report a row that belongs to no task."""
        kind, text = row.cells["TYPE"].strip().lower(), lines(row.cells["CONTENT"])
        yield Loss(row.line, kind, f"{quoted(text)} belongs to no task, and was left out.")

    def _section(self, row: Row) -> Iterator[FoundTask | Loss]:
        yield from self.rest()
        self.above.clear()
        name, description = lines(row.cells["CONTENT"]), lines(row.cells["DESCRIPTION"])
        text = f"{quoted(name)} with {quoted(description)}" if description else quoted(name)
        detail = f"There are no sections: the tasks of {text} are in the project itself."
        yield Loss(row.line, "section", detail)

    def _meta(self, row: Row) -> Iterator[Loss]:
        """Take over when the file was exported, if that is said; the rest is about the view."""
        name, _, value = row.cells["CONTENT"].partition("=")
        if name.strip() != "exported_at":
            return
        try:
            self.exported = export_time(value)
        except Unreadable as error:
            yield Loss(row.line, "exported_at", f"{quoted(value)} {error}.")


KINDS: Final[Mapping[str, Callable[[Project, Row], Iterator[FoundTask | Loss]]]] = {
    "task": Project._task,
    "note": Project._note,
    "reminder": Project._reminder,
    "section": Project._section,
    "project_note": Project._stray,
    "meta": Project._meta,
}
"""How each type of row is read."""

OF_A_TASK: Final = ("note", "reminder")
"""Types of rows that belong to the task before."""
