"""A task of Microsoft Graph (`todoTask`) and its checklist, as tasks of ours.

Source: the resource types `todoTask` and `checklistItem` of Microsoft Graph 1.0.
"""

from collections.abc import Iterator
from datetime import date, datetime
from itertools import islice
from typing import Any, Final

from app.api.transfer.moving.found import FoundTask, Options
from app.api.transfer.moving.html_text import text_of
from app.api.transfer.moving.items import Item, Sources, Unreadable, kept, shown
from app.api.transfer.moving.microsoft.rules import rule_of
from app.api.transfer.moving.microsoft.times import (
    due_day,
    instant,
    kept_time,
    stated,
    zone_named,
)
from app.api.transfer.moving.trees import MOST_TASKS
from app.core.texts import is_visible

PRIORITIES: Final = {"": "none", "low": "low", "normal": "none", "high": "high"}
OPEN: Final = ("", "notStarted")
OTHERWISE_OPEN: Final = ("inProgress", "waitingOnOthers", "deferred")
COMPLETED: Final = "completed"

LONGEST_HTML: Final = 1_000_000
"""Characters of HTML that are read: many times the longest description."""


def tasks_of(
    item: Item, category: str | None, sources: Sources, options: Options
) -> Iterator[FoundTask]:
    """Yield a task, and the items of its checklist as subtasks. The item has what was lost."""
    title = item.title("title")
    created = kept(item.members.get("createdDateTime"))
    task = FoundTask(
        line=item.line,
        source=sources.identify(item, "id", f"{category or ''}/{created}/{title}"),
        title=title,
        created_at=_instant(item, "createdDateTime", options),
        category=category,
    )
    _take_state(item, task, options)
    _take_times(item, task, options)
    task.labels = _labels(item)
    body = _body(item)
    _lose_others(item)
    subtasks = list(islice(_subtasks(item, task, sources, options), MOST_TASKS))
    task.description = item.described(body)
    yield task
    yield from subtasks


def _take_state(item: Item, task: FoundTask, options: Options) -> None:
    """Take whether the task is complete, and its priority."""
    status, importance = item.text("status"), item.text("importance")
    if status in ("", COMPLETED):
        task.completed_at = _instant(item, "completedDateTime", options)
    task.complete = status == COMPLETED or task.completed_at is not None
    if not task.complete and status not in OPEN:
        known = status in OTHERWISE_OPEN
        detail = "cannot be told from open" if known else "is not a status, and counts as open"
        item.lose("status", f"{shown(status)} {detail}.", f"Status: {kept(status)}")
    task.priority = PRIORITIES.get(importance, "none")
    if importance not in PRIORITIES:
        detail = f"{shown(importance)} is not an importance."
        item.lose("importance", detail, f"Importance: {kept(importance)}")


def _take_times(item: Item, task: FoundTask, options: Options) -> None:
    """Take when the task is due, repeats and reminds."""
    task.due_date = _due(item, options)
    _take_rule(item, task, options)
    task.reminders = _reminders(item, options)
    if start := item.members.get("startDateTime"):
        detail = "When the task starts is in the description alone."
        item.lose("startDateTime", detail, f"Start: {kept_time(start)}")


def _reminders(item: Item, options: Options) -> list[dict[str, Any]]:
    """The reminder, unless it is off."""
    value, is_on = item.members.get("reminderDateTime"), item.flag("isReminderOn")
    if not is_on and (switch := item.members.get("isReminderOn")) is not None:
        if switch is not False and value is not None:
            item.kept.append(f"Reminder: {kept_time(value)}")
        return []
    at = _instant(item, "reminderDateTime", options)
    if is_on and value is None:
        item.lose("reminderDateTime", "The reminder is on, and has no time.")
    return [{"at": at.isoformat().replace("+00:00", "Z")}] if at else []


def _due(item: Item, options: Options) -> date | None:
    value = item.members.get("dueDateTime")
    try:
        due = stated(value)
        if due is None:
            return None
        day, doubt = due_day(due, _zones(item), options.time_zone)
    except Unreadable as error:
        item.lose("dueDateTime", str(error), f"Due: {kept_time(value)}")
        return None
    if doubt:
        item.lose("dueDateTime", doubt, f"Due: {kept_time(value)}")
    return day


def _zones(item: Item) -> list[str]:
    """Names of the time zones that the user may have been in."""
    reminder = item.members.get("reminderDateTime")
    named = (
        _recurrence_zone(item),
        reminder.get("timeZone") if isinstance(reminder, dict) else None,
    )
    return [name for name in named if isinstance(name, str)]


def _recurrence_zone(item: Item) -> Any:
    recurrence = item.members.get("recurrence")
    span = recurrence.get("range") if isinstance(recurrence, dict) else None
    return span.get("recurrenceTimeZone") if isinstance(span, dict) else None


def _take_rule(item: Item, task: FoundTask, options: Options) -> None:
    """Take how a task repeats that is due."""
    recurrence = item.members.get("recurrence")
    if recurrence is None:
        return
    try:
        if task.due_date is None:
            raise Unreadable("A task that repeats has to be due.")
        task.rule, doubt = rule_of(recurrence, task.due_date)
    except Unreadable as error:
        item.lose("recurrence", str(error), f"Recurrence: {kept(recurrence)}")
        return
    if doubt:
        item.lose("recurrence", doubt)
    task.time_zone = _rule_zone(item, options)


def _rule_zone(item: Item, options: Options) -> str:
    """The time zone that a task repeats in; UTC is what Graph writes where none was asked for."""
    name = _recurrence_zone(item)
    zone = zone_named(name) if isinstance(name, str) else None
    if name and zone is None:
        detail = f"{shown(name)} is not a time zone; the task repeats in {options.time_zone}."
        item.lose("recurrence.range.recurrenceTimeZone", detail)
    return options.time_zone if zone is None or zone.key == "UTC" else zone.key


def _instant(item: Item, name: str, options: Options) -> datetime | None:
    value = item.members.get(name)
    try:
        time = stated(value)
        return instant(time, options.time_zone) if time else None
    except Unreadable as error:
        label = name.removesuffix("DateTime").capitalize()
        item.lose(name, str(error), f"{label}: {kept_time(value)}")
        return None


def _body(item: Item) -> str:
    """The text of a task, of which formatted parts become plain."""
    body = item.members.get("body")
    if not isinstance(body, dict):
        return item.text("body")
    part = Item({"body.content": body.get("content")}, item.line, item.losses, item.kept)
    content = part.text("body.content")
    if str(body.get("contentType")).lower() != "html":
        return content
    if len(content) > LONGEST_HTML:
        item.lose("body.content", f"Only the first {LONGEST_HTML:,} characters are read.")
    return part.storable("body.content", text_of(content[:LONGEST_HTML]))


def _labels(item: Item) -> list[str]:
    names: dict[str, None] = {}
    for value in item.array("categories"):
        if not isinstance(value, str):
            item.lose("categories", f"{shown(value)} is not a text.", f"Category: {kept(value)}")
        elif is_visible(value):
            names[item.storable("categories", value)] = None
    return list(names)


def _lose_others(item: Item) -> None:
    """Report what tasks do not have: links to other apps, files, and who a task is assigned to."""
    for link in item.items("linkedResources"):
        texts = [link.text(name) for name in ("displayName", "applicationName", "webUrl")]
        detail = "The link to another app is in the description alone."
        item.lose("linkedResources", detail, _line("Link", *texts))
    files = [_line("Attachment", file.text("name")) for file in item.items("attachments")]
    item.kept += files
    if files or item.flag("hasAttachments"):
        item.lose("attachments", "Attachments are not taken over.")
    if assigned := item.members.get("assignedTo"):
        detail = "Who the task is assigned to is in the description alone."
        item.lose("assignedTo", detail, f"Assigned to: {kept(assigned)}")


def _line(name: str, *texts: str) -> str:
    """A line of a description; none without a text."""
    value = " ".join(filter(None, texts))
    return f"{name}: {value}" if value else ""


def _subtasks(
    item: Item, task: FoundTask, sources: Sources, options: Options
) -> Iterator[FoundTask]:
    """The items of a checklist. One without an id is recognised by its text."""
    for part in item.items("checklistItems"):
        title = part.title("displayName")
        own = part.text("id")
        yield FoundTask(
            line=item.line,
            source=sources.unique(f"{task.source}/{own or title}"),
            title=title,
            complete=(done := part.flag("isChecked")),
            completed_at=_instant(part, "checkedDateTime", options) if done else None,
            created_at=_instant(part, "createdDateTime", options),
            parent=task.source,
            category=task.category,
        )
