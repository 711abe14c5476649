"""The threads of a worker and who gets one: health and metrics have some that no other request can
hold.
"""

import re
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Final

WATCHED: Final = re.compile(rb"(?:GET|HEAD) /(health|health/db|metrics) HTTP/1\.[01]\r\n")
HAS_BODY: Final = re.compile(rb"\r\n(?:content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)

Work = Callable[[], object]


class Lane:
    """Threads that do what is given to them in turn; they end with the process."""

    def __init__(self, threads: int) -> None:
        self.queue: SimpleQueue[Work | None] = SimpleQueue()
        self.threads = [Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def submit(self, work: Work) -> None:
        """Have a thread do this, as soon as one is free. It must not raise."""
        self.queue.put(work)

    def shutdown(self) -> None:
        """Do what was given before, and no more."""
        for _ in self.threads:
            self.queue.put(None)

    def _run(self) -> None:
        while (work := self.queue.get()) is not None:
            work()


class Lanes:
    """The threads of a worker: those for requests, and others for those who watch the service."""

    def __init__(self, threads: int) -> None:
        self.ordinary = Lane(threads)
        patient = Lane(2)
        self.watched = {b"health": Lane(1), b"health/db": patient, b"metrics": patient}

    def choose(self, head: bytes) -> Lane:
        """Only what is all there and cannot wait for its client goes to the threads of its own."""
        asked = WATCHED.match(head)
        if asked and b"\r\n\r\n" in head and not HAS_BODY.search(head):
            return self.watched[asked[1]]
        return self.ordinary

    def shutdown(self, wait: bool = True) -> None:
        """As an executor's, without waiting."""
        for lane in {self.ordinary, *self.watched.values()}:
            lane.shutdown()
