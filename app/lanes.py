"""The threads of a worker and who gets one: health and metrics have some that no other request can
hold.
"""

import re
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Final

from app.callers import NOBODY

WATCHED: Final = re.compile(rb"(?:GET|HEAD) /(health|health/db|metrics) HTTP/1\.[01]\r\n")
HASHING: Final = re.compile(rb"POST /v1/auth/(?:register|token) HTTP/1\.[01]\r\n")
HAS_BODY: Final = re.compile(rb"\r\n(?:content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)

Work = Callable[[], object]


class Lane:
    """Threads that do what is given to them in turn; they end with the process."""

    def __init__(self, threads: int) -> None:
        self.queue: SimpleQueue[Work | None] = SimpleQueue()
        self.threads = [Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def submit(self, work: Work, caller: str = NOBODY) -> None:
        """Have a thread do this, as soon as one is free, whoever the caller. It must not raise."""
        self.queue.put(work)

    def size(self) -> int:
        """How much waits for a thread."""
        return self.queue.qsize()

    def shutdown(self) -> None:
        """Do what was given before, and no more."""
        for _ in self.threads:
            self.queue.put(None)

    def _run(self) -> None:
        while (work := self.queue.get()) is not None:
            work()


class FairLane(Lane):
    """Threads of which one caller has all but one at most; more of their work waits without one.

    What waits is done in its order as the caller's earlier work ends, and never holds up others:
    of each caller the common queue holds no more than that caller may have under way. Strangers do
    not wait for each other, and a single thread is for all.
    """

    def __init__(self, threads: int) -> None:
        self.most = max(1, threads - 1)
        self.lock = Lock()
        self.admitted: dict[str, int] = {}
        """How much of each caller is under way or in the common queue."""
        self.waiting: dict[str, deque[Work]] = {}
        super().__init__(threads)

    def submit(self, work: Work, caller: str = NOBODY) -> None:
        """Have a thread do this, as soon as one is free and it is the caller's turn."""
        if caller == NOBODY:
            self.queue.put(work)
            return
        with self.lock:
            if self.admitted.get(caller, 0) >= self.most:
                self.waiting.setdefault(caller, deque()).append(work)
                return
            self.admitted[caller] = self.admitted.get(caller, 0) + 1
        self._admit(work, caller)

    def size(self) -> int:
        """How much waits for a thread or for its turn."""
        with self.lock:
            return super().size() + sum(map(len, self.waiting.values()))

    def shutdown(self) -> None:
        """Do what was given before, and no more."""
        with self.lock:
            left = [(work, caller) for caller, works in self.waiting.items() for work in works]
            self.waiting.clear()
            for _, caller in left:
                self.admitted[caller] += 1
        for work, caller in left:
            self._admit(work, caller)
        super().shutdown()

    def _admit(self, work: Work, caller: str) -> None:
        self.queue.put(partial(self._do, work, caller))

    def _do(self, work: Work, caller: str) -> None:
        try:
            work()
        finally:
            self._go_on(caller)

    def _go_on(self, caller: str) -> None:
        """Let the caller's next work take the place of the one that is done."""
        with self.lock:
            works = self.waiting.get(caller)
            if not works:
                self.admitted[caller] -= 1
                if not self.admitted[caller]:
                    del self.admitted[caller]
                return
            work = works.popleft()
            if not works:
                del self.waiting[caller]
        self._admit(work, caller)


class Lanes:
    """The threads of a worker: those for requests, and others for those who watch the service."""

    def __init__(self, threads: int) -> None:
        self.ordinary = FairLane(threads)
        self.passwords = Lane(max(1, threads // 2))  # as many as users/passwords.py hashes at once
        patient = Lane(2)
        self.watched = {b"health": Lane(1), b"health/db": patient, b"metrics": patient}

    def choose(self, head: bytes) -> Lane:
        """Only what is all there and cannot wait for its client goes to the threads of its own."""
        asked = WATCHED.match(head)
        if asked and b"\r\n\r\n" in head and not HAS_BODY.search(head):
            return self.watched[asked[1]]
        return self.passwords if HASHING.match(head) else self.ordinary

    def shutdown(self, wait: bool = True) -> None:
        """As an executor's, without waiting."""
        for lane in {self.ordinary, self.passwords, *self.watched.values()}:
            lane.shutdown()
