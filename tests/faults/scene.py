"""What a fault is, and what it acts upon."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.load import Load
from tests.faults.scale import Scale
from tests.faults.service import Ground, Service, Way
from tests.rig.cluster import Cluster
from tests.rig.pgbouncer import PgBouncer
from tests.rig.proxy import Proxy


@dataclass
class Scene:
    """Everything a fault may touch, and what it finds out."""

    service: Service
    load: Load
    scale: Scale
    notes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def cluster(self) -> Cluster:
        return self.service.ground.cluster

    @property
    def proxy(self) -> Proxy:
        assert self.service.ground.proxy is not None
        return self.service.ground.proxy

    @property
    def pooler(self) -> PgBouncer:
        assert self.service.ground.pooler is not None
        return self.service.ground.pooler

    def require(self, kept: bool, promise: str) -> None:
        """Note a promise that is kept or broken here and in no other fault."""
        if not kept:
            self.broken.append(promise)

    def until(self, condition: Callable[[], object], limit: float = 60.0) -> bool:
        """Whether it came to be so within the limit."""
        end = time.monotonic() + limit
        while not (met := condition()) and time.monotonic() < end:
            self.load.last(0.05)
        return bool(met)


@dataclass(frozen=True)
class Fault:
    """What is done, and what may be different afterwards."""

    name: str
    do: Callable[[Scene], None]
    way: Way = Way.DIRECT
    before: Callable[[Ground], None] | None = None
    """Done before the service starts: it is away then already."""

    back_within: float = 5.0
    cuts_clients: bool = False
    replaces_workers: bool = False
    ends_service: bool = False


def hear_nothing(scene: Scene) -> None:
    """Let the silence last, and at least until the service has stopped waiting."""
    before, scale = len(scene.load.shift.outcomes), scene.scale
    in_time = scale.deadline + min(scale.slack, 2.0)
    scene.load.last(scale.silence)
    given_up = scene.until(
        lambda: any(
            outcome.status == 503 and outcome.seconds < in_time
            for outcome in scene.load.shift.outcomes[before:]
        ),
        scale.deadline + scale.slack,
    )
    scene.require(given_up, "the deadline holds while nothing answers")
