"""A household that does its tasks with two devices, one of which is offline for days at a time."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from functools import partial
from itertools import groupby
from operator import itemgetter
from random import Random
from typing import Any, NamedTuple

from app.core.ids import new_id
from tests.chores import Chore, Errand, instant, text
from tests.conftest import Account
from tests.simulated import Clock
from tests.syncing import Copy
from tests.walking import walk

PREVIEWED = 30
"""More occurrences than come while a device is offline."""


class Ring(NamedTuple):
    """The task of this title has reminded."""

    title: str
    at: datetime


class Request(NamedTuple):
    """What a device sends about a task. `foretold` does to the task what the request must do, and
    returns the status of the response.
    """

    task: Errand
    foretold: Callable[[datetime], int]
    method: str
    action: str
    body: dict[str, Any]
    headers: dict[str, str] = {}  # noqa: RUF012 it is only read

    @property
    def path(self) -> str:
        return f"/v1/tasks/{self.task.id}{self.action}"


class Household:
    """An account, its devices and its tasks as they must be: every response is compared with them.

    `rung` has the reminders that rang, `snoozes` those of them that must be ends of a snooze, and
    `answers` how often an action was answered with a status.
    """

    def __init__(self, account: Account, clock: Clock, random: Random, zone: str) -> None:
        self.account = account
        self.clock = clock
        self.random = random
        self.tasks: dict[str, Errand] = {}
        self.rung: list[Ring] = []
        self.snoozes: set[Ring] = set()
        self.answers: Counter[tuple[str, int]] = Counter()
        self.tablet = Device(self, use=0.6)
        self.phone = Device(self, use=0.3)
        self._settle(zone)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def chores(self) -> list[Chore]:
        return [task for task in self.tasks.values() if isinstance(task, Chore)]

    def spend(self, day: date, *, is_busy: bool, moves_to: str | None) -> None:
        """A morning and an evening, at which either device may be used; at noon the household may
        move.
        """
        self._use_devices(day, range(6, 12), is_busy)
        if moves_to:
            self.wait_until(instant(day, time(12), self.zone))
            self._move(moves_to)
        self._use_devices(day, range(17, 23), is_busy)

    def wait_until(self, end: datetime) -> None:
        """Let the tablet ring; it asks again when something has been snoozed."""
        while self._snoozes_one(walk(self.account, "/v1/reminders", until=text(end))):
            pass
        self.clock.set(end)

    def send(self, request: Request) -> None:
        self.tasks[request.task.id] = request.task
        status = request.foretold(self.clock.now())
        response = self.account.call(
            request.method, request.path, json=request.body, headers=request.headers
        )
        assert response.status_code == status, (request, response.text)
        self.answers[request.action, status] += 1
        if request.action == "/complete" and request.body and status == 200:
            copy_id = request.task.copy_id(request.body["occurrence"])
            assert response.json["completed"]["id"] == copy_id, response.text
        if "Idempotency-Replayed" not in response.headers:
            self.check(response.json.get("task") or response.json.get("current") or response.json)

    def check(self, shown: dict[str, Any]) -> None:
        """A task that a response shows, or a copy has, is as it must be."""
        expected = self.tasks[shown["id"]].shown()
        assert {name: shown[name] for name in expected} == expected, (shown, expected)

    def _use_devices(self, day: date, hours: range, is_busy: bool) -> None:
        at = time(self.random.choice(hours), self.random.randrange(0, 60, 5))
        self.wait_until(instant(day, at, self.zone))
        for device in self.random.sample([self.tablet, self.phone], 2):
            if is_busy and self.chance(device.use):
                device.do_what_is_due(day)
                if device.is_online:
                    device.sync()

    def _move(self, zone: str) -> None:
        """Take the account to another time zone, and then what repeats."""
        self.tablet.sync()
        self._settle(zone)
        for chore in (each for each in self.chores() if each.moves):
            shown = self.tablet.copy.items[chore.id]
            body = {"recurrence": {**shown["recurrence"], "time_zone": zone}}
            if chore.at:
                body["due_at"] = text(instant(chore.due, chore.at, zone))
            match = {"If-Match": f'"{shown["version"]}"'}
            self.send(Request(chore, partial(chore.move, zone=zone), "PATCH", "", body, match))

    def _settle(self, zone: str) -> None:
        """Set the account's time zone, which errands follow."""
        response = self.account.patch("/v1/me", json={"time_zone": zone})
        assert response.status_code == 200, response.text
        self.zone = zone
        for task in self.tasks.values():
            if not isinstance(task, Chore):
                task.move(self.clock.now(), zone)

    def _snoozes_one(self, coming: list[dict[str, Any]]) -> bool:
        """Ring at each of these instants, until the user snoozes a task: whether they do."""
        following: dict[str, str] = {}
        for item in coming:
            self.check(item["task"])
            first = following.setdefault(item["task"]["id"], item["at"])
            assert item["task"]["remind_at"] == first, item
        for shown, items in groupby(coming, itemgetter("at")):
            tasks = [self.tasks[item["task"]["id"]] for item in items]
            at = datetime.fromisoformat(shown)
            self.clock.set(at)
            self.rung += [Ring(task.title, at) for task in tasks]
            if self.chance(0.1):
                length = timedelta(minutes=self.random.choice([10, 60, 600]))
                self._snooze(tasks[-1], at + length)
                return True
        return False

    def _snooze(self, task: Errand, until: datetime) -> None:
        foretold = partial(task.snooze, until=until)
        self.send(Request(task, foretold, "POST", "/snooze", {"until": text(until)}))
        self.snoozes.add(Ring(task.title, until))


class Device:
    """A copy of the tasks, what it knows to come of each, and a queue of what it has not sent.

    `use` is how probably it is used in a morning or an evening.
    """

    def __init__(self, household: Household, use: float) -> None:
        self.household = household
        self.use = use
        self.copy = Copy(household.account)
        self.queue: list[Request] = []
        self.ahead: dict[str, list[str]] = {}
        self.is_online = True

    def sync(self) -> None:
        """Send the queue, and then take in what has changed."""
        self.is_online = True
        for request in self._with_repeats():
            self.household.send(request)
        self.queue = []
        tasks = [task for task in self.copy.pulled().items.values() if not task["series_id"]]
        for task in tasks:
            self.household.check(task)
        self.ahead = {
            task["id"]: [task["occurrence"] or task["due_date"]]
            for task in tasks
            if not task["complete"]
        }

    def leave(self) -> None:
        """Go offline, with a preview of what repeats."""
        self.sync()
        self.is_online = False
        for chore in self.household.chores():
            if chore.is_scheduled:
                path = f"/v1/tasks/{chore.id}/occurrences?limit={PREVIEWED}"
                items = self.household.account.get(path).json["items"]
                self.ahead[chore.id] += [item["occurrence"] for item in items]

    def create(self, task: Errand) -> None:
        def foretold(now: datetime) -> int:
            return task.create(now, self.household.zone)

        new = {"If-None-Match": "*"}
        self.queue.append(Request(task, foretold, "PUT", "", task.body(), new))

    def do_what_is_due(self, day: date) -> None:
        """Most of what is due up to this day is completed or skipped."""
        for task_id, ahead in self.ahead.items():
            if ahead and ahead[0][:10] <= str(day) and self.household.chance(0.7):
                self.queue.append(self._step(self.household.tasks[task_id], ahead, day))

    def _step(self, task: Errand, ahead: list[str], day: date) -> Request:
        """Go on with a task, as the service will: offline from each occurrence to the very next,
        so that none that was done is left out.
        """
        occurrence = ahead.pop(0)
        if not isinstance(task, Chore):
            return Request(task, task.finish, "POST", "/complete", {})
        missed = "keep" if self.household.chance(0.1 if self.is_online else 0.9) else "skip"
        while missed == "skip" and ahead and ahead[0][:10] < str(day):
            ahead.pop(0)
        body = {"occurrence": occurrence, "missed": missed}
        if self.household.chance(0.95):
            return Request(task, partial(task.complete, **body), "POST", "/complete", body)
        key = new_id()
        foretold = partial(task.skip, **body, key=key)
        return Request(task, foretold, "POST", "/skip", body, {"Idempotency-Key": key})

    def _with_repeats(self) -> Iterator[Request]:
        """The queue in its order; the network delivers some requests again, at once or later."""
        again: list[Request] = []
        for request in self.queue:
            yield request
            if self.household.chance(0.15):
                again.append(request)
            while again and self.household.chance(0.5):
                yield again.pop(0)
        yield from again
