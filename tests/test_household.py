"""A year of a household that has two devices and moves from Berlin to New York.

Its database has a simulated clock. What must become of each task, and when it must remind, is
computed beside the service (tests/chores.py).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any

import pytest

from app.api.tasks import reminders
from tests.chores import DAY, Chore, Errand, Upkeep, instant, local, text
from tests.databases import migrate, own_database, user_of
from tests.household import Household
from tests.simulated import simulated_clock
from tests.syncing import Copy
from tests.walking import walk

pytestmark = pytest.mark.slow

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"

# The clocks of New York change on 10 March and 3 November, those of Berlin on 31 March and
# 27 October; at each place the changes of the other must not matter.
YEAR = [date(2024, 1, 1) + n * DAY for n in range(366)]
MOVE = date(2024, 7, 1)
BEGIN = instant(YEAR[0], time(0, 5), BERLIN)
MOVED_AT = instant(MOVE, time(12), BERLIN)
END = instant(YEAR[-1], time(23, 55), NEW_YORK)

OFFLINE = [
    (date(2024, 3, 8), 4),
    (date(2024, 3, 29), 5),
    (date(2024, 6, 28), 7),
    (date(2024, 10, 25), 4),
    (date(2024, 11, 1), 5),
]
"""When the phone goes offline, and for how many days: also across every change of clocks and the
move."""

LOCAL_TIMES = {
    "Take the medicine": {"08:45"},
    "Bake bread": {"02:30", "20:00"},
    "Pay the rent": {"18:00", "09:00", "18:10"},
    "Water the orchid": {"17:30"},
    "Feed the cat": {"01:30", "19:00"},
    "Call grandmother": {"16:00"},
}
"""When each chore reminds, wherever the household lives; grandmother stays in Berlin."""

NIGHTS = {
    # Half past two does not come in Berlin then; it is half past three.
    "Catch the night train": (date(2024, 3, 31), "02:30", datetime(2024, 3, 31, 1, 30, tzinfo=UTC)),
    # Half past one comes twice in New York then; the first counts.
    "Meet the night flight": (date(2024, 11, 3), "01:30", datetime(2024, 11, 3, 5, 30, tzinfo=UTC)),
}
"""Errands in nights in which clocks change: their days, the local times of their reminders, and
when these are."""


def chores() -> Iterator[Chore]:
    yield Chore(
        "Take the medicine",
        YEAR[0],
        {"rule": "FREQ=DAILY"},
        lambda day: True,
        [{"before": "PT15M"}],
        at=time(9),
        zone=BERLIN,
    )
    yield Chore(
        "Bake bread",
        date(2024, 1, 3),
        {"rule": "FREQ=WEEKLY;BYDAY=WE,SU", "time_zone": BERLIN},
        lambda day: day.isoweekday() in {3, 7},
        [{"before": "PT0M"}, {"days_before": 1, "time": "20:00"}],
        at=time(2, 30),
        zone=BERLIN,
    )
    yield Chore(
        "Pay the rent",
        date(2024, 1, 31),
        {"rule": "FREQ=MONTHLY;BYMONTHDAY=31", "overflow": "backward"},
        lambda day: (day + DAY).day == 1,
        [
            {"days_before": 2, "time": "18:00"},
            {"days_before": 0, "time": "09:00"},
            {"at": "2024-05-15T16:10:00Z"},
        ],
        zone=BERLIN,
    )
    yield Chore(
        "Feed the cat",
        YEAR[0],
        {"rule": "FREQ=DAILY"},
        lambda day: True,
        [{"days_before": 0, "time": "01:30"}, {"days_before": 0, "time": "19:00"}],
        zone=BERLIN,
    )
    yield Chore(
        "Call grandmother",
        date(2024, 1, 7),
        {"rule": "FREQ=WEEKLY"},
        lambda day: day.isoweekday() == 7,
        [{"days_before": 0, "time": "16:00"}],
        zone=BERLIN,
        moves=False,
    )
    reminder = {"days_before": 0, "time": "17:30"}
    yield Upkeep("Water the orchid", date(2024, 1, 4), 5, [reminder], zone=BERLIN)


def errands(random: Random) -> Iterator[tuple[date, Errand]]:
    """Tasks that are done once, and when they are thought of: some before the move and due behind
    it.
    """
    before_the_move = [MOVE - n * DAY for n in (45, 30, 20, 10, 3)]
    for number, day in enumerate(before_the_move + random.sample(YEAR[:-20], 15)):
        due = day + random.randint(4, 60) * DAY
        at = random.choice(["07:15", "12:00", "18:30"])
        reminds: list[dict[str, Any]] = [{"days_before": random.randint(0, 3), "time": at}]
        if number % 2:
            reminds.append({"at": text(datetime.combine(due - DAY, time(14, 20), UTC))})
        yield day, Errand(f"Errand {number}", due, reminds)
    for title, (due, at, _) in NIGHTS.items():
        yield due - 40 * DAY, Errand(title, due, [{"days_before": 0, "time": at}])


def stretches(random: Random, count: int, longest: int) -> Iterator[tuple[date, int]]:
    """Days of the year, and how many from there."""
    for day in random.sample(YEAR[:-longest], count):
        yield day, random.randint(2, longest)


def days_of(found: Iterable[tuple[date, int]]) -> set[date]:
    return {day + n * DAY for day, length in found for n in range(length)}


def live(household: Household) -> None:
    """Spend the year, until both devices have synced."""
    random, tablet, phone = household.random, household.tablet, household.phone
    offline = days_of([*OFFLINE, *stretches(random, 8, 9)])
    idle = days_of(stretches(random, 8, 5))
    planned = defaultdict(list)
    for day, errand in errands(random):
        planned[day].append(errand)
    for chore in chores():
        tablet.create(chore)
    tablet.sync()
    for day in YEAR:
        if phone.is_online and day in offline:
            phone.leave()
        elif not phone.is_online and day not in offline:
            phone.sync()
        for errand in planned[day]:
            random.choice([tablet, phone]).create(errand)
        moves_to = NEW_YORK if day == MOVE else None
        household.spend(day, is_busy=day not in idle, moves_to=moves_to)
    household.wait_until(END)
    for device in (tablet, phone, tablet):
        device.sync()


@pytest.fixture
def household(cluster: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Household]:
    """A household in Berlin on the first day of the year."""
    with own_database(cluster) as url:
        migrate(url)
        with simulated_clock(url) as clock:
            clock.set(BEGIN)
            monkeypatch.setattr(reminders, "datetime", clock.stand_in())
            yield Household(user_of(url, LOG_LEVEL="WARNING"), clock, Random(31), BERLIN)


@pytest.mark.longest
def test_a_household_loses_nothing_in_a_year(household: Household) -> None:
    live(household)
    assert_it_was_such_a_year(household)
    assert_all_views_agree(household)
    for chore in household.chores():
        if chore.is_scheduled:
            assert_each_occurrence_has_one_fate(chore)
    assert_reminders_rang_in_time(household)
    assert_each_task_shows_its_next_reminder(household)


def assert_it_was_such_a_year(household: Household) -> None:
    """The clock was simulated, devices met each other's changes, and requests came twice."""
    for task in walk(household.account):
        created_at = datetime.fromisoformat(task["created_at"])
        assert BEGIN < created_at < END + timedelta(minutes=1)
    for answer in (("/complete", 409), ("/skip", 409), ("", 412)):
        assert household.answers[answer]
    for chore in household.chores():
        assert chore.completed
        assert chore.at is None or (chore.skipped and chore.missed)


def assert_all_views_agree(household: Household) -> None:
    """What is on both devices is what the listing has, and a new copy."""
    listed = {task["id"]: task for task in walk(household.account)}
    assert Copy(household.account).pulled().items == listed
    for device in (household.tablet, household.phone):
        assert without_remind_at(device.copy.items) == without_remind_at(listed)
    copies = {task_id: task for task_id, task in listed.items() if task["series_id"]}
    expected: dict[str, dict[str, Any]] = {}
    for chore in household.chores():
        expected |= chore.copies()
    assert listed.keys() == household.tasks.keys() | expected.keys()
    shown = {
        task_id: {name: task[name] for name in expected[task_id]}
        for task_id, task in copies.items()
    }
    assert shown == expected


def without_remind_at(tasks: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Tasks without what moves on with time and has no version."""
    return {task_id: {**task, "remind_at": None} for task_id, task in tasks.items()}


def assert_each_occurrence_has_one_fate(chore: Chore) -> None:
    """It was completed once, or skipped, or missed, or is the present one or still to come."""
    schedule = [chore.name(day) for day in YEAR if chore.falls_on(day)]
    to_come = [occurrence for occurrence in schedule if occurrence >= chore.occurrence]
    fates = [*chore.completed, *chore.skipped, *chore.missed, *to_come]
    assert sorted(fates) == schedule


def assert_reminders_rang_in_time(household: Household) -> None:
    """Each when it had to and once; those of chores at the same local times all the year."""
    tasks = {task.title: task for task in household.tasks.values()}
    rung = set(household.rung)
    expected = {(title, at) for title, task in tasks.items() for at in task.rings(END)}
    assert len(rung) == len(household.rung)
    assert (expected - rung, rung - expected) == (set(), set())
    of_nights = {(title, at) for title, at in rung - household.snoozes if title in NIGHTS}
    assert of_nights == {(title, at) for title, (_, _, at) in NIGHTS.items()}
    times = defaultdict(set)
    for title, at in rung - household.snoozes:
        zone = BERLIN if at <= MOVED_AT else tasks[title].zone
        times[title].add(f"{local(at, zone):%H:%M}")
    times["Bake bread"].discard("03:30")  # as on 31 March
    assert {title: times[title] for title in LOCAL_TIMES} == LOCAL_TIMES


def assert_each_task_shows_its_next_reminder(household: Household) -> None:
    """`remind_at` is the first of the task's reminders that are to come."""
    following: dict[str, str] = {}
    for item in walk(household.account, "/v1/reminders", limit=2):
        following.setdefault(item["task"]["id"], item["at"])
    listed = {task["id"]: task["remind_at"] for task in walk(household.account)}
    assert following == {task_id: at for task_id, at in listed.items() if at}
