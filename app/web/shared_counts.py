"""Counts of events that all processes share in Redis, in one round trip for each count."""

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from limits.errors import ConfigurationError as StorageConfigurationError
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

from app.core.config import ConfigurationError

MEMORY: Final = "memory://"
PATIENCE_SECONDS: Final = 0.5
AWAY_SECONDS: Final = 10

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


class Shared:
    """The storage at `uri`; without one, or while it is unavailable, this process counts.

    Whether the storage answers shows only when something is counted.
    """

    def __init__(self, uri: str) -> None:
        """Raises ConfigurationError for a RATELIMIT_STORAGE_URI that cannot be used."""
        options = {"socket_connect_timeout": PATIENCE_SECONDS, "socket_timeout": PATIENCE_SECONDS}
        self.limiter: MovingWindowRateLimiter | None = None
        self.retry_at = 0.0
        """When a storage that failed is tried again; 0 while it answers."""
        if uri == MEMORY:
            return
        try:
            storage = storage_from_string(uri, wrap_exceptions=True, **options)
        except StorageConfigurationError:
            message = "RATELIMIT_STORAGE_URI names a storage whose client is not installed"
            raise ConfigurationError(message) from None
        except ValueError:
            raise ConfigurationError("RATELIMIT_STORAGE_URI expects a valid URL") from None
        self.limiter = MovingWindowRateLimiter(storage)

    def ask(
        self,
        question: Callable[..., Answer],
        here: Callable[..., Answer],
        key: str,
        *arguments: object,
    ) -> Answer:
        """`question(limiter, key, *arguments)`, or `here(key, *arguments)` without the storage.

        A storage that failed is tried again after AWAY_SECONDS, by one thread at a time.
        """
        if self.limiter is None or time.monotonic() < self.retry_at:
            return here(key, *arguments)
        if self.retry_at:  # other threads count here while this one tries
            self.retry_at = time.monotonic() + AWAY_SECONDS
        try:
            answer = question(self.limiter, key, *arguments)
        except StorageError:
            self.retry_at = time.monotonic() + AWAY_SECONDS
            logger.warning("the storage of rate limits is away; counting in this process")
            return here(key, *arguments)
        self.retry_at = 0.0
        return answer
