"""Whether a to-do of iCalendar is complete (RFC 5545, sections 3.8.1.11 and 3.8.2.1)."""

from datetime import datetime
from typing import Final

from app.api.transfer.moving.calendar.properties import Component, quoted
from app.api.transfer.moving.calendar.times import Zones, read_moment
from app.api.transfer.moving.found import FoundTask

OPEN: Final = {"NEEDS-ACTION", "IN-PROCESS"}
CLOSED: Final = {"COMPLETED", "CANCELLED"}


def complete(task: FoundTask, todo: Component, zones: Zones) -> None:
    """Say whether the task is complete, and since when."""
    status, completed, part = map(todo.take, ("STATUS", "COMPLETED", "PERCENT-COMPLETE"))
    state = status.text.strip().upper() if status else ""
    percent = part.text.strip() if part else ""
    task.complete = state in CLOSED or (
        state not in OPEN and (completed is not None or percent == "100")
    )
    if status and state not in OPEN | CLOSED:
        todo.lose(status, f"The status is not known: {quoted(state)}", is_noted=True)
    elif status and state in ("CANCELLED", "IN-PROCESS"):
        instead = "complete" if task.complete else "open"
        todo.lose(status, f"A task has no such status; it is {instead}: {state}")
    if part and percent not in ("0", "100"):
        todo.lose(part, f"A task is not complete in part: {quoted(percent)}")
    elif part and percent == "100" and not task.complete:
        todo.lose(part, "By its status the to-do is open.")
    if completed and not task.complete:
        todo.lose(completed, "By its status the to-do is open.", is_noted=True)
    elif completed:
        task.completed_at = instant_of(todo, "COMPLETED", zones)


def instant_of(todo: Component, name: str, zones: Zones) -> datetime | None:
    """Return the instant that a property has; what is none is lost."""
    moment, found = read_moment(todo, name, zones), todo.take(name)
    if moment and found and not moment.at:
        todo.lose(found, f"A day is not a time: {quoted(found.text)}", is_noted=True)
    return moment.at if moment else None


def is_taken(task: FoundTask, todo: Component, title: str) -> bool:
    """Whether the to-do is not an occurrence that was changed, unless it is a completed one."""
    occurrence, status = todo.take("RECURRENCE-ID"), todo.take("STATUS")
    if not occurrence:
        return True
    is_cancelled = status is not None and status.text.strip().upper() == "CANCELLED"
    if task.complete and not is_cancelled and not occurrence.parameter("RANGE"):
        return True
    todo.losses.clear()  # which are of a task that there is not
    what = f"{quoted(occurrence.text.strip())} {title}"
    todo.lose(occurrence, f"A changed occurrence of a to-do is not taken over: {what}")
    return False
