"""How soon many webhooks are told while some fail and some hang: `python -m tests.webhook_load`.

Each account has one webhook. All accounts write, over a few seconds; a part of the receivers
answers 500, and another part does not answer at all. A worker calls them.
"""

import argparse
import logging
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from app.api.webhooks.secrets import new_secret, seal
from app.core.ids import new_id
from app.core.secrets import present
from tests.databases import migrate
from tests.hooks import Hooks
from tests.locks import until
from tests.rig.cluster import Cluster
from tests.rig.receiver import Received, Receiver, Reply

ACCOUNTS = """
insert into users (id, email, password_hash, has_webhooks)
    select id, id || '@example.com', 'none', true from unnest(%s::uuid[]) id
"""

ENDPOINTS = """
insert into webhooks (user_id, id, url, events, secret, key_id, version, created_at, updated_at,
        latest_version, latest_at, told_version, told_reminder_at)
    select id, id, %s || id, '{changes}', %s, %s, 1, now(), now(), 0, now(), 0, now()
        from unnest(%s::uuid[]) id
"""

WRITE = "update users set change_seq = change_seq + 1 where id = any(%s::uuid[])"


@dataclass
class Report:
    """Seconds from the commit to the message, of healthy receivers; and those never told."""

    delays: list[float]
    missing: list[str]


def campaign(endpoints: int, failing: float, hanging: float, seconds: float) -> Report:
    """Tell so many endpoints, of which these parts fail and hang, of writes spread over seconds."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = stack.enter_context(Cluster.throwaway())
        receiver = stack.enter_context(Receiver())
        migrate(cluster.url)
        hooks = Hooks(cluster.url)
        ids = [new_id() for _ in range(endpoints)]
        some = int(endpoints * failing)
        fail = set(ids[:some])
        hang = set(ids[some : some + int(endpoints * hanging)])
        receiver.reply = lambda message: reply(message, fail, hang)
        _fill(hooks, receiver, ids)
        stack.callback(receiver.free.set)
        stack.enter_context(hooks.worker(directory / "log"))
        written = _write(hooks, ids, seconds)
        healthy = [each for each in ids if each not in fail | hang]
        until(lambda: {each.path for each in receiver.received} >= {f"/{each}" for each in healthy})
        told = {path[1:]: messages[-1].at for path, messages in receiver.by_path().items()}
        delays = [told[each] - written[each] for each in healthy if each in told]
        return Report(delays, [each for each in healthy if each not in told])


def reply(message: Received, fail: set[str], hang: set[str]) -> Reply | None:
    """What the receiver of an account answers."""
    account = message.path[1:]
    if account in hang:
        return None
    return (500, {}, b"") if account in fail else (204, {}, b"")


def _fill(hooks: Hooks, receiver: Receiver, ids: list[str]) -> None:
    with hooks.app.app_context():
        keys = present()
    hooks.ask(ACCOUNTS, ids)
    hooks.ask(ENDPOINTS, receiver.url("/"), seal(new_secret(), keys), keys.id, ids)


def _write(hooks: Hooks, ids: list[str], seconds: float) -> dict[str, float]:
    """Write for all accounts; return when each write was committed."""
    written, steps = {}, max(1, int(seconds * 10))
    for step in range(steps):
        some = ids[step::steps]
        hooks.ask(WRITE, some)
        written |= dict.fromkeys(some, time.monotonic())
        time.sleep(seconds / steps)
    return written


def main() -> int:
    """Return 1 if a healthy endpoint was told later than after ten seconds."""
    parser = argparse.ArgumentParser(prog="python -m tests.webhook_load", description=__doc__)
    parser.add_argument("--endpoints", type=int, default=1000)
    parser.add_argument("--failing", type=float, default=0.05)
    parser.add_argument("--hanging", type=float, default=0.02)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long they write")
    options = parser.parse_args()
    logging.disable(logging.INFO)  # what migrations say of each step
    report = campaign(options.endpoints, options.failing, options.hanging, options.seconds)
    delays = sorted(report.delays)
    p99 = delays[int(len(delays) * 0.99) - 1]
    print(f"{len(delays)} healthy endpoints told, {len(report.missing)} not")
    print(f"p50 {statistics.median(delays):.2f} s, p99 {p99:.2f} s, the last {delays[-1]:.2f} s")
    return 1 if report.missing or delays[-1] > 10 else 0


if __name__ == "__main__":
    sys.exit(main())
