"""Who a request comes from, as far as that is known before it is read.

The application notes whose token it has verified; by that the server lets requests of one user wait
for each other. A header that was never verified here names nobody, so that none can be made to wait
by what somebody else sends. Whose such a request is shows in its thread, where it is claimed.
"""

import threading
from collections.abc import Callable
from threading import Lock
from typing import Final

NOBODY: Final = ""
"""Whoever has no token, or one that has not been verified in this process."""

MOST: Final = 8192
AUTHORIZATION: Final = b"\r\nauthorization:"

Claim = Callable[[str], bool]
"""Whether a thread may go on with a request as this caller's."""


class NotYet(BaseException):
    """The caller has as many threads as one may have; the server takes the request up again later.

    It is no error, so nothing that handles errors gets to see it.
    """

    def __init__(self, caller: str) -> None:
        super().__init__(caller)
        self.caller = caller


class _Thread(threading.local):
    claim: Claim | None = None


_thread: Final = _Thread()

_users: Final[dict[int, str]] = {}
"""By the hash of the header, whose key differs for each server, so that none can be made to fit."""
_lock: Final = Lock()


def note(authorization: str, user_id: str) -> None:
    """Remember whose this value of the Authorization header is; it has been verified."""
    key = hash(authorization)
    if _users.get(key) != user_id:
        with _lock:
            _users[key] = user_id
            if len(_users) > MOST:
                del _users[next(iter(_users))]


def ask_for_claim(claim: Claim | None) -> None:
    """Have this thread's request, which is nobody's so far, be claimed so; None for any other."""
    _thread.claim = claim


def claim(caller: str) -> None:
    """Tell whose the request of this thread is. Raises NotYet."""
    if (allowed := _thread.claim) and not allowed(caller):
        raise NotYet(caller)


def caller(head: bytes) -> str:
    """The user whose request begins so, or NOBODY."""
    at = head.lower().find(AUTHORIZATION)
    start = at + len(AUTHORIZATION)
    end = head.find(b"\r\n", start)
    if at < 0 or end < 0:
        return NOBODY
    return _users.get(hash(head[start:end].strip(b" \t").decode("latin-1")), NOBODY)
