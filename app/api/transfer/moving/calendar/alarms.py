"""Reminders of a to-do of iCalendar: VALARM (RFC 5545, section 3.6.6, and RFC 9074)."""

from datetime import datetime, time, timedelta
from typing import Any, Final

from app.api.tasks.reminders import DURATION, LONGEST, MOST_DAYS
from app.api.transfer.moving.calendar.lines import Block
from app.api.transfer.moving.calendar.properties import Component, Property, quoted
from app.api.transfer.moving.calendar.times import Moment, Zones, length_of
from app.api.transfer.moving.calendar.zones import Unreadable
from app.api.transfer.moving.found import Loss

KNOWN: Final = {
    *("ACTION", "TRIGGER", "REPEAT", "DURATION", "RELATED-TO"),
    *("PROXIMITY", "X-APPLE-PROXIMITY"),
}
ACTIONS: Final = {"", "DISPLAY", "AUDIO", "EMAIL"}
DAY: Final = timedelta(days=1)


def reminders(
    todo: Component, alarms: list[Component], due: Moment | None, start: Moment | None, zones: Zones
) -> list[dict[str, Any]]:
    """Return the reminders of a to-do, each once; what is lost of its alarms is lost of it."""
    found: dict[str, dict[str, Any]] = {}
    for alarm in alarms:
        reminder = reminder_of(alarm, due, start, zones)
        if reminder:
            found.setdefault(repr(reminder), reminder)
        lose_snoozes(alarm)
        todo.losses += alarm.losses
        todo.notes += alarm.notes
    return list(found.values())


def reminder_of(
    alarm: Component, due: Moment | None, start: Moment | None, zones: Zones
) -> dict[str, Any] | None:
    """Return the reminder that an alarm is; None for none, or for what is lost."""
    action, trigger = alarm.take("ACTION"), alarm.take("TRIGGER")
    if action and action.text.strip().upper() == "NONE":
        return None  # Apple writes an alarm of this kind for a task without one
    if not trigger:
        alarm.losses.append(Loss(alarm.line, "VALARM", "The alarm does not say when."))
        return None
    try:
        refuse_other_kinds(alarm, action)
        is_duration = trigger.text.strip().upper().startswith(("P", "+P", "-P"))
        if is_duration and trigger.parameter("VALUE").upper() in ("", "DURATION"):
            reminder = relative(trigger, due, start)
        else:
            reminder = absolute(trigger, zones)
    except Unreadable as error:
        alarm.lose(trigger, str(error), is_noted=True)
        return None
    if repeat := alarm.take("REPEAT"):
        alarm.lose(repeat, "A reminder is not repeated.")
    return reminder


def refuse_other_kinds(alarm: Component, action: Property | None) -> None:
    """Raise Unreadable for an alarm that is no reminder at a time."""
    if action and action.text.strip().upper() not in ACTIONS:
        raise Unreadable(f"An alarm of this kind is no reminder: {quoted(action.text)}")
    if alarm.all("PROXIMITY") or alarm.all("X-APPLE-PROXIMITY"):
        raise Unreadable("A task does not remind at a place.")
    if any(each.parameter("RELTYPE").upper() == "SNOOZE" for each in alarm.all("RELATED-TO")):
        raise Unreadable("A snoozed alarm is not taken over.")


def absolute(trigger: Property, zones: Zones) -> dict[str, Any]:
    """Return a reminder at an instant. Raises Unreadable."""
    moment = zones.moment(trigger)
    if not moment.at:
        raise Unreadable("The alarm has a day without a time.")
    return {"at": moment.at.isoformat().replace("+00:00", "Z")}


def relative(trigger: Property, due: Moment | None, start: Moment | None) -> dict[str, Any]:
    """Return a reminder before the due time. Raises Unreadable."""
    edge = trigger.parameter("RELATED").upper() or "START"
    base = {"START": start, "END": due}.get(edge)
    if not base:
        raise Unreadable(f"The alarm is relative to what the to-do does not have: {quoted(edge)}")
    if not due or bool(due.at) != bool(base.at):
        raise Unreadable("The alarm is not relative to a day or time at which the task is due.")
    length = length_of(trigger.text).total()
    if due.at and base.at:
        return before(due.at - base.at - length)
    return on_a_day(base.local - due.local + length)


def before(length: timedelta) -> dict[str, Any]:
    """Return a reminder so long before a due time. Raises Unreadable."""
    if not timedelta(0) <= length <= LONGEST:
        raise Unreadable(
            f"A reminder is at most {MOST_DAYS} days before the task is due, and not after."
        )
    return {"before": DURATION.dump_python(length, mode="json")}


def on_a_day(after: timedelta) -> dict[str, Any]:
    """Return a reminder so long after the beginning of the due day. Raises Unreadable."""
    days, rest = divmod(after, DAY)
    if not 0 <= -days <= MOST_DAYS:
        raise Unreadable(
            f"A reminder is at most {MOST_DAYS} days before the due day, and not after."
        )
    clock: time = (datetime.min + rest).time()
    if clock.second:
        raise Unreadable("A reminder has no seconds.")
    return {"days_before": -days, "time": clock.isoformat("minutes")}


def lose_snoozes(component: Component) -> None:
    """Report what other apps note of a snooze."""
    for name in filter(lambda name: "SNOOZE" in name, list(component.properties)):
        for found in component.all(name):
            component.lose(found, f"A snooze is not taken over: {quoted(found.text)}")


def alarms_of(block: Block) -> list[Component]:
    """Return the alarms of a to-do."""
    return [Component(part, KNOWN) for part in block.parts if part.name == "VALARM"]
