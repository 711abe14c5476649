"""How slowly a client may send or take a file, so that it gives up its place in the end."""

import time
from typing import Final

FREE_SECONDS: Final = 60.0
BYTES_PER_SECOND: Final = 256 * 1024


class Pace:
    """A client's file on its way: a minute in which it may be as slow as it likes, then a rate.

    The time begins with this object.
    """

    def __init__(self) -> None:
        self.began = time.monotonic()

    def is_too_slow(self, moved: int) -> bool:
        """Whether more time has passed than this many bytes may take."""
        return time.monotonic() - self.began > FREE_SECONDS + moved / BYTES_PER_SECOND
