"""What the processes of one server know of each other: that it ends, who is new, who has how much.

They are forked from one process, which imports this module first and so shares its memory.
"""

import mmap
from typing import Final

_STOPPING, _INTERRUPTED, _NEWEST, _LOADS = range(4)

WORKERS: Final = 256
"""More than there ever are at once, old and new."""

_shared: Final = memoryview(mmap.mmap(-1, (_LOADS + WORKERS) * 8)).cast("Q")
_loads: Final = _shared[_LOADS:]
_leaves = False


def stop() -> None:
    """Say that the whole server ends, for good."""
    _shared[_STOPPING] = 1


def stopping() -> bool:
    """Whether the whole server ends; a worker that only makes room for another does not count."""
    return _shared[_STOPPING] == 1


def leave() -> None:
    """Say that this process ends, whatever the others do."""
    global _leaves
    _leaves = True


def leaving() -> bool:
    """Whether this process ends, alone or with the server, so that nobody should wait in it."""
    return _leaves or stopping() or interrupted()


def interrupt() -> None:
    """Say that the whole server ends, and at once."""
    _shared[_INTERRUPTED] = 1


def interrupted() -> bool:
    """Whether the whole server ends without waiting for what is under way."""
    return _shared[_INTERRUPTED] == 1


def note_ready(age: int) -> None:
    """Say that this worker takes requests; gunicorn numbers its workers as it starts them."""
    _shared[_NEWEST] = max(_shared[_NEWEST], age)


def newest() -> int:
    """The number of the newest worker that has taken requests; 0 before the first."""
    return _shared[_NEWEST]


def note_load(age: int, connections: int | None) -> None:
    """Say how many connections this worker has; None if it takes no new ones any more."""
    _loads[age % WORKERS] = 0 if connections is None else 1 + connections


def least_load() -> int:
    """How many connections the worker has that has fewest, of those that take new ones."""
    return min(filter(None, _loads.tolist()), default=1) - 1
