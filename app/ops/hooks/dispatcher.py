"""Calls the webhooks that are due, many at once: no receiver waits for another one that is slow.

The dispatcher's own thread speaks to the database and keeps the time; each call has a thread, which
holds no connection to the database.
"""

import logging
import ssl
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from random import SystemRandom
from typing import Final, NamedTuple

from app.core.config import Settings
from app.core.secrets import Keys
from app.core.webhook_urls import WebhookUrl
from app.ops.hooks import queries
from app.ops.hooks.calling import Answer, Call
from app.ops.hooks.message import Message, headers_of, message_of
from app.ops.hooks.queries import Claim

FRESH: Final = 64
"""Calls at once to endpoints that accepted their last message."""

AGAIN: Final = 16
"""The same to those that did not."""

PAUSES: Final = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds until the second attempt, the third and so on. Source: Standard Webhooks, "Retries"."""

LONGEST_PAUSE: Final = 86_400.0
"""The longest Retry-After that is honoured."""

JITTER: Final = (0.9, 1.1)

GONE: Final = 410

DAY: Final = 86_400.0

TURN_SECONDS: Final = 0.5
"""How often calls are looked at whose time is up."""

logger = logging.getLogger(__name__)


class Ended(NamedTuple):
    """A call that has ended."""

    claimed: Claim
    message: Message
    at: datetime
    answer: Answer


class UnderWay(NamedTuple):
    """A call that has not ended."""

    call: Call
    claimed: Claim


class Dispatcher:
    """Claims, calls and records, turn by turn; `turn` belongs to one thread."""

    def __init__(self, settings: Settings, accepted: tuple[Keys, ...]) -> None:
        self.networks = settings.webhook_allow_networks
        self.accepted = accepted
        self.context = ssl.create_default_context()
        self.threads = ThreadPoolExecutor(FRESH + AGAIN, "webhook")
        self.calls: dict[Future[Ended], UnderWay] = {}

    def turn(self) -> bool:
        """Record what has ended and begin what is due; return whether there was anything.

        Raises Problem or psycopg2.Error if the database fails. A claim that could not be recorded
        then ends by itself, and the message is sent again, with its id.
        """
        ended = self.settle(TURN_SECONDS if self.calls else 0.0)
        again = sum(each.claimed.attempts > 0 for each in self.calls.values())
        claims = queries.claim(FRESH - (len(self.calls) - again), AGAIN - again)
        for claimed in claims:
            self._begin(claimed)
        return bool(ended or claims)

    def settle(self, seconds: float) -> int:
        """Wait so long for a call to end, record all that have, and cut those that are late."""
        done, _ = wait(self.calls, seconds, FIRST_COMPLETED)
        now = time.monotonic()
        for future in done:
            self.calls.pop(future)
            self._record(future.result())
        for each in self.calls.values():
            if now >= each.call.ends_at:
                each.call.cut()
        return len(done)

    def end(self, seconds: float) -> None:
        """Let calls end for so many seconds, then give back what is still under way."""
        until = time.monotonic() + seconds
        while self.calls and time.monotonic() < until:
            self.settle(min(TURN_SECONDS, max(0.0, until - time.monotonic())))
        for each in self.calls.values():
            each.call.cut()
            queries.release(each.claimed)
        self.threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, claimed: Claim) -> None:
        if claimed.account_disabled:
            queries.release(claimed, DAY)
            return
        message = message_of(claimed)
        if message is None:  # the task was done, or the webhook disabled
            queries.release(claimed)
            return
        at = datetime.now(UTC)
        try:
            url = WebhookUrl.parse(claimed.url)
            headers = headers_of(message, claimed, self.accepted, at)
        except ValueError:
            self._record(Ended(claimed, message, at, Answer(error="UnknownKey")))
            return
        call = Call(url, self.networks, self.context)
        future = self.threads.submit(
            lambda: Ended(claimed, message, at, call.send(headers, message.body))
        )
        self.calls[future] = UnderWay(call, claimed)

    def _record(self, ended: Ended) -> None:
        claimed, message, at, answer = ended
        fields: dict[str, object] = {"webhook": claimed.id, "kind": message.kind}
        outcome: dict[str, object] = {
            "attempted_at": at,
            "status": answer.status,
            "error": answer.error,
        }
        if message.kind == "test":
            test = {"test_requested_at": claimed.test_requested_at}
            queries.record_tested(claimed, **outcome, **test)
            amounts_to = "tested"
        elif answer.accepted:
            progress = {"attempted_at": at, "status": answer.status, **message.progress}
            queries.record_told(claimed, **progress)
            amounts_to = "called"
        else:
            pause = _pause(claimed.attempts, answer)
            disabled = queries.record_failed(claimed, **outcome, pause=pause)
            amounts_to = "disabled" if disabled else "called in vain"
        if not answer.accepted:
            fields |= {"status": answer.status, "error": answer.error}
        level = logging.WARNING if amounts_to == "disabled" else logging.INFO
        logger.log(level, "a webhook was %s", amounts_to, extra={"fields": fields})


def _pause(attempts: int, answer: Answer) -> float | None:
    """Return how long to wait after so many attempts before this one; None if it was the last."""
    if answer.status == GONE or attempts >= len(PAUSES):
        return None
    pause = PAUSES[attempts] * SystemRandom().uniform(*JITTER)
    return max(pause, min(answer.retry_after, LONGEST_PAUSE))
