"""Mails while everything fails in turn: `python -m tests.mail_faults` with full minutes.

Users ask for links without a pause. Two workers send the mails; one of them is killed again and
again. In turn nothing fails, the mail server is away, and the database is away. In the end what the
server accepted is compared with the requests that were acknowledged.
"""

import argparse
import logging
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

import httpx

from app.core.ids import new_id
from tests.conftest import CHEAP_HASH, gunicorn
from tests.databases import migrate
from tests.locks import until
from tests.outbox import Outbox, settings, working
from tests.rig.cluster import Cluster
from tests.rig.smtp import MailServer

ACCOUNTS = 4000
"""More than a campaign needs, as each asks once."""

PACE_SECONDS = 0.1
DRAIN_SECONDS = 180

WORKERS = 2


@dataclass
class Asked:
    """What users asked for: the addresses of acknowledged requests, and how all were answered."""

    acknowledged: list[str] = field(default_factory=list)
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)


@dataclass
class Report:
    """What became of the mails; `kills` are the workers that were killed."""

    asked: Asked
    kills: int
    lost: list[str]
    doubled: list[str]
    differing: list[str]
    """Mails that came twice and were not the same to the byte."""
    mails: int


class Users:
    """Users who ask for links one after the other, in a thread, until they are told to stop."""

    def __init__(self, base: str, tokens: dict[str, str]) -> None:
        self.base = base
        self.tokens = tokens
        self.phase = "at first"
        self.asked = Asked()
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True)]

    def _run(self) -> None:
        with httpx.Client(base_url=self.base, timeout=30) as client:
            for address, token in self.tokens.items():
                if self.stopped.is_set():
                    return
                self._ask(client, address, token)
                time.sleep(PACE_SECONDS)
        raise RuntimeError("there are too few accounts")

    def _ask(self, client: httpx.Client, address: str, token: str) -> None:
        phase, begun = self.phase, time.monotonic()
        here = {"X-Forwarded-For": str(IPv4Address(random.getrandbits(32)))}
        if random.random() < 0.5:
            body = {"email": address}
            answer = client.post("/v1/auth/password-reset", json=body, headers=here)
        else:
            headers = {**here, "Authorization": f"Bearer {token}"}
            answer = client.post("/v1/me/email-verification", headers=headers)
        took = time.monotonic() - begun
        self.asked.statuses.setdefault(phase, Counter())[answer.status_code] += 1
        self.asked.slowest[phase] = max(took, self.asked.slowest.get(phase, 0))
        if answer.status_code == 202:
            self.asked.acknowledged.append(address)

    def are_acknowledged(self) -> bool:
        """Whether a request of the present phase was."""
        return self.asked.statuses.get(self.phase, Counter())[202] > 0


class Killer:
    """Keeps workers running, and kills one of them about every two seconds, in a thread."""

    def __init__(self, url: str, directory: Path, mail_url: str) -> None:
        self.url, self.directory, self.mail_url = url, directory, mail_url
        self.kills = 0
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(n,)) for n in range(WORKERS)]

    def _run(self, number: int) -> None:
        while not self.stopped.is_set():
            log = self.directory / f"worker{number}-{new_id()}.log"
            with working(self.url, log, **settings(self.mail_url)) as worker:
                if number or self.stopped.wait(random.uniform(1.0, 3.0)):
                    self.stopped.wait()
                else:
                    worker.process.send_signal(signal.SIGKILL)
                    worker.process.wait()
                    self.kills += 1


@contextmanager
def running(found: Users | Killer) -> Iterator[None]:
    """Run its threads while entered."""
    for thread in found.threads:
        thread.start()
    try:
        yield
    finally:
        found.stopped.set()
        for thread in found.threads:
            thread.join(60)


def accounts(outbox: Outbox) -> dict[str, str]:
    """The addresses of many accounts, and an access token of each."""
    ids = [new_id() for _ in range(ACCOUNTS)]
    outbox.ask(
        "insert into users (id, email, password_hash)"
        " select id, id || '@example.com', %s from unnest(%s::uuid[]) id",
        CHEAP_HASH,
        ids,
    )
    issue = outbox.app.extensions["token_verifier"].issue
    with outbox.app.app_context():
        return {f"{user_id}@example.com": issue(user_id) for user_id in ids}


def campaign(seconds: float) -> Report:
    """Run all of it, each fault for so many seconds."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = stack.enter_context(Cluster.throwaway())
        server = stack.enter_context(MailServer())
        migrate(cluster.url)
        outbox = Outbox(cluster.url)
        tokens = accounts(outbox)
        environment = {**settings(server.url()), "TRUSTED_PROXIES": "1"}
        base = stack.enter_context(gunicorn(cluster.url, directory / "log", **environment))
        users, killer = Users(base, tokens), Killer(cluster.url, directory, server.url())
        with running(killer):
            with running(users):
                _faults(users, cluster, server, seconds)
            until(lambda: killer.kills)  # a slow machine starts a worker late
            _drain(outbox)
        return _compared(users.asked, killer.kills, server)


def _faults(users: Users, cluster: Cluster, server: MailServer, seconds: float) -> None:
    time.sleep(seconds)
    users.phase = "mail server away"
    server.refuse()
    time.sleep(seconds)
    server.accept()
    users.phase = "all there"
    time.sleep(seconds / 4)
    until(users.are_acknowledged)
    users.phase = "database away"
    cluster.stop("immediate")
    time.sleep(seconds)
    cluster.start()
    users.phase = "all there again"
    time.sleep(seconds / 4)
    until(users.are_acknowledged)  # a slow machine takes longer to connect again


def _drain(outbox: Outbox) -> None:
    """Let all mails be sent: none has to wait for the pause after an attempt or for a lease."""

    def done() -> bool:
        outbox.let_time_pass()
        return outbox.is_done() and outbox.ask("select count(*) from password_resets") == [(0,)]

    ends = time.monotonic() + DRAIN_SECONDS
    while not done():
        assert time.monotonic() < ends, outbox.states()
        time.sleep(0.2)


def _compared(asked: Asked, kills: int, server: MailServer) -> Report:
    mails = list(server.accepted)
    arrived = Counter(str(mail["To"]) for mail in mails)
    by_id: dict[str, set[bytes]] = {}
    counts = Counter(str(mail["Message-ID"]) for mail in mails)
    for mail in mails:
        by_id.setdefault(str(mail["Message-ID"]), set()).add(mail.as_bytes())
    doubled = [name for name, count in counts.items() if count > 1]
    return Report(
        asked=asked,
        kills=kills,
        lost=[address for address in asked.acknowledged if not arrived[address]],
        doubled=doubled,
        differing=[name for name in doubled if len(by_id[name]) > 1],
        mails=len(by_id),
    )


def main() -> int:
    """Return 1 if a mail was lost, or came twice without a worker having been killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mail_faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each fault lasts")
    options = parser.parse_args()
    logging.disable(logging.INFO)  # what migrations say of each step
    report = campaign(options.seconds)
    for phase, statuses in report.asked.statuses.items():
        print(f"{phase}: {dict(statuses)}, the slowest {report.asked.slowest[phase]:.2f} s")
    print(f"{len(report.asked.acknowledged)} acknowledged, {report.mails} mails")
    print(f"{report.kills} workers killed, {len(report.doubled)} mails came twice")
    print(f"lost: {len(report.lost)}, not the same: {len(report.differing)}")
    return 1 if report.lost or report.differing or len(report.doubled) > report.kills else 0


if __name__ == "__main__":
    sys.exit(main())
