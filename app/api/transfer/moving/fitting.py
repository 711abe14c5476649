"""Making a found task fit: what is too long or too much is cut, and reported."""

from collections.abc import Iterator
from typing import Any, Final

from app.api.tasks.reminders import MOST_REMINDERS
from app.api.tasks.schemas import MOST_LABELS
from app.api.transfer.moving.found import (
    LONGEST_DESCRIPTION,
    LONGEST_TITLE,
    UNTITLED,
    FoundTask,
    Loss,
    Losses,
)
from app.core.texts import composed, is_visible, trimmed

LONGEST_NAME: Final = 100
"""Characters of the name of a category or label."""

MEASURED: Final = 100_000
"""Characters of a text that are looked at."""


def fitted(task: FoundTask, losses: Losses) -> dict[str, Any]:
    """Return a task's members as in a line of an import, but for ids; add what is lost."""
    description = task.description[:MEASURED]
    title, rest = _title(task)
    if rest:
        losses.append(
            Loss(task.line, "title", "It is longer than a title, and in the description.")
        )
        description = f"{rest}\n\n{description}".strip()
    description = composed(description)
    if len(description) > LONGEST_DESCRIPTION or len(task.description) > MEASURED:
        losses.append(
            Loss(task.line, "description", "It is longer than 5,000 characters, and cut.")
        )
        description = description[:LONGEST_DESCRIPTION]
    if len(task.reminders) > MOST_REMINDERS:
        losses.append(Loss(task.line, "reminders", "Only the first ten are taken."))
    return {
        "title": title,
        "description": description or None,
        "complete": task.complete,
        "completed_at": _text(task.completed_at) if task.complete else None,
        "created_at": _text(task.created_at),
        "priority": task.priority,
        "due_date": _text(task.due_date),
        "due_at": _text(task.due_at),
        "recurrence": _recurrence(task),
        "reminders": task.reminders[:MOST_REMINDERS],
    }


def with_rule(description: str | None, rule: str) -> dict[str, str]:
    """Return the description with a rule behind it, for which it is cut if need be."""
    kept = f"Repeats: {rule}"
    before = (description or "")[: LONGEST_DESCRIPTION - len(kept) - 1]
    return {"description": f"{before}\n{kept}" if before else kept}


def names_of(task: FoundTask, losses: Losses) -> tuple[str | None, list[str]]:
    """Return the names of the task's category and labels; add those that are cut or left out."""
    labels = list(dict.fromkeys(_names(task, task.labels[: 2 * MOST_LABELS], losses)))
    if len(labels) > MOST_LABELS or len(task.labels) > 2 * MOST_LABELS:
        losses.append(Loss(task.line, "labels", f"Only the first {MOST_LABELS} are taken."))
    category = next(_names(task, [task.category], losses), None) if task.category else None
    return category, labels[:MOST_LABELS]


def _names(task: FoundTask, names: list[str], losses: Losses) -> Iterator[str]:
    for name in names:
        plain = composed(trimmed(name[:MEASURED].replace("\0", "")))
        if not is_visible(plain):
            continue
        if len(plain) > LONGEST_NAME:
            losses.append(Loss(task.line, "name", "It is longer than 100 characters, and cut."))
            plain = trimmed(plain[:LONGEST_NAME])
        yield plain


def _title(task: FoundTask) -> tuple[str, str]:
    """Return a title that fits, and the whole text if that is longer."""
    text = composed(trimmed(task.title[:MEASURED]))
    if not is_visible(text):
        return UNTITLED, ""
    if len(text) <= LONGEST_TITLE:
        return text, ""
    return trimmed(text[: LONGEST_TITLE - 1]) + "…", text


def _recurrence(task: FoundTask) -> dict[str, Any] | None:
    if task.rule is None or task.complete:
        return None
    return {
        "rule": task.rule,
        "time_zone": task.time_zone or "UTC",
        "overflow": task.overflow,
        "after": "completion" if task.after_completion else "schedule",
    }


def _text(value: Any) -> str | None:
    return value.isoformat() if value is not None else None
