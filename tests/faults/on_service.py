"""What befalls the service's own processes."""

import os
import signal
import subprocess

from tests.faults.scene import Scene


def kill_worker(scene: Scene) -> None:
    before = scene.service.workers
    os.kill(min(before), signal.SIGKILL)
    replaced = scene.until(lambda: len(scene.service.workers - {min(before)}) == len(before))
    scene.require(replaced, "another worker takes its place")


def reload(scene: Scene) -> None:
    before = scene.service.workers
    scene.service.process.send_signal(signal.SIGHUP)
    replaced = scene.until(lambda: not before & scene.service.workers)
    scene.require(replaced, "every worker is replaced")


def end(scene: Scene) -> None:
    """The clients behave as a balancer that looks at /health and then sends nothing more."""
    asked, process = len(scene.load.health), scene.service.process
    process.send_signal(signal.SIGTERM)
    scene.until(lambda: any(not look.succeeded for look in scene.load.health[asked:]))
    drained = [look.status for look in scene.load.health[asked:] if not look.succeeded]
    scene.require(drained[:1] == [503], "readiness fails first")
    scene.load.stop()
    try:
        code = process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        code = None
    scene.notes.append(f"exit code {code}")
    scene.require(code == 0, "exit 0")
