"""Another issuer's public keys (RFC 7517), fetched when needed and never at a forger's bidding."""

import time
from typing import Any, Final

from jwt import PyJWKClient, PyJWKSet, PyJWTError
from jwt.exceptions import PyJWKClientConnectionError

LIFETIME_SECONDS: Final = 60 * 60
COOLDOWN_SECONDS: Final = 60
RETRY_SECONDS: Final = 10
STALE_SECONDS: Final = 24 * 60 * 60
TIMEOUT_SECONDS: Final = 5


class KeySet(PyJWKClient):
    """The key set at one URL, which no token can change.

    An unknown key id makes it look again, at most once a minute; when the issuer does not answer,
    the last known keys stay good for a day, and the next attempt waits.
    """

    def __init__(self, url: str) -> None:
        super().__init__(
            url,
            lifespan=LIFETIME_SECONDS,
            timeout=TIMEOUT_SECONDS,
            cooldown_duration=COOLDOWN_SECONDS,
        )
        self.latest: PyJWKSet | None = None
        self.seen_at = 0.0
        self.retry_at = 0.0

    def fetch_data(self) -> Any:
        """The issuer's keys as they are now, or as they were last seen.

        Raises PyJWKClientConnectionError where neither is to be had.
        """
        if time.monotonic() >= self.retry_at:
            try:
                self.latest = PyJWKSet.from_dict(super().fetch_data())
                self.seen_at = time.monotonic()
            except (PyJWTError, ValueError, OSError):
                self.retry_at = time.monotonic() + RETRY_SECONDS
        if self.latest is None or time.monotonic() - self.seen_at > STALE_SECONDS:
            raise PyJWKClientConnectionError("the issuer's keys are not to be had")
        return self.latest
