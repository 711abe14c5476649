"""State that the processes of a server share: whether it is shutting down, and the newest worker.

The memory is shared because the master process imports this module before it forks the workers.
"""

import mmap
from typing import Final

_STOPPING, _INTERRUPTED, _NEWEST = range(3)

_shared: Final = memoryview(mmap.mmap(-1, 3 * 8)).cast("Q")
_leaving = False


def stop() -> None:
    """Record that the whole server is shutting down."""
    _shared[_STOPPING] = 1


def stopping() -> bool:
    """Whether the whole server is shutting down; the replacement of a worker does not count."""
    return _shared[_STOPPING] == 1


def leave() -> None:
    """Record that this process is shutting down, whether or not others are."""
    global _leaving
    _leaving = True


def leaving() -> bool:
    """Whether this process is shutting down, alone or with the server: requests must not wait."""
    return _leaving or stopping() or interrupted()


def interrupt() -> None:
    """Record that the whole server is shutting down immediately."""
    _shared[_INTERRUPTED] = 1


def interrupted() -> bool:
    """Whether the server is shutting down without waiting for running requests."""
    return _shared[_INTERRUPTED] == 1


def note_ready(age: int) -> None:
    """Record that the worker with this number accepts requests; gunicorn counts its workers up."""
    _shared[_NEWEST] = max(_shared[_NEWEST], age)


def newest() -> int:
    """Return the number of the newest worker that accepts requests; 0 before the first."""
    return _shared[_NEWEST]
