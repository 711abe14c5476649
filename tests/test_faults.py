"""It survives its database: the faults of `make faults`, shorter and with fewer clients."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from app.core.ids import new_id
from tests.databases import opened
from tests.faults.cases import FAULTS
from tests.faults.ledger import Ledger, Verdict
from tests.faults.outcomes import Outcome, Tally
from tests.faults.run import Result, broken, play, run
from tests.faults.scale import QUICK
from tests.faults.scene import Fault, Scene
from tests.faults.service import Ground, Service, Way, ground, service
from tests.faults.table import table
from tests.rig.cluster import Cluster

pytestmark = pytest.mark.slow

Grounds = Callable[[Way], Ground]
Services = Callable[[Way], Service]


@pytest.fixture(scope="module")
def grounds() -> Iterator[Grounds]:
    """A database for each way to it, on a cluster that nobody else depends on."""
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster.throwaway())

        @cache
        def prepared(way: Way) -> Ground:
            return stack.enter_context(ground(cluster, way, QUICK.clients, QUICK.login_retry))

        yield prepared


@pytest.fixture(scope="module")
def services(grounds: Grounds) -> Iterator[Services]:
    """A service for each way to the database, for the faults that leave it running."""
    with ExitStack() as stack:

        @cache
        def started(way: Way) -> Service:
            return stack.enter_context(service(grounds(way), **QUICK.environment))

        yield started


def played(fault: Fault, grounds: Grounds, services: Services) -> Result:
    if fault.before or fault.ends_service or fault.way is Way.SMALL_DISK:
        return play(fault, QUICK, grounds(fault.way))
    return run(fault, services(fault.way), QUICK)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_answer_is_honest_and_what_is_acknowledged_is_there_once(
    fault: Fault, grounds: Grounds, services: Services
) -> None:
    result = played(fault, grounds, services)
    assert not result.broken, f"{result.broken}\n{result.defects}\n{table([result])}"


def insert(found: Ground, title: str) -> str:
    """A row with that title, made past the service."""
    task_id = new_id()
    with opened(found.database) as cursor:
        cursor.execute(
            "insert into tasks"
            " (user_id, id, title, complete, priority, version, created_at, updated_at)"
            " values (%s, %s, %s, false, 0, 1, now(), now())",
            (found.people[0].user_id, task_id, title),
        )
    return task_id


def test_the_suite_notices_what_is_doubled(grounds: Grounds) -> None:
    found, ledger = grounds(Way.DIRECT), Ledger()
    once, twice = ledger.title(), ledger.title()
    ledger.acknowledge(once, insert(found, once))
    insert(found, twice)
    ledger.acknowledge(twice, insert(found, twice))
    assert ledger.compare(found.database) == Verdict(acknowledged=2, lost=0, doubled=1)


def test_the_suite_notices_what_is_lost(grounds: Grounds) -> None:
    found, ledger = grounds(Way.DIRECT), Ledger()
    kept, replaced, lost = (ledger.title() for _ in range(3))
    ledger.acknowledge(kept, insert(found, kept))
    insert(found, replaced)
    ledger.acknowledge(replaced, new_id())
    ledger.acknowledge(lost, new_id())
    assert ledger.compare(found.database) == Verdict(acknowledged=3, lost=2, doubled=0)


GOOD = Verdict(acknowledged=1, lost=0, doubled=0)


def seen(outcomes: list[Outcome], verdict: Verdict = GOOD, **facts: object) -> Result:
    """A result with those outcomes, and with nothing else to object to."""
    good = Tally([Outcome(0.0, 0.01, 200, "")])
    fault = Fault("any", lambda _scene: None)
    fine = {
        "back_after": 0.1,
        "calm_after": 0.0,
        "same_workers": True,
        "leaks": 0,
        "defects": [],
        "crowded": False,
    }
    measured = {"tally": Tally(outcomes), "health": good, "database_health": good}
    return Result(
        fault=fault, scale=QUICK, verdict=verdict, notes=[], broken=[], **measured | fine | facts
    )


SUCCESS = Outcome(0.0, 0.01, 201, "")
BREACHES = {
    "nobody at work": seen([SUCCESS], Verdict(0, 0, 0)),
    "lost": seen([SUCCESS], Verdict(1, 1, 0)),
    "doubled": seen([SUCCESS], Verdict(1, 0, 1)),
    "dishonest": seen([SUCCESS, Outcome(0.0, 0.01, 500, "internal-error")]),
    "not found": seen([SUCCESS, Outcome(0.0, 0.01, 404, "not-found")]),
    "cut": seen([SUCCESS, Outcome(0.0, 0.01, 0, "ConnectionResetError")]),
    "late": seen([SUCCESS, Outcome(0.0, QUICK.deadline + QUICK.slack + 0.1, 503, "")]),
    "never back": seen([SUCCESS], back_after=None),
    "back too late": seen([SUCCESS], back_after=5.1),
    "other workers": seen([SUCCESS], same_workers=False),
    "slow health": seen([SUCCESS], health=Tally([Outcome(0.0, 9.0, 200, "")])),
    "slow database health": seen([SUCCESS], database_health=Tally([Outcome(0.0, 9.0, 503, "")])),
    "told a secret": seen([SUCCESS], leaks=1),
}


@pytest.mark.parametrize("name", BREACHES)
def test_the_suite_notices_each_broken_promise(name: str) -> None:
    assert len(broken(BREACHES[name])) == 1
    assert not broken(seen([SUCCESS, Outcome(0.0, 0.01, 503, "database-unavailable")]))


def test_one_look_that_hangs_counts_for_all_that_were_missed_meanwhile() -> None:
    quick, slow = Outcome(0.0, 0.01, 200, ""), Outcome(0.0, 5.0, 200, "")
    assert Tally([quick] * 19).usual(0.2) == 0.01
    assert Tally([quick] * 100 + [slow]).usual(0.2) > 3


def test_a_promise_of_one_fault_alone_counts_as_well() -> None:
    scene = Scene(service=None, load=None, scale=QUICK)
    scene.require(True, "kept")
    scene.require(False, "broken")
    assert scene.broken == ["broken"]
