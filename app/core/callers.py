"""Whose request a thread handles, which the server is told once the access token is verified.

A server that shares its threads fairly listens; any other does not, and all requests go on.
"""

import threading
from collections.abc import Callable
from typing import Final

Listener = Callable[[str], bool]
"""Takes the id of a user; returns whether the request of this thread may go on as that user's."""


class _Thread(threading.local):
    listener: Listener | None = None


_thread: Final = _Thread()


def listen(listener: Listener) -> None:
    """Have it told of each request of this thread."""
    _thread.listener = listener


def may_go_on(user_id: str) -> bool:
    """Tell the server whose request this is; False if the user has as many threads as allowed."""
    return _thread.listener is None or _thread.listener(user_id)
