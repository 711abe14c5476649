"""Tell the server which user a request is from, once the access token is verified.

app/server listens, to share its threads fairly between users. Other servers do not listen, and then
every request goes on.
"""

import threading
from collections.abc import Callable
from typing import Final

Listener = Callable[[str], bool]
"""Takes the id of the user and returns whether the request of this thread may go on."""


class _Thread(threading.local):
    listener: Listener | None = None


_thread: Final = _Thread()


def listen(listener: Listener) -> None:
    """Call this listener for each request of this thread."""
    _thread.listener = listener


def may_go_on(user_id: str) -> bool:
    """Report the user of this thread's request; False if the user has too many threads already."""
    return _thread.listener is None or _thread.listener(user_id)
