"""What the processes of one server know of each other: that it ends, and which is the newest.

They are forked from one process, which imports this module first and so shares its memory.
"""

import mmap
from typing import Final

_STOPPING, _INTERRUPTED, _NEWEST = range(3)

_shared: Final = memoryview(mmap.mmap(-1, 3 * 8)).cast("Q")
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
