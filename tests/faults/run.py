"""One fault from beginning to end, and which promises were kept."""

import time
from dataclasses import dataclass

from tests.faults.ledger import Verdict
from tests.faults.load import POLL_SECONDS, Load
from tests.faults.outcomes import Tally
from tests.faults.processes import Processors
from tests.faults.scale import Scale
from tests.faults.scene import Fault, Scene
from tests.faults.service import Ground, Service, service

FULL_MACHINE = 0.9


@dataclass
class Result:
    """What was seen in one fault."""

    fault: Fault
    scale: Scale
    tally: Tally
    health: Tally
    database_health: Tally
    verdict: Verdict
    back_after: float | None
    calm_after: float
    same_workers: bool
    leaks: int
    defects: list[str]
    crowded: bool
    """The machine had no time left, so that milliseconds say nothing about the service."""

    notes: list[str]
    broken: list[str]

    @property
    def others(self) -> int:
        """Answers that nobody was promised, cut connections among them."""
        return self.tally.others + (0 if self.fault.cuts_clients else self.tally.cut)


def play(fault: Fault, scale: Scale, found: Ground) -> Result:
    """Run it with a service of its own on that ground."""
    if fault.before:
        fault.before(found)
    with service(found, **scale.environment) as serving:
        return run(fault, serving, scale)


def run(fault: Fault, serving: Service, scale: Scale) -> Result:
    """Do it to the service under load; return what was seen."""
    processors = Processors()
    people, before = serving.ground.people[: scale.clients], serving.workers
    with Load(serving.base, people, scale.think) as load:
        scene = Scene(serving, load, scale)
        if not fault.before:
            load.last(scale.settle)
        fault.do(scene)
        returned = time.monotonic()
        if not fault.ends_service:
            load.until_success(returned, 3 * fault.back_within)
            load.last(scale.settle)
    tally = Tally(load.shift.outcomes)
    busy = processors.busy()
    scene.notes.append(f"{busy:.0%} of the processors busy")
    result = Result(
        fault=fault,
        scale=scale,
        tally=tally,
        health=Tally(load.health),
        database_health=Tally(load.database_health),
        verdict=load.shift.ledger.compare(serving.ground.database),
        back_after=tally.first_success_after(returned),
        calm_after=tally.last_failure_after(returned),
        same_workers=serving.workers == before,
        leaks=serving.secrets_in_log(),
        defects=serving.defects(),
        crowded=busy > FULL_MACHINE,
        notes=scene.notes,
        broken=scene.broken,
    )
    result.broken += broken(result)
    return result


def broken(result: Result) -> list[str]:
    """The promises of every fault that were not kept."""
    fault, tally = result.fault, result.tally
    looks = (result.health.usual(POLL_SECONDS), result.database_health.usual(POLL_SECONDS) / 10)
    late = result.back_after is None or result.back_after > fault.back_within
    promises = {
        "clients were at work": result.verdict.acknowledged > 0,
        "nothing acknowledged is lost": result.verdict.lost == 0,
        "nothing is done twice": result.verdict.doubled == 0,
        f"every answer is honest, not {tally.said()}": result.others == 0,
        "every answer comes in time": tally.slowest <= result.scale.deadline + result.scale.slack,
        f"back within {fault.back_within:g} s": fault.ends_service or not late,
        "the same workers": fault.replaces_workers or result.same_workers,
        "health is told in time": max(looks) <= result.scale.health or result.crowded,
        "no secret in the log": result.leaks == 0,
    }
    return [promise for promise, kept in promises.items() if not kept]
