"""The run: every contestant in each round, one kind of request after the other."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.answers import examine
from benchmarks.contestants import WORKERS, Contestant, Running, started
from benchmarks.data import Ground
from benchmarks.load import Load, fire
from benchmarks.processes import cpu_seconds, worker_megabytes

WARM_UP_SECONDS = 2


@dataclass(frozen=True)
class Sample:
    """One contestant under one load; processor time is for each request."""

    contestant: str
    operation: str
    round: int
    load: Load
    application_us: float
    database_us: float


@dataclass(frozen=True)
class Stay:
    """One contestant over one round."""

    contestant: str
    round: int
    start_seconds: float
    worker_megabytes: float


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long."""

    contestants: Sequence[Contestant]
    operations: Sequence[str]
    rounds: int
    seconds: int


class Run:
    """Measures, and keeps what it has found."""

    def __init__(self, plan: Plan, ground: Ground) -> None:
        self.plan = plan
        self.ground = ground
        self.samples: list[Sample] = []
        self.stays: list[Stay] = []
        self.flights: dict[str, dict[str, float]] = {}

    def play(self) -> None:
        """Every round, each with processes and databases of its own; first it is seen that all of
        them do the same.
        """
        for contestant in self.plan.contestants:
            with tempfile.TemporaryDirectory(prefix="tasks-api-bench-") as directory:
                self.flights[contestant.name] = examine(self.ground, contestant, Path(directory))
        for number in range(1, self.plan.rounds + 1):
            with tempfile.TemporaryDirectory(prefix="tasks-api-bench-") as directory:
                self.play_round(number, Path(directory))

    def play_round(self, number: int, directory: Path) -> None:
        """All of them are up; one is under load at a time."""
        targets = directory / "targets"
        targets.write_text(self.ground.targets)
        with self.all_started(directory) as running:
            for one in running:
                fire(one.base, "mix", targets, WARM_UP_SECONDS, "the warm-up")
            for operation in self.plan.operations:
                # There and back, so that what disturbs the machine for a while disturbs all alike.
                for one in (*running, *reversed(running)):
                    self.sample(one, operation, number, targets)
            for one in running:
                megabytes = worker_megabytes(one.pid, WORKERS)
                stay = Stay(one.contestant.name, number, one.start_seconds, megabytes)
                self.stays.append(stay)

    @contextmanager
    def all_started(self, directory: Path) -> Iterator[list[Running]]:
        """Every contestant on a fresh database of its own."""
        person = self.ground.people[0]
        with ExitStack() as stack:
            yield [
                stack.enter_context(
                    started(one, self.ground.fresh(f"of_{one.name}"), person, directory)
                )
                for one in self.plan.contestants
            ]

    def sample(self, one: Running, operation: str, number: int, targets: Path) -> None:
        """Put one of them under load, and note what that took."""
        before = cpu_seconds(one.pid), cpu_seconds(self.ground.postmaster)
        load = fire(one.base, operation, targets, self.plan.seconds, f"round {number}")
        after = cpu_seconds(one.pid), cpu_seconds(self.ground.postmaster)
        application, database = (
            (end - begin) / load.requests * 1e6 for begin, end in zip(before, after, strict=True)
        )
        sample = Sample(one.contestant.name, operation, number, load, application, database)
        self.samples.append(sample)
        print(
            f"round {number}  {operation:5}  {one.contestant.name:8}"
            f"  {application:6.0f} µs  {load.requests / load.seconds:6.0f}/s",
            flush=True,
        )
