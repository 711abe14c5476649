"""The threads of a worker, and which of them answers a request.

Those who watch the service have threads that no other request can hold, and so have requests that
take long by nature: ordinary ones never wait for them.
"""

import re
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Final

from app import places

VERSIONS: Final = (b"HTTP/1.1", b"HTTP/1.0")
HAS_BODY: Final = re.compile(rb"\r\n(?:content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)

Work = Callable[[], object]


class Lane:
    """Threads that do what is given to them in turn; they end with the process."""

    def __init__(self, threads: int, *, reserved: bool = False) -> None:
        self.queue: SimpleQueue[Work | None] = SimpleQueue()
        self.reserved = reserved
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
        if self.reserved:
            places.reserve_thread()
        while (work := self.queue.get()) is not None:
            work()


class Lanes:
    """The threads of a worker: ordinary ones, and some for each kind of request that is not."""

    def __init__(self, threads: int) -> None:
        self.ordinary = Lane(threads)
        self.polls = Lane(places.for_polls(threads) + 1, reserved=True)
        self.transfers = Lane(places.for_transfers(threads) + 1, reserved=True)
        health, patient = Lane(1), Lane(2)
        reads = {
            b"/health": health,
            b"/health/db": patient,
            b"/metrics": patient,
            b"/v1/changes": self.polls,
            b"/v1/export": self.transfers,
        }
        self.special = {
            (b"POST", b"/v1/import"): self.transfers,
            **{
                (method, path): lane for path, lane in reads.items() for method in (b"GET", b"HEAD")
            },
        }

    def choose(self, head: bytes) -> Lane:
        """The threads for a request that begins so.

        What is written in an unusual way, or not all there, is left to ordinary threads, where the
        application itself limits how many take long (places.py).
        """
        words = head[: head.find(b"\r\n")].split(b" ", 3)
        if len(words) != 3 or words[2] not in VERSIONS:
            return self.ordinary
        method, (path, _, query) = words[0], words[1].partition(b"?")
        lane = self.special.get((method, path))
        if lane is None or (lane is self.polls and b"&wait=" not in b"&" + query):
            return self.ordinary
        if b"\r\n\r\n" not in head or (method != b"POST" and HAS_BODY.search(head)):
            return self.ordinary
        return lane

    @property
    def queued(self) -> int:
        """How many requests wait for one of these threads."""
        return sum(lane.queue.qsize() for lane in (self.ordinary, self.polls, self.transfers))

    def shutdown(self, wait: bool = True) -> None:
        """As an executor's, without waiting."""
        for lane in {self.ordinary, *self.special.values()}:
            lane.shutdown()
