"""A database with an outbox of its own, its mails, and the workers that send them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apiflask import APIFlask

from app import create_app
from app.auth.mail_kinds import MailKind
from app.auth.mail_tokens import MailToken
from app.auth.outbox import draft
from app.core.ids import new_id
from app.core.secrets import present
from tests.conftest import ROOT, SECRET, insert_user, settings_for
from tests.databases import opened
from tests.locks import until

SENDER = "Tasks, by Example <tasks@example.com>"
PUBLIC_URL = "https://app.example.com/confirm"


def settings(mail_url: str = "") -> dict[str, str]:
    """The variables that mail needs."""
    return {"MAIL_URL": mail_url, "MAIL_FROM": SENDER, "PUBLIC_URL": PUBLIC_URL}


NO_LINK = {"mail_seed": None, "mail_key_id": None}


class Outbox:
    """The outbox of a database, and a user whose mails are in it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.app: APIFlask = create_app(settings_for(url))
        self.user_id = new_id()
        with opened(url) as cursor:
            insert_user(cursor, self.user_id, f"{self.user_id}@example.com", "none")
        self.ask("update jobs set next_at = 'infinity'")

    def ask(self, question: str, *parameters: object) -> list[Any]:
        """The rows that a superuser gets."""
        with opened(self.url) as cursor:
            named = parameters and isinstance(parameters[0], dict)
            cursor.execute(question, parameters[0] if named else parameters)
            return cursor.fetchall() if cursor.description else []

    def queue(
        self, recipient: str = "grace@example.org", kind: MailKind = MailKind.PASSWORD_RESET
    ) -> tuple[str, MailToken | None]:
        """Put a mail into it; its id and token."""
        with self.app.app_context():
            mail = draft(self.user_id, kind)
            seed, keys = mail.get("mail_seed"), present()
        token = MailToken.derive(self.user_id, kind, seed, keys) if seed else None
        self.ask(
            "insert into mails (user_id, id, kind, recipient, seed, key_id) values"
            " (%(user_id)s, %(mail_id)s, %(mail_kind)s, %(recipient)s, %(mail_seed)s,"
            " %(mail_key_id)s)",
            {**NO_LINK, **mail, "user_id": self.user_id, "recipient": recipient},
        )
        return mail["mail_id"], token

    def states(self) -> list[tuple[bool, bool, int, str | None]]:
        """Of each mail whether it was sent and given up, its attempts, and its error."""
        return self.ask(
            "select sent_at is not null, given_up_at is not null, attempts, last_error from mails"
            " order by id"
        )

    def totals(self) -> dict[str, int]:
        """What the workers have counted of mails."""
        return dict(
            self.ask("select name, total from worker_totals where starts_with(name, 'mails')")
        )

    def let_time_pass(self) -> None:
        """What waits is due now, as after a pause or after the claim of a dead worker."""
        self.ask("update mails set due_at = now() where sent_at is null and given_up_at is null")

    def is_done(self) -> bool:
        """Whether nothing waits any more."""
        [(waiting,)] = self.ask(
            "select count(*) from mails where sent_at is null and given_up_at is null"
        )
        return not waiting

    def clear(self) -> None:
        """Forget all mails and totals."""
        self.ask("delete from mails")
        self.ask("update worker_totals set total = 0")


class Working:
    """`flask work` as a process, and its log."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [
            json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")
        ]

    def said(self, message: str) -> list[dict[str, Any]]:
        """The lines with this text."""
        return [line for line in self.lines if message in line["message"]]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal, and return its status when it has ended."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def working(url: str, log: Path, *options: str, **environment: str) -> Iterator[Working]:
    """A worker that has begun; killed in the end, if it still runs."""
    variables = {
        **{k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG"}},
        "APP_ENV": "test",
        "FLASK_SKIP_DOTENV": "1",
        "DATABASE_URL": url,
        "JWT_SECRET": SECRET,
        "WORKER_HEALTH_FILE": str(log.with_suffix(".health")),
        **environment,
    }
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "work", *options],
            cwd=ROOT,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    found = Working(process, log)
    try:
        until(lambda: found.said("the worker starts") or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield found
    finally:
        process.kill()
        process.communicate()
