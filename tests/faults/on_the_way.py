"""Faults between the service and its database: of the network and of the pooler."""

from contextlib import ExitStack

from tests.databases import opened
from tests.faults.scene import Scene, hear_nothing
from tests.faults.service import SERVERS, Ground

INSERT = b"INSERT INTO tasks"


def delay_connecting(scene: Scene) -> None:
    scene.proxy.faults.delay = min(3.0, 2 * scene.scale.outage)
    scene.cluster.terminate_backends()
    scene.load.last(scene.scale.outage)
    scene.proxy.faults.delay = 0.0


def black_hole(scene: Scene) -> None:
    scene.proxy.faults.black_hole = True
    hear_nothing(scene)
    scene.proxy.faults.black_hole = False


def lose_answers(scene: Scene) -> None:
    cut_writes(scene, "lose_answer_to")


def cut_messages(scene: Scene) -> None:
    cut_writes(scene, "cut_within")


def cut_writes(scene: Scene, where: str) -> None:
    """Cut each fifth connection with a write on it, there."""
    faults, before = scene.proxy.faults, scene.proxy.cuts
    faults.every = 5
    setattr(faults, where, INSERT)
    scene.load.last(scene.scale.outage)
    setattr(faults, where, b"")
    cuts = scene.proxy.cuts - before
    scene.notes.append(f"{cuts} writes were cut")
    scene.require(cuts > 0, "the fault took place")


def asleep(ground: Ground) -> None:
    assert ground.proxy is not None
    ground.proxy.faults.asleep = True


def wake_behind_proxy(scene: Scene) -> None:
    scene.load.last(scene.scale.outage)
    scene.proxy.faults.asleep = False


def kill_pooler(scene: Scene) -> None:
    scene.pooler.kill()
    scene.load.last(scene.scale.outage)
    scene.pooler.start()


def pause_pooler(scene: Scene) -> None:
    scene.pooler.pause()
    hear_nothing(scene)
    scene.pooler.resume()


def hold_pool(scene: Scene) -> None:
    """Others keep a transaction open on each of the pooler's connections to the server."""
    with ExitStack() as stack:
        for _ in range(SERVERS):
            cursor = stack.enter_context(opened(scene.service.ground.url))
            cursor.execute("begin")
            cursor.execute("select 1")
        hear_nothing(scene)
