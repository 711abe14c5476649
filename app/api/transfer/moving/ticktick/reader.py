"""TickTick: a CSV file of all lists, which its web app makes as a backup.

A checklist is in the content of its task. The completed occurrences of a repeating task may have
its id. The other columns are read as their names say.
"""

import re
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from typing import IO, Final

from app.api.transfer.moving.found import (
    MOST_OF_READER,
    UNTITLED,
    Found,
    FoundTask,
    Loss,
    Options,
    limited,
)
from app.api.transfer.moving.plain_text import require_utf_8
from app.api.transfer.moving.ticktick.dates import (
    Times,
    read_instant,
    read_reminders,
    read_rule,
    read_times,
)
from app.api.transfer.moving.ticktick.rows import ABANDONED, Row, quoted, rows
from app.api.transfer.moving.ticktick.survey import KINDS, Survey, survey
from app.core.texts import is_visible

MORE_LOSSES: Final = f"Losses after the first {MOST_OF_READER:,} are not listed."
PRIORITIES: Final = {"": "none", "0": "none", "1": "low", "3": "medium", "5": "high"}
OPEN: Final = ("", "0")
ITEM: Final = re.compile("([\u25ab\u25aa])")
"""What an item of a checklist begins with: a white square if it is open, a black one if done."""

ORDER: Final = re.compile(r"[+-]?[0-9]{1,20}")
LONGEST_ORDER: Final = 21
ATTACHMENT: Final = re.compile(r"!\[(image|file)?\]\((?!https?://)")


def read(file: IO[bytes], options: Options) -> Iterator[Found]:
    """Read the backup, which must be seekable, two or three times.

    Raises NotThisFormat, at once.
    """
    require_utf_8(file)
    return limited(_found(file, options, survey(file)), options, MORE_LOSSES)


def _found(file: IO[bytes], options: Options, known: Survey) -> Iterator[Found]:
    sources: Counter[str] = Counter()
    for row in rows(file):
        if isinstance(row, Loss):
            yield row
        elif row.kind in KINDS:
            yield from known.losses(row)
            yield from _tasks(row, options, known, sources)
        else:
            kind = "note" if row.kind == "NOTE" else f"row of the kind {quoted(row.kind)}"
            detail = f"The {kind} {quoted(row['Title'])} was left out, as it is no task."
            yield Loss(row.line, "Kind", detail)


def _tasks(
    row: Row, options: Options, known: Survey, sources: Counter[str]
) -> Iterator[FoundTask | Loss]:
    """The task of a row, what is lost of it, and the items of its checklist below it."""
    is_occurrence = known.is_occurrence(row)
    times = read_times(row, options.time_zone)
    content, items = _content(row)
    task = FoundTask(
        line=row.line,
        source="",
        title=_title(row),
        priority=_priority(row),
        due_date=times.due_date,
        due_at=times.due_at,
        parent="".join(row["parentId"].split()) or None,
        order=_order(row),
        category=row["List Name"] or None,
        labels=list(dict.fromkeys(filter(None, map(str.strip, row["Tags"].split(","))))),
    )
    _settle(task, row, times)
    if not (is_occurrence and task.complete):
        _repeat(task, row, times)
    task.source = _source(row, task, is_occurrence, sources)
    if row["Column Name"]:
        row.note("Column Name", row["Column Name"])
    task.description = "\n".join([content] * bool(content) + row.notes)
    yield task
    yield from row.losses
    yield from _items(task, items)


def _title(row: Row) -> str:
    title = " ".join(row["Title"].splitlines())
    if is_visible(title):
        return title
    row.report("Title", f"The task has no title, so that it is {UNTITLED}.")
    return UNTITLED


def _priority(row: Row) -> str:
    if row["Priority"] not in PRIORITIES:
        row.keep("Priority", "The priority is none of 0, 1, 3 and 5.")
    return PRIORITIES.get(row["Priority"], "none")


def _order(row: Row) -> int | None:
    order = row["Order"]
    if len(order) <= LONGEST_ORDER and ORDER.fullmatch(order):
        return int(order)
    if order:
        row.report("Order", f"The order is no whole number: {quoted(order)}.")
    return None


def _settle(task: FoundTask, row: Row, times: Times) -> None:
    """Set whether the task is complete, and when it was created and completed."""
    status = row["Status"]
    task.complete = row.is_complete
    task.created_at = read_instant(row, "Created Time", times.zone)
    if status == ABANDONED:
        detail = "The task was abandoned; it was taken over as complete."
        row.keep("Status", detail, "Abandoned")
    elif not task.complete and status not in OPEN:
        row.keep("Status", "The status is none of 0, 1, 2 and -1; the task was left open.")
    if task.complete:
        task.completed_at = read_instant(row, "Completed Time", times.zone)
    elif row["Completed Time"]:
        row.keep("Completed Time", "The task is open, and so has no time of completion.")


def _repeat(task: FoundTask, row: Row, times: Times) -> None:
    """Set how the task repeats and reminds; completed occurrences leave that to their task."""
    task.rule, task.after_completion = read_rule(row, times)
    task.time_zone = times.zone.key if task.rule else None
    task.reminders = read_reminders(row, times)


def _source(row: Row, task: FoundTask, is_occurrence: bool, sources: Counter[str]) -> str:
    """The id; with the time of completion for an occurrence; a digest for a row without one."""
    if row.task_id and not is_occurrence:
        return row.task_id
    if not row.task_id:
        texts = "\0".join((row["Created Time"], row["List Name"], row["Title"]))
        source = f"row {sha256(texts.encode()).hexdigest()}"
    elif task.complete:
        completed = task.completed_at.isoformat() if task.completed_at else ""
        source = f"{row.task_id} completed {completed}".rstrip()
    else:
        source = f"{row.task_id} open"
        row.report("taskId", "Another open task has the same id; both were taken over.")
    sources[source] += 1
    return source if sources[source] == 1 else f"{source} {sources[source]}"


def _content(row: Row) -> tuple[str, list[tuple[bool, str]]]:
    """The description, and the items of the checklist: whether each is done, and its text."""
    content = row.cells.get("Content", "").replace("\r\n", "\n").replace("\r", "\n")
    if ATTACHMENT.search(content):
        row.report("Content", "The file has no attachments, but the description names some.")
    if row.kind == "CHECKLIST" or row.flag("Is Check list"):
        content, *found = ITEM.split(content)
        items = [
            (mark == "\u25aa", text) for mark, text in zip(found[::2], found[1::2], strict=True)
        ]
        return content.strip(), items
    return content if content.strip() else "", []


def _items(task: FoundTask, items: list[tuple[bool, str]]) -> Iterator[FoundTask | Loss]:
    """The items of a checklist as subtasks; lines after the first of one are its description.

    They have no ids: an item is the same as long as its title is, wherever it is in the list.
    """
    sources: Counter[str] = Counter()
    for place, (done, text) in enumerate(items):
        title, _, more = text.strip().partition("\n")
        source = f"{task.source} item {sha256(title.strip().encode()).hexdigest()}"
        sources[source] += 1
        if not is_visible(title):
            detail = f"An item of the checklist is empty, so that it is {UNTITLED}."
            yield Loss(task.line, "Content", detail)
        yield FoundTask(
            line=task.line,
            source=source if sources[source] == 1 else f"{source} {sources[source]}",
            title=title.strip() if is_visible(title) else UNTITLED,
            description=more.strip(),
            complete=done,
            parent=task.source,
            order=place,
            category=task.category,
        )
