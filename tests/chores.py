"""What the rules make of tasks that repeat and remind, computed beside the service."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from app.core.ids import new_id

DAY = timedelta(days=1)


def instant(day: date, at: time, zone: str) -> datetime:
    """When it is that local time there.

    A time that clocks skip is later by as much; of one that comes twice it is the first (PEP 495,
    with fold=0).
    """
    return datetime.combine(day, at, ZoneInfo(zone)).astimezone(UTC)


def local(at: datetime, zone: str) -> datetime:
    """The local time there."""
    return at.astimezone(ZoneInfo(zone))


def text(at: datetime) -> str:
    """An instant in UTC as requests and responses have it."""
    return at.isoformat().replace("+00:00", "Z")


class Errand:
    """A task that is done once, by a day. Its reminders are local to the account's time zone.

    The methods that change it return the status of the response.
    """

    def __init__(self, title: str, due: date, reminders: list[dict[str, Any]]) -> None:
        self.id = new_id()
        self.title = title
        self.due = due
        self.reminders = reminders
        self.zone = ""
        self.is_open = True
        self.snoozed: datetime | None = None
        self.history: list[tuple[datetime, frozenset[datetime]]] = []
        """Its instants, and from when on they were these."""

    @property
    def occurrence(self) -> str | None:
        """The present one, as requests name it."""
        return None

    @property
    def due_at(self) -> datetime | None:
        """When it is due, if it is not due on a day."""
        return None

    def copy_id(self, occurrence: str) -> str:
        """The id of the completed copy of an occurrence."""
        return str(uuid5(UUID(self.id), occurrence))

    def body(self) -> dict[str, Any]:
        """What creates it."""
        due = {"due_at": text(self.due_at)} if self.due_at else {"due_date": str(self.due)}
        return {"title": self.title, "reminders": self.reminders, **due}

    def shown(self) -> dict[str, Any]:
        """What responses must say of it."""
        return {
            "title": self.title,
            "complete": not self.is_open,
            "occurrence": self.occurrence,
            "due_date": None if self.due_at else str(self.due),
            "due_at": text(self.due_at) if self.due_at else None,
        }

    def create(self, now: datetime, zone: str) -> int:
        """Create it, if it is new."""
        if self.history:
            return 412
        self.zone = zone
        return self._changed(now, 201)

    def finish(self, now: datetime) -> int:
        """Complete it for good."""
        self.is_open = False
        return self._changed(now)

    def snooze(self, now: datetime, until: datetime) -> int:
        """Let it remind then, and not before."""
        self.snoozed = until
        return self._changed(now)

    def move(self, now: datetime, zone: str) -> int:
        """Take it to another time zone."""
        self.zone = zone
        return self._changed(now)

    def rings(self, until: datetime) -> Iterator[datetime]:
        """When it must have reminded, up to an instant."""
        ends = [since for since, _ in self.history[1:]]
        for (since, instants), end in zip(self.history, [*ends, until], strict=True):
            yield from (each for each in instants if since < each <= end)

    def _changed(self, now: datetime, status: int = 200) -> int:
        self.history.append((now, frozenset(self._instants())))
        return status

    def _instants(self) -> Iterator[datetime]:
        if not self.is_open:
            return
        for each in map(self._instant, self.reminders):
            if self.snoozed is None or each > self.snoozed:
                yield each
        if self.snoozed:
            yield self.snoozed

    def _instant(self, reminder: dict[str, Any]) -> datetime:
        match reminder:
            case {"at": at}:
                return datetime.fromisoformat(at)
            case {"before": before} if self.due_at:
                return self.due_at - timedelta(minutes=int(before[2:-1]))
            case {"days_before": days, "time": at}:
                return instant(self.due - days * DAY, time.fromisoformat(at), self.zone)
        raise ValueError(reminder)


class Chore(Errand):
    """A task that repeats, on the days on which its rule falls; not every one moves with people."""

    is_scheduled = True

    def __init__(
        self,
        title: str,
        due: date,
        recurrence: dict[str, Any],
        falls_on: Callable[[date], bool],
        reminders: list[dict[str, Any]],
        *,
        zone: str,
        at: time | None = None,
        moves: bool = True,
    ) -> None:
        super().__init__(title, due, reminders)
        self.recurrence = recurrence
        self.falls_on = falls_on
        self.zone = zone
        self.at = at
        self.moves = moves
        self.completed: dict[str, dict[str, Any]] = {}
        self.skipped: list[str] = []
        self.missed: list[str] = []
        self.keys: set[str] = set()

    @property
    def occurrence(self) -> str:
        return self.name(self.due)

    @property
    def due_at(self) -> datetime | None:
        return instant(self.due, self.at, self.zone) if self.at else None

    def name(self, day: date) -> str:
        """The occurrence of a day, as requests name it."""
        return datetime.combine(day, self.at).isoformat() if self.at else str(day)

    def body(self) -> dict[str, Any]:
        return {**super().body(), "recurrence": self.recurrence}

    def complete(self, now: datetime, occurrence: str, missed: str) -> int:
        """Complete an occurrence; `missed` as in the request."""
        if occurrence != self.occurrence:
            return 200 if occurrence in self.completed else 409
        self.completed[occurrence] = {**self.shown(), "complete": True, "occurrence": None}
        return self._go_on(now, missed)

    def skip(self, now: datetime, occurrence: str, missed: str, key: str) -> int:
        """Skip an occurrence; a request with the same key is answered as before."""
        if key in self.keys:
            return 200
        if occurrence != self.occurrence:
            return 409
        self.keys.add(key)
        self.skipped.append(occurrence)
        return self._go_on(now, missed)

    def move(self, now: datetime, zone: str) -> int:
        if self.at:
            self.snoozed = None  # which ends when a task is due at another instant
        return super().move(now, zone)

    def copies(self) -> dict[str, dict[str, Any]]:
        """The completed copies that there must be, by their ids."""
        return {
            self.copy_id(occurrence): {**shown, "series_id": self.id}
            for occurrence, shown in self.completed.items()
        }

    def _go_on(self, now: datetime, missed: str) -> int:
        self.snoozed = None
        self.due = self._following()
        while missed == "skip" and self._is_past(now):
            self.missed.append(self.occurrence)
            self.due = self._following()
        return self._changed(now)

    def _following(self) -> date:
        day = self.due + DAY
        while not self.falls_on(day):
            day += DAY
        return day

    def _is_past(self, now: datetime) -> bool:
        return self.due_at <= now if self.due_at else self.due < local(now, self.zone).date()


class Upkeep(Chore):
    """A task that is due again some days after it was completed."""

    is_scheduled = False

    def __init__(
        self, title: str, due: date, days: int, reminders: list[dict[str, Any]], *, zone: str
    ) -> None:
        recurrence = {"rule": f"FREQ=DAILY;INTERVAL={days}", "after": "completion"}
        super().__init__(title, due, recurrence, lambda _: True, reminders, zone=zone)
        self.days = days

    def _go_on(self, now: datetime, missed: str) -> int:
        self.snoozed = None
        self.due = local(now, self.zone).date() + self.days * DAY
        return self._changed(now)
