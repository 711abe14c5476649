"""What would arrive in the mailboxes of users: the mails in the outbox, with their links."""

from typing import Any, NamedTuple

from apiflask import APIFlask

from app.auth.mail_kinds import MailKind
from app.auth.mail_tokens import MailToken
from app.core.secrets import accepted
from app.ops.mail import resets


class Letter(NamedTuple):
    """A mail: what it is about, and the token in its link, if it has one."""

    kind: MailKind
    token: str | None


class Mailbox:
    """The mails to an address, the oldest first, once a worker has answered who asked for one."""

    def __init__(self, app: APIFlask, connection: Any, address: str) -> None:
        self.app = app
        self.connection = connection
        self.address = address

    @property
    def letters(self) -> list[Letter]:
        """All that have been written to it."""
        with self.app.app_context():
            while resets.answer_next():
                pass
            keys = {each.id: each for each in accepted()}
        with self.connection.cursor() as cursor:
            sql = (
                "select user_id::text, kind, seed, key_id from mails"
                " where lower(recipient) = lower(%s) order by created_at, id"
            )
            cursor.execute(sql, (self.address,))
            found = cursor.fetchall()
        letters = []
        for user_id, kind, seed, key_id in found:
            of = MailKind(kind)
            token = MailToken.derive(user_id, of, bytes(seed), keys[key_id]) if seed else None
            letters.append(Letter(of, str(token) if token else None))
        return letters

    @property
    def token(self) -> str:
        """The token in the latest link."""
        return [letter.token for letter in self.letters if letter.token][-1]
