"""The threads of a worker, and which of them handles a request.

Health checks have threads that no other request can hold, and so have requests that take long by
nature: ordinary ones never wait for them. Of the ordinary ones, one user has all but one at most.
"""

import logging
import re
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread, get_ident
from typing import Final

from app.core import places, principal

logger = logging.getLogger(__name__)

WHOLE: Final = re.compile(
    rb"(GET|HEAD|POST) ([^ ?\r\n]*)\??([^ \r\n]*) HTTP/1\.[01]\r\n(?:[^\r\n]+\r\n)*\r\n"
)
BODY: Final = re.compile(rb"\r\n(?:content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)
TOKEN: Final = re.compile(rb"\r\nauthorization:[ \t]*\S+[ \t]+(\S+)[ \t]*\r\n", re.IGNORECASE)

STREAMS: Final = b"/streams/"
"""What Pushpin asks for on behalf of those it holds, who wait behind each other alone."""

Caller = int | str
"""The hash of an access token, or the id of its user once this process has verified the token."""

NOBODY: Final[Caller] = 0
KNOWN_TOKENS: Final = 8192


class Lane:
    """Threads that serve the callers who wait in turn, each with at most `of_one` of them."""

    def __init__(self, threads: int, of_one: int | None = None, *, reserved: bool = False) -> None:
        self.of_one = of_one or threads
        self.reserved = reserved
        self.changed = Condition()
        self.waiting: dict[Caller, deque[Callable[[], None]]] = {}
        self.running: dict[int, Caller] = {}  # by thread
        self.users: dict[Caller, str] = {}
        for _ in range(threads):
            Thread(target=self._run, daemon=True).start()

    def submit(self, caller: Caller, work: Callable[[], None]) -> None:
        """Have a thread call this function when it is the caller's turn."""
        with self.changed:
            self.waiting.setdefault(self.users.get(caller, caller), deque()).append(work)
            self.changed.notify()

    def load(self) -> tuple[int, int]:
        """How much is being done, and how much waits."""
        with self.changed:
            return len(self.running), sum(map(len, self.waiting.values()))

    def _run(self) -> None:
        if self.reserved:
            places.reserve_thread()
        principal.listen(self._identify)
        while True:
            with self.changed:
                while (caller := next(filter(self._may_run, self.waiting), None)) is None:
                    self.changed.wait()
                works = self.waiting.pop(caller)
                work = works.popleft()
                if works:
                    self.waiting[caller] = works  # behind all others
                self.running[get_ident()] = caller
            try:
                work()
            except BaseException:
                logger.exception("a request failed outside of the application")
            with self.changed:
                del self.running[get_ident()]

    def _may_run(self, caller: Caller) -> bool:
        return caller == NOBODY or [*self.running.values()].count(caller) < self.of_one

    def _identify(self, user_id: str) -> bool:
        """Count this thread as the user's; whether the user may have it."""
        with self.changed:
            before = self.running[get_ident()]
            if before not in (NOBODY, user_id):
                self._remember(before, user_id)
            self.running[get_ident()] = user_id
            if [*self.running.values()].count(user_id) <= self.of_one:
                return True
            self.running[get_ident()] = NOBODY
            return False

    def _remember(self, token: Caller, user_id: str) -> None:
        self.users[token] = user_id
        if len(self.users) > KNOWN_TOKENS:
            del self.users[next(iter(self.users))]
        for thread in [each for each, caller in self.running.items() if caller == token]:
            self.running[thread] = user_id
        if works := self.waiting.pop(token, None):
            self.waiting.setdefault(user_id, deque()).extend(works)
            self.changed.notify_all()


class Lanes:
    """The threads of a worker: ordinary ones, and some for each kind of request that is not."""

    def __init__(self, threads: int) -> None:
        self.ordinary = Lane(threads, max(1, threads - 1))
        self.polls = Lane(places.for_polls(threads) + 1, reserved=True)
        self.transfers = Lane(places.for_transfers(threads) + 1, reserved=True)
        self.passwords = Lane(places.for_passwords(threads))
        patient = Lane(2)
        self.special = {
            b"GET /health": Lane(1),
            b"GET /health/db": patient,
            b"GET /metrics": patient,
            b"GET /v1/changes": self.polls,
            b"GET /v1/export": self.transfers,
            b"POST /v1/import": self.transfers,
            b"POST /v1/auth/register": self.passwords,
            b"POST /v1/auth/token": self.passwords,
            b"POST /v1/auth/password-reset/confirm": self.passwords,
            b"POST /v1/auth/email-verification/confirm": self.passwords,
        }

    def submit(self, head: bytes, work: Callable[[], None]) -> None:
        """Have a thread do the work of a request that begins so."""
        self.choose(head).submit(caller_of(head), work)

    def choose(self, head: bytes) -> Lane:
        """The threads for a request that begins so.

        What is written in an unusual way, or has not arrived whole, is left to ordinary threads,
        where the application itself limits how many take long (places.py).
        """
        if not (request := WHOLE.match(head)):
            return self.ordinary
        method, path, query = request.groups()
        lane = self.special.get(method.replace(b"HEAD", b"GET") + b" " + path, self.ordinary)
        at_once = lane is self.polls and b"&wait=" not in b"&" + query
        if method == b"GET" and path.startswith(STREAMS):
            lane = self.polls
        return self.ordinary if at_once or (method != b"POST" and BODY.search(head)) else lane

    def load(self) -> tuple[int, int]:
        """How many requests have a thread, and how many wait for one; without health checks."""
        lanes = (self.ordinary, self.polls, self.transfers, self.passwords)
        running, waiting = zip(*(lane.load() for lane in lanes), strict=True)
        return sum(running), sum(waiting)

    def shutdown(self, wait: bool) -> None:
        """Do nothing: the threads end with the process."""


def caller_of(head: bytes) -> Caller:
    """Whose token the request bears, however it is written; NOBODY if it bears none."""
    token = TOKEN.search(head)
    return hash(token[1]) if token else NOBODY
