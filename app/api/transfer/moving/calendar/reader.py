"""The to-dos of a file of iCalendar: VTODO (RFC 5545, section 3.6.2)."""

import re
from collections.abc import Iterator
from typing import IO, Final

from app.api.tasks.rules import after_completion
from app.api.transfer.moving.calendar.alarms import alarms_of, lose_snoozes, reminders
from app.api.transfer.moving.calendar.lines import CALENDAR, Block, blocks, lines
from app.api.transfer.moving.calendar.properties import Component, Property, quoted
from app.api.transfer.moving.calendar.sources import Calendar, Others, Sources, Survey
from app.api.transfer.moving.calendar.status import complete, instant_of, is_taken
from app.api.transfer.moving.calendar.times import Moment, Zones, due_of, rule_of
from app.api.transfer.moving.found import MOST_OF_READER, Found, FoundTask, Loss, Options, limited
from app.api.transfer.moving.plain_text import require_utf_8
from app.api.transfer.moving.refused import NotThisFormat
from app.web.fields.zones import is_time_zone

MORE_LOSSES: Final = f"More than {MOST_OF_READER:,} things are lost; the others are not listed."

PRIORITIES: Final = {"0": "none", "5": "medium", **dict.fromkeys("1234", "high")}
"""Priorities by the digit (section 3.8.1.9); the others are low."""

DESCRIBED: Final = ("LOCATION", "URL", "COMMENT")
LOST: Final = (
    *("ATTENDEE", "ORGANIZER", "ATTACH", "GEO", "CONTACT", "RESOURCES"),
    *("CONFERENCE", "IMAGE", "LINK", "ESTIMATED-DURATION"),
)
ORDER: Final = "X-APPLE-SORT-ORDER"
OUR_CATEGORY: Final = "X-TASKS-CATEGORY-ID"
OUR_POSITION: Final = "X-TASKS-POSITION"
OUR_ZONE: Final = "X-TASKS-TIME-ZONE"
OUR_AFTER: Final = "X-TASKS-AFTER"
OUR_OVERFLOW: Final = "X-TASKS-OVERFLOW"
"""Properties that an export of this service has (app/api/transfer/calendars.py)."""

OVERFLOWS: Final = ("skip", "backward", "forward")
LONGEST_POSITION: Final = 64
KNOWN: Final = {
    *("UID", "RECURRENCE-ID", "SUMMARY", "DESCRIPTION", "CREATED", "CATEGORIES", "RELATED-TO"),
    *("STATUS", "COMPLETED", "PERCENT-COMPLETE", "PRIORITY", "DTSTART", "DUE", "DURATION"),
    *("RRULE", "RDATE", "EXDATE", "EXRULE", ORDER, *DESCRIBED, *LOST),
    *(OUR_CATEGORY, OUR_POSITION, OUR_ZONE, OUR_AFTER, OUR_OVERFLOW),
}
NUMBER: Final = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,6})?")


def read(file: IO[bytes], options: Options) -> Iterator[Found]:
    """Yield the tasks of a file in UTF-8 and what of it is lost, in the order of the file.

    The file is read twice. One to-do is held at a time, and of each one two hashes of its source.
    Raises NotThisFormat.
    """
    require_utf_8(file)
    first = next(lines(file), None)
    if not first or first.data.strip().upper() != b"BEGIN:VCALENDAR":
        raise NotThisFormat(
            "The file is not a calendar in UTF-8: it must begin with BEGIN:VCALENDAR."
        )
    return limited(found_in(file, options), options, MORE_LOSSES)


def found_in(file: IO[bytes], options: Options) -> Iterator[Found]:
    """Yield the tasks of a calendar, and after each of them what of it is lost."""
    survey, sources, others = Survey(file), Sources(), Others()
    yield from survey.losses
    for block in blocks(file, "VTODO"):
        if block.name == "VTODO":
            yield from found_of(block, survey.calendar(block.calendar), sources, options)
        elif block.name == CALENDAR and block.defect:
            detail = f"The calendar {block.defect}: something may be missing."
            yield Loss(block.line, CALENDAR, detail)
        elif block.name not in (CALENDAR, "VTIMEZONE"):
            others.add(block)
    yield from others.losses()


def found_of(
    block: Block, calendar: Calendar, sources: Sources, options: Options
) -> Iterator[Found]:
    """Yield the task of a to-do if there is one, and what is lost."""
    todo = Component(block, KNOWN)
    title = quoted(todo.all("SUMMARY")[0].text) if todo.all("SUMMARY") else ""
    if block.defect:
        detail = f"The to-do {block.defect}, and was not taken over: {title}"
        yield Loss(block.line, "VTODO", detail)
        return
    alarms = alarms_of(block)
    for part in block.parts:
        if part.name != "VALARM":
            todo.losses.append(
                Loss(part.line, part.name, "This part of a to-do is not taken over.")
            )
    if (source := sources.source_of(todo, alarms)) is not None:
        zones = Zones(options.time_zone, calendar.zones)
        task = FoundTask(line=block.line, source=source, title="")
        complete(task, todo, zones)
        if is_taken(task, todo, title):
            repeat(task, todo, alarms, zones)
            place(task, todo, calendar, options)
            describe(task, todo)
            yield task
    yield from sorted(todo.losses, key=lambda loss: loss.line)


def repeat(task: FoundTask, todo: Component, alarms: list[Component], zones: Zones) -> None:
    """Take over when the task was created, when it is due, how it repeats, and when it reminds."""
    task.created_at = instant_of(todo, "CREATED", zones)
    due, start = due_of(todo, zones)
    if due:
        task.due_date, task.due_at = due.day, due.at
    if rule := repetition(todo, due, start, zones):
        task.rule, task.time_zone = rule
        repeat_as_here(task, todo, rule[0])
    task.reminders = reminders(todo, alarms, due, start, zones)
    lose_snoozes(todo)


def repeat_as_here(task: FoundTask, todo: Component, rule: str) -> None:
    """Take over what an export of this service says of the repetition beside the rule."""
    if is_time_zone(zone := own(todo, OUR_ZONE)):
        task.time_zone = zone
    task.after_completion = own(todo, OUR_AFTER) == "completion" and after_completion(rule)
    if (overflow := own(todo, OUR_OVERFLOW)) in OVERFLOWS:
        task.overflow = overflow
    if todo.all(OUR_AFTER) and "COUNT=" in rule:
        detail = "The occurrences are counted from the present one on."
        todo.losses.append(Loss(todo.line, "RRULE", detail))


def repetition(
    todo: Component, due: Moment | None, start: Moment | None, zones: Zones
) -> tuple[str, str] | None:
    """Return the rule and its time zone; that of an occurrence is lost."""
    if not todo.all("RECURRENCE-ID"):
        return rule_of(todo, due, start, zones)
    for rule in todo.all("RRULE"):
        todo.lose(rule, "One occurrence of a to-do does not repeat.", is_noted=True)
    return None


def place(task: FoundTask, todo: Component, calendar: Calendar, options: Options) -> None:
    """Take over the priority, the parent, the order, the category and the labels."""
    if found := todo.take("PRIORITY"):
        task.priority = priority_of(todo, found)
    task.parent = parent_of(todo)
    if found := todo.take(ORDER):
        if NUMBER.fullmatch(text := found.text.strip()[:30]):
            task.order = float(text)
        else:
            todo.lose(found, f"The order is not a number: {quoted(text)}")
    elif position := own(todo, OUR_POSITION):
        task.order = position[:LONGEST_POSITION]
    entries = [name.strip() for each in todo.all("CATEGORIES") for name in each.values()]
    names = [name for name in entries if name]
    if todo.all(OUR_CATEGORY) and names:
        task.category = names.pop(0)
    elif not calendar.is_own:
        task.category = calendar.name or (options.name or "").strip() or None
    task.labels = list(dict.fromkeys(names))


def own(todo: Component, name: str) -> str:
    """Return a value that this service has written, empty if there is none."""
    found = todo.take(name)
    return found.text.strip() if found else ""


def priority_of(todo: Component, found: Property) -> str:
    """Return a priority by its digit."""
    text = found.text.strip()
    if len(text) != 1 or text not in "0123456789":
        todo.lose(found, f"The priority is not one of 0 to 9: {quoted(text)}", is_noted=True)
        return "none"
    return PRIORITIES.get(text, "low")


def parent_of(todo: Component) -> str | None:
    """Return the source of the parent; other relations are lost."""
    parent = None
    for found in todo.all("RELATED-TO"):
        kind = found.parameter("RELTYPE").strip().upper() or "PARENT"
        if kind == "PARENT" and parent is None and found.text.strip():
            parent = found.text.strip()
        elif found.text.strip():
            todo.lose(found, f"A task has one parent and no other relations: {quoted(kind)}")
    return parent


def describe(task: FoundTask, todo: Component) -> None:
    """Take over the texts, and note what a user would miss."""
    title, description = todo.take("SUMMARY"), todo.take("DESCRIPTION")
    for name in LOST:
        for found in todo.all(name):
            todo.lose(found, f"A task does not have this: {quoted(found.text)}")
    for text in filter(None, (title, description)):
        if (encoding := text.parameter("ENCODING").upper()) not in ("", "8BIT"):
            todo.lose(text, f"The value is encoded in a way that is not read: {quoted(encoding)}")
    task.title = title.text if title else ""
    if not task.title.strip():
        task.title = "Untitled"
        todo.losses.append(Loss(todo.line, "SUMMARY", "The to-do has no title."))
    texts = [description.text] if description else []
    for name in DESCRIBED:
        texts += [f"{name}: {each.text}" for each in todo.all(name) if each.text.strip()]
    task.description = "\n".join([*texts, *todo.notes])
