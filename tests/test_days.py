"""Days are those of a time zone: in the filters by due time, and in the order."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from apiflask import APIFlask
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.rows.listing import Position
from app.web import cursors
from app.web.fields import zones
from tests.assertions import refused
from tests.conftest import Account
from tests.walking import ids, page, walk

ABBREVIATIONS = ("CET", "EET", "EST", "HST", "MET", "MST", "WET")
"""Names of zones that PostgreSQL takes for abbreviations."""

Task = dict[str, Any]

# The model, which knows nothing of SQL


def local(at: datetime, zone: str) -> datetime:
    """What clocks there show."""
    return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


@cache
def start_of(day: date, zone: str) -> datetime:
    """The first instant of the day there; a microsecond before the next if it was left out."""
    midnight = datetime.combine(day, time())
    late = midnight.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    if local(late, zone) == midnight:
        return late
    # Clocks were set forward past midnight: find when. `late` is after that, the other before.
    early = midnight.replace(tzinfo=ZoneInfo(zone), fold=1).astimezone(UTC) - timedelta(seconds=1)
    while late - early > timedelta(seconds=1):
        middle = early + timedelta(seconds=(late - early) // timedelta(seconds=2))
        early, late = (early, middle) if local(middle, zone) >= midnight else (middle, late)
    return late - timedelta(microseconds=local(late, zone).date() > day)


def due(task: Task, zone: str) -> datetime | None:
    if task["due_date"]:
        return start_of(date.fromisoformat(task["due_date"]), zone)
    return datetime.fromisoformat(task["due_at"]) if task["due_at"] else None


def bound(text: str, zone: str) -> datetime:
    if len(text) == 10:
        return start_of(date.fromisoformat(text), zone)
    return datetime.fromisoformat(text)


def expected(tasks: list[Task], zone: str, sort: str, **filters: str) -> list[str]:
    """The ids that a listing must have, in its order."""
    found = []
    for task in tasks:
        at = due(task, zone)
        before, after = filters.get("due_before"), filters.get("due_after")
        if before and not (at and at < bound(before, zone)):
            continue
        if after and not (at and at > bound(after, zone)):
            continue
        found.append((at, task))
    if sort.removeprefix("-") == "title":
        found = [(EPOCH, task) for _, task in found]
    dated = sorted((at, task["id"]) for at, task in found if at)
    rest = sorted(task["id"] for at, task in found if not at)
    step = -1 if sort.startswith("-") else 1
    return [task_id for _, task_id in dated[::step]] + rest[::step]


EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def in_zone(account: Account, zone: str) -> Account:
    assert account.patch("/v1/me", json={"time_zone": zone}).status_code == 200
    return account


# What a user sees


@pytest.fixture
def angeleno(alice: Account) -> Account:
    return in_zone(alice, "America/Los_Angeles")


def test_before_a_day_means_before_it_begins_where_the_account_is(angeleno: Account) -> None:
    before = [
        angeleno.create_task(due_date="2027-03-01"),
        angeleno.create_task(due_at="2027-03-02T07:59:59.999999Z"),
    ]
    angeleno.create_task(due_date="2027-03-02")
    angeleno.create_task(due_at="2027-03-02T00:00:00-08:00")
    angeleno.create_task()
    for sort in ("due", "created_at", "title", "priority", "updated_at"):
        found = walk(angeleno, sort=sort, due_before="2027-03-02", limit=1)
        assert sorted(ids(found)) == sorted(ids(before)), sort


def test_after_a_day_means_after_it_begins_where_the_account_is(angeleno: Account) -> None:
    angeleno.create_task(due_date="2027-03-02")
    angeleno.create_task(due_at="2027-03-02T00:00:00-08:00")
    angeleno.create_task()
    after = [
        angeleno.create_task(due_at="2027-03-02T00:00:00.000001-08:00"),
        angeleno.create_task(due_date="2027-03-03"),
    ]
    for sort in ("due", "created_at"):
        assert sorted(ids(walk(angeleno, sort=sort, due_after="2027-03-02"))) == ids(after), sort


def test_an_instant_bounds_the_days_that_have_begun_by_then(angeleno: Account) -> None:
    first = angeleno.create_task(due_date="2027-03-01")
    second = angeleno.create_task(due_date="2027-03-02")
    for noon, begun in (
        ("2027-03-02T12:00:00Z", [first, second]),
        ("2027-03-02T08:00:00.000001Z", [first, second]),
        ("2027-03-02T08:00:00Z", [first]),
        ("2027-03-02T07:00:00Z", [first]),
    ):
        for sort in ("due", "created_at"):
            assert ids(walk(angeleno, sort=sort, due_before=noon)) == ids(begun), noon
    after = {"2027-03-02T07:59:59Z": [second], "2027-03-02T08:00:00Z": []}
    for at, later in after.items():
        assert ids(walk(angeleno, due_after=at)) == ids(later), at


def test_the_order_puts_a_day_where_it_begins(angeleno: Account) -> None:
    evening = angeleno.create_task(due_at="2027-03-01T21:00:00-08:00")
    second = angeleno.create_task(due_date="2027-03-02")
    first = angeleno.create_task(due_date="2027-03-01")
    never = angeleno.create_task()
    morning = angeleno.create_task(due_at="2027-03-02T09:00:00-08:00")
    by_due = ids([first, evening, second, morning])
    for limit in (1, 2, 3, 50):
        assert ids(walk(angeleno, sort="due", limit=limit)) == [*by_due, never["id"]]
        assert ids(walk(angeleno, sort="-due", limit=limit)) == [*by_due[::-1], never["id"]]


def test_days_follow_the_account_to_another_zone(angeleno: Account) -> None:
    day = angeleno.create_task(due_date="2027-03-02")
    night = angeleno.create_task(due_at="2027-03-02T00:00:00Z")
    assert ids(walk(angeleno, sort="due")) == ids([night, day])
    in_zone(angeleno, "Pacific/Kiritimati")
    assert ids(walk(angeleno, sort="due")) == ids([day, night])
    assert ids(walk(angeleno, due_before="2027-03-02T00:00:00Z")) == [day["id"]]
    assert ids(walk(angeleno, due_before="2027-03-02")) == []
    assert ids(walk(angeleno, due_after="2027-03-02")) == [night["id"]]


def test_a_query_may_name_another_zone(angeleno: Account) -> None:
    day = angeleno.create_task(due_date="2027-03-02")
    night = angeleno.create_task(due_at="2027-03-02T00:00:00Z")
    there = {"time_zone": "Pacific/Kiritimati"}
    assert ids(walk(angeleno, sort="due", limit=1, **there)) == ids([day, night])
    assert ids(walk(angeleno, due_before="2027-03-02T00:00:00Z", **there)) == [day["id"]]
    assert ids(walk(angeleno, due_after="2027-03-02", **there)) == [night["id"]]
    assert ids(walk(angeleno, sort="-created_at", **there)) == ids([night, day])
    assert ids(walk(angeleno, q="milk", **there, sort="due")) == ids([day, night])


@pytest.mark.parametrize("zone", ["Mars/Olympus", "+01:00", "", "x" * 65])
def test_a_zone_that_is_none_is_refused(alice: Account, zone: str) -> None:
    code = "string_too_long" if len(zone) > 64 else "time_zone"
    answer = alice.get("/v1/tasks", query_string={"time_zone": zone})
    assert refused(answer, code, parameter="time_zone")


def test_a_zone_that_only_the_database_does_not_know(
    alice: Account, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused where it is asked for; an account that has it has days of UTC."""
    monkeypatch.setattr(zones, "_time_zones", lambda: {"Mars/Olympus"})
    night = alice.create_task(due_at="2027-03-02T00:00:00.000001Z")
    day = alice.create_task(due_date="2027-03-02")
    for query in ("sort=due", "due_before=2027-01-01", "due_after=2027-01-01T00:00:00Z&q=x"):
        answer = alice.get(f"/v1/tasks?{query}&time_zone=Mars/Olympus")
        assert refused(answer, "time_zone", parameter="time_zone"), query
    with connection.cursor() as cursor:
        cursor.execute(
            "update users set time_zone = 'Mars/Olympus' where id = %s", (alice.user_id,)
        )
    assert ids(walk(alice, sort="due")) == ids([day, night])
    assert ids(walk(alice, due_after="2027-03-02")) == [night["id"]]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles", "Asia/Manila"])
def test_the_first_and_the_last_days_there_are_can_be_asked_for(alice: Account, zone: str) -> None:
    in_zone(alice, zone)
    first, last = (alice.create_task(due_date=day) for day in ("0001-01-01", "9999-12-31"))
    assert ids(walk(alice, sort="due", limit=1)) == ids([first, last])
    assert ids(walk(alice, sort="-due", limit=1)) == ids([last, first])
    for edge in ("0001-01-01", "9999-12-31", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        for name in ("due_before", "due_after"):
            for sort in ("due", "title"):
                assert page(alice, "/v1/tasks", **{name: edge}, sort=sort)["next_cursor"] is None


# Walks


def test_a_change_of_the_zone_amid_a_walk_misses_and_repeats_nothing(alice: Account) -> None:
    start = datetime(2027, 3, 1, tzinfo=UTC)
    tasks = [alice.create_task(due_date=str((start + timedelta(days=n)).date())) for n in range(9)]
    instants = [(start + timedelta(hours=6 * n)).isoformat() for n in range(36)]
    tasks += [alice.create_task(due_at=at) for at in instants]
    tasks += [alice.create_task() for _ in range(4)]
    for sort in ("due", "-due"):
        for limit in (1, 2, 5):
            seen, query, pages = [], {"sort": sort, "limit": limit}, 0
            while query:
                zones = ("America/Los_Angeles", "Pacific/Kiritimati", "UTC", "Asia/Kathmandu")
                in_zone(alice, zones[pages % len(zones)])
                found = page(alice, "/v1/tasks", **query)
                seen += ids(found["items"])
                pages += 1
                cursor = found["next_cursor"]
                query = {**query, "cursor": cursor} if cursor else {}
            assert len(seen) == len(tasks)
            assert {*seen} == {*ids(tasks)}


def test_a_cursor_belongs_to_the_zone_that_the_query_names(alice: Account) -> None:
    for _ in range(2):
        alice.create_task(due_date="2027-03-02")
    query = "/v1/tasks?sort=due&limit=1&time_zone=Asia/Kathmandu"
    cursor = alice.get(query).json["next_cursor"]
    assert alice.get(f"{query}&cursor={cursor}").status_code == 200
    for other in ("", "&time_zone=UTC"):
        answer = alice.get(f"/v1/tasks?sort=due&limit=1{other}&cursor={cursor}")
        assert refused(answer, "cursor", parameter="cursor")


def cursor_of_the_release_before(app: APIFlask, account: Account, sort: str, key: str) -> str:
    names = ("complete", "priority", "category_id", "due_before", "due_after", "updated_after", "q")
    criteria = dict.fromkeys(names) | {"sort": sort}
    with app.app_context():
        return cursors.encode(
            Position(key, "00000000-0000-0000-0000-000000000000"), [account.user_id, criteria]
        )


def test_cursors_of_the_release_before_are_taken_but_for_those_by_due_time(
    app: APIFlask, alice: Account
) -> None:
    task = alice.create_task(title="b", due_date="2027-03-02")
    for sort, key in (("title", "a"), ("created_at", "2026-01-01 00:00:00+00")):
        cursor = cursor_of_the_release_before(app, alice, sort, key)
        assert page(alice, "/v1/tasks", sort=sort, cursor=cursor)["items"] == [task]
    for sort in ("due", "-due"):
        for key in ("2026-03-01 00:00:00+00", "infinity", "-infinity"):
            cursor = cursor_of_the_release_before(app, alice, sort, key)
            answer = alice.get(f"/v1/tasks?sort={sort}&cursor={cursor}")
            assert refused(answer, "cursor", parameter="cursor")


# When days begin

SHIFTED = [
    (day, zone)
    for zone, text in (
        ("America/Los_Angeles", "2027-03-14"),  # spring and autumn, far from midnight
        ("America/Los_Angeles", "2027-11-07"),
        ("America/Sao_Paulo", "2018-11-04"),  # from 00:00 to 01:00
        ("America/Sao_Paulo", "2019-02-17"),  # from 00:00 back to 23:00
        ("Asia/Beirut", "2022-03-27"),
        ("Asia/Beirut", "2022-10-30"),
        ("America/Havana", "2022-11-06"),  # from 01:00 back to 00:00
        ("America/St_Johns", "2010-11-07"),  # from 00:01 back to 23:01
        ("America/Toronto", "1919-03-31"),  # from 23:30 to 00:30
        ("Australia/Lord_Howe", "2027-10-03"),
        ("Pacific/Apia", "2011-12-30"),  # left out
        ("Pacific/Kwajalein", "1993-08-21"),  # left out
        ("Asia/Kathmandu", "1986-01-01"),
        ("Africa/Cairo", "2024-04-26"),
    )
    for day in (date.fromisoformat(text) + timedelta(days=n) for n in (-1, 0, 1))
]


@pytest.mark.parametrize(("day", "zone"), SHIFTED)
def test_a_day_begins_with_its_first_instant_however_clocks_are_set(
    alice: Account, day: date, zone: str
) -> None:
    in_zone(alice, zone)
    start = start_of(day, zone)
    task = alice.create_task(due_date=str(day))
    moment = timedelta(microseconds=1)
    query = {"sort": "due", "due_before": (start + moment).isoformat()}
    assert ids(walk(alice, **query, due_after=(start - moment).isoformat())) == [task["id"]]
    assert walk(alice, due_before=start.isoformat()) == []
    assert walk(alice, due_after=start.isoformat()) == []
    assert walk(alice, due_before=str(day)) == walk(alice, due_after=str(day)) == []
    edges = [alice.create_task(due_at=(start + n * moment).isoformat()) for n in (-1, 0, 1)]
    assert ids(walk(alice, sort="due", limit=1)) == ids([edges[0], task, edges[1], edges[2]])
    assert ids(walk(alice, due_before=str(day))) == [edges[0]["id"]]
    assert ids(walk(alice, due_after=str(day))) == [edges[2]["id"]]


def test_the_database_and_python_agree_on_when_days_begin(connection: Any) -> None:
    """Of every zone, around most changes of clocks of a year in which one also left a day out."""
    weeks = [date(2011, 3, 25), date(2011, 10, 28), date(2011, 11, 4), date(2011, 12, 26)]
    days = [week + timedelta(days=n) for week in weeks for n in range(7)]
    different = []
    with connection.cursor() as cursor:
        for zone in sorted(available_timezones() - {"localtime", "Factory"}):
            cursor.execute("select day, start from starts_of_days(%s, %s)", (days, zone))
            found = dict(cursor.fetchall())
            different += [(zone, day) for day in days if found[day] != start_of(day, zone)]
            cursor.execute("show timezone")
            assert cursor.fetchone() == ("UTC",)
    assert different == []


# Random tasks, zones and bounds

ZONES = st.sampled_from(
    [
        "America/Los_Angeles",
        "America/Sao_Paulo",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Pacific/Kiritimati",
        "UTC",
        *ABBREVIATIONS,
    ]
)
MIDNIGHTS = st.sampled_from([datetime(2011, 12, 30, tzinfo=UTC), datetime(2018, 11, 4, tzinfo=UTC)])
DAYS = st.builds(lambda at, n: str((at + timedelta(days=n)).date()), MIDNIGHTS, st.integers(-2, 2))
INSTANTS = st.builds(
    lambda at, quarters, moments: (
        at + timedelta(minutes=15 * quarters, microseconds=moments)
    ).isoformat(),
    MIDNIGHTS,
    st.integers(-150, 150),
    st.sampled_from([-1, 0, 0, 1]),
)
DUE = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"due_at": INSTANTS}),
    st.fixed_dictionaries({"due_date": DAYS}),
)
RANGES = st.fixed_dictionaries(
    {}, optional={"due_before": DAYS | INSTANTS, "due_after": DAYS | INSTANTS}
)


@settings(max_examples=60)
@given(
    bodies=st.lists(DUE, max_size=10),
    zone=ZONES,
    other=st.none() | ZONES,
    filters=RANGES,
    sort=st.sampled_from(["due", "-due", "title"]),
    limit=st.integers(1, 3),
    search=st.booleans(),
)
@example(
    bodies=[{"due_date": f"2011-12-{day}"} for day in (31, 30, 31, 30, 29)],
    zone="Pacific/Apia",
    other=None,
    filters={},
    sort="due",
    limit=1,
    search=False,
)
def test_a_listing_is_what_the_model_says(
    auth: Callable[[], Account],
    bodies: list[dict[str, str]],
    zone: str,
    other: str | None,
    filters: dict[str, str],
    sort: str,
    limit: int,
    search: bool,
) -> None:
    account = in_zone(auth(), zone)
    tasks = [account.create_task(**body) for body in bodies]
    query = filters | ({"time_zone": other} if other else {}) | ({"q": "milk"} if search else {})
    found = walk(account, sort=sort, limit=limit, **query)
    assert ids(found) == expected(tasks, other or zone, sort, **filters)
    assert ids(found) == ids(walk(account, sort=sort, limit=200, **query))
