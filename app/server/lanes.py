"""The threads of a worker, and which of them answers a request.

Those who watch the service have threads that no other request can hold, and so have requests that
take long by nature: ordinary ones never wait for them.
"""

import re
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Final

from app import callers, places
from app.callers import NOBODY

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
        if self.reserved:
            places.reserve_thread()
        while (work := self.queue.get()) is not None:
            work()


class FairLane(Lane):
    """Threads of which one caller has all but one at most; more of their work waits without one.

    What waits is done in its order as the caller's earlier work ends, and never holds up others:
    of each caller the common queue holds no more than that caller may have under way. Strangers do
    not wait for each other, and a single thread is for all. A stranger's work becomes a caller's
    when it turns out in a thread whose it is.
    """

    def __init__(self, threads: int) -> None:
        self.most = max(1, threads - 1)
        self.lock = Lock()
        self.admitted: dict[str, int] = {}
        """How much of each caller is under way or in the common queue."""
        self.held: Counter[str] = Counter()
        """How many threads each caller has."""
        self.waiting: dict[str, deque[Work]] = {}
        self.ends = False
        super().__init__(threads)

    def submit(self, work: Work, caller: str = NOBODY) -> None:
        """Have a thread do this, as soon as one is free and it is the caller's turn."""
        if caller == NOBODY:
            self.queue.put(partial(self._do_for_nobody, work))
            return
        with self.lock:
            if self.admitted.get(caller, 0) >= self.most and not self.ends:
                self.waiting.setdefault(caller, deque()).append(work)
                return
            self._admit(work, caller)

    def size(self) -> int:
        """How much waits for a thread or for its turn."""
        with self.lock:
            return super().size() + sum(map(len, self.waiting.values()))

    def shutdown(self) -> None:
        """Do what was given before, and no more."""
        with self.lock:
            self.ends = True
            for caller, works in self.waiting.items():
                for work in works:
                    self._admit(work, caller)
            self.waiting.clear()
        super().shutdown()

    def _admit(self, work: Work, caller: str) -> None:
        self.admitted[caller] = self.admitted.get(caller, 0) + 1
        self.queue.put(partial(self._do, work, caller))

    def _do(self, work: Work, caller: str) -> None:
        with self.lock:
            # Strangers' work that became the caller's may have taken the threads meanwhile.
            if not self._may_have_a_thread(caller):
                self.waiting.setdefault(caller, deque()).appendleft(work)
                self._count_less(caller)
                return
            self.held[caller] += 1
        try:
            work()
        finally:
            self._go_on(caller)

    def _do_for_nobody(self, work: Work) -> None:
        claimed: list[str] = []

        def claim(caller: str) -> bool:
            with self.lock:
                if not self._may_have_a_thread(caller):
                    return False
                self.held[caller] += 1
                self.admitted[caller] = self.admitted.get(caller, 0) + 1
            claimed.append(caller)
            return True

        callers.ask_for_claim(claim)
        try:
            work()
        finally:
            callers.ask_for_claim(None)
            for caller in claimed:
                self._go_on(caller)

    def _may_have_a_thread(self, caller: str) -> bool:
        return self.ends or self.held[caller] < self.most

    def _go_on(self, caller: str) -> None:
        """Let the caller's next work take the place of the one that is done."""
        with self.lock:
            self.held[caller] -= 1
            self._count_less(caller)
            works = self.waiting.get(caller)
            if works and self.admitted.get(caller, 0) < self.most:
                self._admit(works.popleft(), caller)
                if not works:
                    del self.waiting[caller]

    def _count_less(self, caller: str) -> None:
        self.admitted[caller] -= 1
        if not self.admitted[caller]:
            del self.admitted[caller]
        if not self.held[caller]:
            del self.held[caller]


class Lanes:
    """The threads of a worker: ordinary ones, and some for each kind of request that is not."""

    def __init__(self, threads: int) -> None:
        self.ordinary = FairLane(threads)
        self.polls = Lane(places.for_polls(threads) + 1, reserved=True)
        self.transfers = Lane(places.for_transfers(threads) + 1, reserved=True)
        self.passwords = Lane(places.for_passwords(threads))
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
            (b"POST", b"/v1/auth/register"): self.passwords,
            (b"POST", b"/v1/auth/token"): self.passwords,
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
        """How many requests wait for a thread, or for their turn."""
        lanes = (self.ordinary, self.polls, self.transfers, self.passwords)
        return sum(lane.size() for lane in lanes)

    def shutdown(self, wait: bool = True) -> None:
        """As an executor's, without waiting."""
        for lane in {self.ordinary, *self.special.values()}:
            lane.shutdown()
