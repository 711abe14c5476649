"""Faults of the server and its disk; the first is none."""

import time
from pathlib import Path

from tests.faults.processes import resident
from tests.faults.scene import Scene, hear_nothing
from tests.faults.service import Ground

THREADS = 4  # WEB_THREADS
PROBES = 2  # of a process: /health/db has one connection, and what looks for the way back another
MEGABYTE = 1024 * 1024


def nothing(scene: Scene) -> None:
    connections, memory = [], []
    end = time.monotonic() + scene.scale.calm
    while time.monotonic() < end:
        scene.load.last(0.5)
        connections.append(scene.cluster.sessions("tasks-api"))
        memory.append(sum(map(resident, scene.service.workers)))
    half = len(memory) // 2
    growth = (max(memory[half:]) - max(memory[:half])) / MEGABYTE
    scene.notes.append(
        f"{max(connections)} connections and {max(memory) / MEGABYTE:.0f} MB in two workers at "
        f"most; memory grew by {growth:.1f} MB in the second half"
    )
    most = len(scene.service.workers) * (THREADS + PROBES)
    scene.require(max(connections) <= most, "no more connections than threads have use for")
    scene.require(growth < 10, "no growth of memory")


def terminate(scene: Scene) -> None:
    scene.cluster.terminate_backends()


def terminate_repeatedly(scene: Scene) -> None:
    end = time.monotonic() + scene.scale.outage
    while time.monotonic() < end:
        scene.cluster.terminate_backends()
        scene.load.last(0.2)


def stop_and_start(scene: Scene) -> None:
    scene.cluster.stop()
    scene.cluster.start()


def kill_and_start(scene: Scene) -> None:
    scene.cluster.kill()
    scene.cluster.start()


def stop_for_a_while(scene: Scene) -> None:
    scene.cluster.stop()
    scene.load.last(scene.scale.outage)
    scene.cluster.start()


def freeze(scene: Scene) -> None:
    scene.cluster.freeze()
    hear_nothing(scene)
    scene.cluster.thaw()


def away(ground: Ground) -> None:
    ground.cluster.stop()


def wake(scene: Scene) -> None:
    scene.load.last(scene.scale.outage)
    scene.cluster.start()


def fill_disk(scene: Scene) -> None:
    disk = scene.service.ground.disk
    assert disk is not None
    balloon, began = disk / "balloon", time.monotonic()
    blow_up(balloon)
    scene.load.last(scene.scale.outage)
    balloon.unlink()
    during = [o for o in scene.load.shift.outcomes if o.sent > began]
    full = sum("No space left on device" in line for line in scene.cluster.log.splitlines())
    read = sum(outcome.status == 200 for outcome in during)
    scene.notes.append(f"PostgreSQL said {full} times that the disk is full; {read} reads answered")
    scene.require(full > 0, "the fault took place")
    scene.require(read > 0, "reads go on")


def blow_up(balloon: Path) -> None:
    """Fill the disk with a file."""
    with balloon.open("wb", buffering=0) as file:
        for size in (MEGABYTE, 4096):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
