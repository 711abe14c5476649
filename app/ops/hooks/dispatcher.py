"""Calls the webhooks that are due, many at once: no receiver waits for another one that is slow.

The dispatcher's own thread speaks to the database and keeps the time; each call has a thread, which
holds no connection to the database.
"""

import logging
import ssl
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, wait
from datetime import UTC, datetime
from random import SystemRandom
from threading import Thread
from typing import Final, NamedTuple

from app.core.config import Settings
from app.core.secrets import Keys
from app.core.webhook_urls import WebhookUrl
from app.ops.hooks import queries
from app.ops.hooks.calling import Answer, Call
from app.ops.hooks.message import Message, headers_of, message_of
from app.ops.hooks.queries import Claim

FRESH: Final = 64
"""Calls at once to endpoints that accepted their last message, and soon."""

AGAIN: Final = 16
"""The same to those that did not."""

MOST_OF_USER: Final = 3
"""Calls of one user at once."""

SLOW_SECONDS: Final = 2.0
"""Whoever takes longer counts as slow, and has the places of those that fail the next time."""

CROWD_SECONDS: Final = 0.3
"""How long a webhook waits for other calls of its user."""

HURRY_SECONDS: Final = 1.0
"""How long after a reminder more of them are looked for without a pause."""

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
    seconds: float = 0.0


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
        self.hurries_until = 0.0
        self.calls: dict[Future[Ended], UnderWay] = {}

    def turn(self) -> bool:
        """Record what has ended and begin what is due; return whether there was anything.

        Raises Problem or psycopg2.Error if the database fails. A claim that could not be recorded
        then ends by itself, and the message is sent again, with its id.
        """
        ended = self.settle(TURN_SECONDS if self.calls else 0.0)
        again = sum(each.claimed.is_behind for each in self.calls.values())
        users = Counter(each.claimed.user_id for each in self.calls.values())
        found = False
        for claimed in queries.claim(FRESH - (len(self.calls) - again), AGAIN - again):
            found = True
            if users[claimed.user_id] >= MOST_OF_USER:
                queries.release(claimed, CROWD_SECONDS)
                continue
            users[claimed.user_id] += 1
            self._begin(claimed)
        return bool(ended or found)

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
        future: Future[Ended] = Future()

        def run() -> None:
            begun = time.monotonic()
            try:
                answer = call.send(headers, message.body)
            except Exception:
                logger.exception("a call met an error that nobody foresaw")
                answer = Answer(error="Internal")
            future.set_result(Ended(claimed, message, at, answer, time.monotonic() - begun))

        self.calls[future] = UnderWay(call, claimed)
        # A thread for each call, and not a pool: Python waits for those of a pool when it ends.
        Thread(target=run, name="webhook", daemon=True).start()

    @property
    def hurries(self) -> bool:
        """Whether a reminder was told a moment ago, so that more of them may be due."""
        return time.monotonic() < self.hurries_until

    def _record(self, ended: Ended) -> None:
        claimed, message, at, answer, seconds = ended
        slow = seconds > SLOW_SECONDS
        if message.kind == "reminder":
            self.hurries_until = time.monotonic() + HURRY_SECONDS
        fields: dict[str, object] = {"webhook": claimed.id, "kind": message.kind}
        outcome: dict[str, object] = {
            "attempted_at": at,
            "status": answer.status,
            "error": answer.error,
            "slow": slow,
        }
        if message.kind == "test":
            test = {"test_requested_at": claimed.test_requested_at}
            queries.record_tested(claimed, **outcome, **test)
            amounts_to = "tested"
        elif answer.accepted:
            told = {"attempted_at": at, "status": answer.status, "slow": slow}
            progress = {**told, **message.progress}
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
