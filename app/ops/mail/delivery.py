"""Delivering one mail of the outbox.

No connection to the database is in use while the mail server is spoken to. Once the server has
accepted the mail, that is recorded before anything else. Only a process that ends, or a database
that fails, between the two lets a mail be sent twice (docs/decisions/0067).
"""

import logging
from collections.abc import Callable
from random import SystemRandom
from typing import Final

from app.core.config import Settings
from app.core.mail_server import MailServer
from app.ops.mail import conversation, queries
from app.ops.mail.conversation import Limit, Undelivered
from app.ops.mail.message import Composer, Mail
from app.ops.mail.queries import Outcome

PAUSES: Final = (60.0, 300.0, 900.0, 3600.0)
"""Seconds until the second attempt, the third and so on; the last of them from then on."""

STOPPED: Final = "Stopped"
"""The reason where this process is to end; another takes the mail at once."""

JITTER: Final = (0.9, 1.1)

logger = logging.getLogger(__name__)


class Postman:
    """Delivers mails one by one, until the database fails; what it could not record it keeps."""

    def __init__(
        self,
        settings: Settings,
        composer: Composer,
        note_busy: Callable[[], None],
        is_stopping: Callable[[], bool],
    ) -> None:
        self.server = MailServer.parse(settings.mail_url) if settings.mail_url else None
        self.is_logging = not settings.mail_url and not settings.production
        self.composer = composer
        self.note_busy = note_busy
        """Called before a conversation, which may take a while."""
        self.is_stopping = is_stopping
        self.unrecorded: Outcome | None = None

    def deliver_next(self) -> bool:
        """Deliver the mail that is due first; return whether there was one.

        Raises Problem or psycopg2.Error if the database fails; nothing is forgotten then.
        """
        self.settle()
        if self.server is None and not self.is_logging:
            return False  # mails wait until there is a server
        mail = queries.claim()
        if mail is None:
            return False
        self._deliver(mail)
        return True

    def settle(self) -> None:
        """Record the last outcome if that has failed. Raises as `deliver_next` does."""
        if self.unrecorded:
            self._record(self.unrecorded)

    def _deliver(self, mail: Mail) -> None:
        try:
            self._send(mail)
        except Undelivered as error:
            self._record(failed(mail, error))

    def _send(self, mail: Mail) -> None:
        """Send the mail and record that it was accepted. Raises Undelivered."""
        if mail.expired:
            raise Undelivered("Expired", permanent=True)
        try:
            message = self.composer.compose(mail)
        except KeyError:  # the secret is being changed, and this process has yet to learn of it
            raise Undelivered("UnknownKey") from None
        except ValueError:
            raise Undelivered("Unfit", permanent=True) from None
        if self.server is None:
            fields = {"mail": mail.id, "kind": mail.kind, "link": self.composer.link(mail)}
            logger.warning("a mail is logged, as MAIL_URL is not set", extra={"fields": fields})
            self._record(Outcome(mail))
            return
        self.note_busy()
        with Limit(conversation.LONGEST_SECONDS) as limit:
            if self.is_stopping():  # since the claim; from here on, a signal shortens the limit
                raise Undelivered(STOPPED)
            with conversation.conversation(self.server, limit) as client:
                conversation.send(client, self.composer.sender.address, mail.recipient, message)
                self._record(Outcome(mail))

    def _record(self, outcome: Outcome) -> None:
        self.unrecorded = outcome
        amounts_to = queries.record(outcome)
        self.unrecorded = None
        mail = outcome.mail
        fields = {"mail": mail.id, "kind": mail.kind, "attempts": mail.attempts}
        if outcome.error:
            fields["error"] = outcome.error
        level = logging.INFO if outcome.error is None else logging.WARNING
        logger.log(level, "a mail was %s", amounts_to, extra={"fields": fields})


def failed(mail: Mail, error: Undelivered) -> Outcome:
    """Return the outcome of an attempt that failed, with the pause before the next."""
    if error.reason == STOPPED:
        return Outcome(mail, error.reason)
    pause = PAUSES[min(mail.attempts, len(PAUSES)) - 1] * SystemRandom().uniform(*JITTER)
    return Outcome(mail, error.reason, error.permanent, pause)
