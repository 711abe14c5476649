"""`flask work` as processes that are killed, stopped and cut off: no mail is lost, none sent twice
but in the one case that is documented.
"""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app import create_app
from app.core.ids import new_id
from app.ops import heartbeat, jobs
from tests.conftest import ROOT, settings_for
from tests.databases import migrate, opened, own_database
from tests.locks import until, waiting
from tests.outbox import Outbox, settings, working
from tests.rig.pgbouncer import PgBouncer
from tests.rig.programs import need
from tests.rig.proxy import Proxy
from tests.rig.smtp import MailServer


@pytest.fixture
def outbox(own_url: str) -> Iterator[Outbox]:
    made = Outbox(own_url)
    yield made
    made.clear()


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as running:
        yield running


def ids(server: MailServer) -> Counter[str]:
    """How often the server accepted each mail."""
    return Counter(message["Message-ID"][1:].partition("@")[0] for message in server.accepted)


def test_a_worker_sends_what_comes_and_ends_at_once_with_0(
    outbox: Outbox, server: MailServer, tmp_path: Path
) -> None:
    with working(outbox.url, tmp_path / "log", **settings(server.url())) as worker:
        for _ in range(2):
            mail_id, _ = outbox.queue()
            until(outbox.is_done)
            assert ids(server)[mail_id] == 1
        assert worker.end() == 0
        assert len(worker.said("a mail was sent")) == 2
        assert worker.lines[-1]["message"] == "the worker ends"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_worker_ends_when_its_terminal_says_so(
    outbox: Outbox, tmp_path: Path, number: int
) -> None:
    with working(outbox.url, tmp_path / "log") as worker:
        assert worker.end(number) == 0


def test_a_worker_that_hangs_on_its_parent_ends_with_it(outbox: Outbox, tmp_path: Path) -> None:
    with working(outbox.url, tmp_path / "log", "--with-input") as worker:
        assert worker.process.stdin
        worker.process.stdin.close()
        assert worker.process.wait(30) == 0


# Killed


def end_waiting(cursor: Any) -> None:
    """End the sessions of killed workers, whose statements the server would still carry out."""
    for pid in waiting(cursor.connection):
        cursor.execute("select pg_terminate_backend(%s)", (pid,))
    until(lambda: not waiting(cursor.connection))


def test_a_worker_killed_in_its_claim_leaves_the_mail_to_another(
    outbox: Outbox, server: MailServer, tmp_path: Path
) -> None:
    mail_id, _ = outbox.queue()
    with opened(outbox.url) as cursor:
        cursor.execute("begin; lock table mails in access exclusive mode")
        with working(outbox.url, tmp_path / "log", **settings(server.url())) as worker:
            until(lambda: waiting(cursor.connection))
            worker.end(signal.SIGKILL)
        end_waiting(cursor)
        cursor.execute("rollback")
    assert outbox.states() == [(False, False, 0, None)]
    with working(outbox.url, tmp_path / "log", **settings(server.url())):
        until(outbox.is_done)
    assert ids(server) == {mail_id: 1}


@pytest.mark.parametrize("step", ["greeted", "addressed", "content"])
def test_a_worker_killed_in_a_conversation_leaves_the_mail_to_another(
    outbox: Outbox, server: MailServer, tmp_path: Path, step: str
) -> None:
    mail_id, _ = outbox.queue()
    held = getattr(server, step)
    held.hold()
    with working(outbox.url, tmp_path / "log", **settings(server.url())) as worker:
        assert held.reached.wait(30)
        worker.end(signal.SIGKILL)
    assert outbox.states() == [(False, False, 1, None)]
    server.refuse()  # what of its conversation is still on the way comes to nothing
    held.free.set()
    server.accept()
    with working(outbox.url, tmp_path / "log", **settings(server.url())):
        outbox.let_time_pass()
        until(outbox.is_done)
    assert ids(server) == {mail_id: 1}
    assert outbox.states() == [(True, False, 2, None)]


def test_only_a_worker_killed_between_acceptance_and_its_record_lets_a_mail_come_twice(
    outbox: Outbox, server: MailServer, tmp_path: Path
) -> None:
    """The one case that is documented; the second mail has the id of the first."""
    mail_id, _ = outbox.queue()
    with opened(outbox.url) as cursor:
        server.faults.on_content = lambda: cursor.execute("begin; lock table mails")
        with working(outbox.url, tmp_path / "log", **settings(server.url())) as worker:
            until(lambda: server.accepted and waiting(cursor.connection))
            worker.end(signal.SIGKILL)
        end_waiting(cursor)
        server.faults.on_content = None
        cursor.execute("rollback")
    with working(outbox.url, tmp_path / "log", **settings(server.url())):
        outbox.let_time_pass()
        until(outbox.is_done)
    first, second = server.accepted
    assert first.as_bytes() == second.as_bytes()
    assert ids(server) == {mail_id: 2}


# Told to end


def test_a_worker_finishes_the_mail_that_it_sends_and_begins_no_other(
    outbox: Outbox, server: MailServer, tmp_path: Path
) -> None:
    first, _ = outbox.queue()
    outbox.queue()
    server.content.hold()
    with working(
        outbox.url, tmp_path / "log", **settings(server.url()), SHUTDOWN_GRACE="60"
    ) as worker:
        assert server.content.reached.wait(30)
        worker.process.send_signal(signal.SIGTERM)
        server.content.free.set()
        assert worker.process.wait(30) == 0
    assert ids(server) == {first: 1}
    assert outbox.states() == [(True, False, 1, None), (False, False, 0, None)]


@pytest.mark.parametrize("step", ["greeted", "content"])
def test_a_server_that_is_slow_does_not_keep_a_worker_past_its_grace(
    outbox: Outbox, server: MailServer, tmp_path: Path, step: str
) -> None:
    outbox.queue()
    getattr(server, step).hold()
    with working(
        outbox.url, tmp_path / "log", **settings(server.url()), SHUTDOWN_GRACE="0"
    ) as worker:
        assert getattr(server, step).reached.wait(30)
        assert worker.end() == 0
    assert outbox.states() == [(False, False, 1, "SMTPServerDisconnected")]


# Several


def test_two_workers_send_each_of_a_hundred_mails_once(
    outbox: Outbox, server: MailServer, tmp_path: Path
) -> None:
    queued = {outbox.queue()[0] for _ in range(100)}
    with ExitStack() as stack:
        workers = [
            stack.enter_context(working(outbox.url, tmp_path / f"log{n}", **settings(server.url())))
            for n in range(2)
        ]
        for many in (25, 50, 75):
            until(lambda many=many: len(server.accepted) >= many)
        until(outbox.is_done)
        assert [worker.end() for worker in workers] == [0, 0]
        shares = [len(worker.said("a mail was sent")) for worker in workers]
    assert ids(server) == dict.fromkeys(queued, 1)
    assert sum(shares) == 100
    assert outbox.totals() == {"mails_sent": 100, "mails_retried": 0, "mails_given_up": 0}


@pytest.mark.slow
def test_a_worker_works_behind_a_pooler_that_shares_connections(
    outbox: Outbox, server: MailServer, tmp_path: Path
) -> None:
    need("pgbouncer")
    queued = {outbox.queue()[0] for _ in range(5)}
    with (
        PgBouncer(outbox.url, pool_size=1) as pooler,
        working(pooler.through(outbox.url), tmp_path / "log", **settings(server.url())) as worker,
    ):
        until(outbox.is_done)
        assert worker.end() == 0
    assert ids(server) == dict.fromkeys(queued, 1)


# When something is away


def test_a_worker_waits_for_its_database_and_says_so(
    outbox: Outbox, server: MailServer, tmp_path: Path
) -> None:
    with (
        Proxy(outbox.url) as proxy,
        working(proxy.url, tmp_path / "log", **settings(server.url())) as worker,
    ):
        proxy.refuse()
        until(lambda: worker.said("the worker waits for the database"))
        mail_id, _ = outbox.queue()
        proxy.accept()
        until(outbox.is_done)
        until(lambda: worker.said("the worker has the database again"))
        proxy.refuse()
        assert worker.end() == 0  # also while it is away
    assert ids(server) == {mail_id: 1}


def test_a_worker_starts_before_the_database_is_migrated(
    cluster: str, server: MailServer, tmp_path: Path
) -> None:
    with own_database(cluster) as url:
        with working(url, tmp_path / "log", **settings(server.url())) as worker:
            until(lambda: worker.said("run `flask db upgrade`"))
            migrate(url)
            outbox = Outbox(url)
            mail_id, _ = outbox.queue()
            until(outbox.is_done)
            assert worker.end() == 0
        assert ids(server) == {mail_id: 1}


def test_mails_wait_for_a_mail_server_that_is_away(
    outbox: Outbox, server: MailServer, tmp_path: Path
) -> None:
    server.refuse()
    queued = {outbox.queue()[0] for _ in range(3)}
    with working(outbox.url, tmp_path / "log", **settings(server.url())) as worker:
        until(lambda: [error for *_, error in outbox.states()] == ["ConnectionRefusedError"] * 3)
        server.accept()
        outbox.let_time_pass()
        until(outbox.is_done)
        assert worker.end() == 0
        assert {line["error"] for line in worker.said("a mail was retried")} == {
            "ConnectionRefusedError"
        }
    assert ids(server) == dict.fromkeys(queued, 1)


# Once


def run(outbox: Outbox, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`flask work` with these arguments, to its end."""
    application = create_app(settings_for(outbox.url, **environment))
    return application.test_cli_runner().invoke(args=["work", *arguments])


def test_once_does_what_is_due_and_ends(outbox: Outbox, server: MailServer) -> None:
    queued = {outbox.queue()[0] for _ in range(3)}
    outbox.ask("update jobs set next_at = now()")
    ended = run(outbox, "--once", **settings(server.url()))
    assert ended.exit_code == 0, ended.output
    assert ids(server) == dict.fromkeys(queued, 1)
    assert outbox.ask("select next_at > now() + interval '23 hours' from jobs") == [(True,)]


def test_once_tells_in_one_line_that_the_database_is_away() -> None:
    application = create_app(settings_for("postgresql://app:hidden@127.0.0.1:1/tasks"))
    ended = application.test_cli_runner().invoke(args=["work", "--once"])
    assert ended.exit_code == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "check DATABASE_URL" in ended.stderr
    assert "hidden" not in ended.stderr


# The daily purge


def test_one_of_several_workers_purges_a_day(outbox: Outbox, tmp_path: Path) -> None:
    outbox.ask("update jobs set next_at = now() - interval '3 days'")
    with ExitStack() as stack:
        workers = [stack.enter_context(working(outbox.url, tmp_path / f"log{n}")) for n in range(2)]
        until(lambda: outbox.ask("select 1 from jobs where next_at > now() + interval '23 hours'"))
        until(lambda: sum(len(worker.said("old rows were purged")) for worker in workers) == 1)
        assert [worker.end() for worker in workers] == [0, 0]
        told = [line for worker in workers for line in worker.said("old rows were purged")]
    assert len(told) == 1
    assert "tasks" in told[0]


def test_a_purge_that_ends_early_is_begun_again_an_hour_later(outbox: Outbox) -> None:
    outbox.ask("update jobs set next_at = now()")
    with outbox.app.app_context():
        assert jobs.purge_if_due(lambda: True) is not None
        assert jobs.purge_if_due(lambda: True) is None
    [(pause,)] = outbox.ask("select extract(epoch from next_at - now())::float from jobs")
    assert 3000 < pause <= 3600


# Health


def test_the_check_tells_whether_a_worker_of_this_host_runs(outbox: Outbox, tmp_path: Path) -> None:
    file = tmp_path / "log.health"
    checking = {"WORKER_HEALTH_FILE": str(file)}
    before = run(outbox, "--check", **checking)
    assert (before.exit_code, len(before.stderr.splitlines())) == (1, 1)
    with working(outbox.url, tmp_path / "log") as worker:
        until(file.exists)
        assert run(outbox, "--check", **checking).exit_code == 0
        worker.end(signal.SIGKILL)
    os.utime(file, (file.stat().st_mtime - 61,) * 2)  # a minute later
    assert run(outbox, "--check", **checking).exit_code == 1


def test_a_worker_in_a_long_conversation_is_well(
    outbox: Outbox, server: MailServer, tmp_path: Path
) -> None:
    outbox.queue()
    server.content.hold()
    with working(outbox.url, tmp_path / "log", **settings(server.url())):
        assert server.content.reached.wait(30)
        file = tmp_path / "log.health"
        os.utime(file, (file.stat().st_mtime - 180,) * 2)  # three minutes later
        assert heartbeat.is_alive(file)


def test_a_sign_of_life_is_not_written_through_a_link(tmp_path: Path) -> None:
    target, file = tmp_path / "target", tmp_path / "health"
    target.write_text("mine")
    file.symlink_to(target)
    heartbeat.beat(file)
    assert not file.is_symlink()
    assert target.read_text() == "mine"


def test_a_worker_whose_health_file_cannot_be_written_works_and_says_so(
    outbox: Outbox, server: MailServer, tmp_path: Path
) -> None:
    outbox.queue()
    nowhere = {"WORKER_HEALTH_FILE": str(tmp_path / "nowhere" / new_id())}
    with working(outbox.url, tmp_path / "log", **settings(server.url()), **nowhere) as worker:
        until(outbox.is_done)
        assert len(worker.said("cannot be written")) == 1


def test_a_worker_without_a_mail_server_in_production_says_so_and_sends_nothing(
    outbox: Outbox, tmp_path: Path
) -> None:
    outbox.queue()
    with working(outbox.url, tmp_path / "log", APP_ENV="production") as worker:
        until(lambda: worker.said("MAIL_URL is not set"))
        assert worker.end() == 0
    assert outbox.states() == [(False, False, 0, None)]


def test_the_procfile_starts_the_worker(outbox: Outbox) -> None:
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    asked = subprocess.run(
        [sys.executable, "-m", *lines["worker"].split(), "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": outbox.url, "FLASK_SKIP_DOTENV": "1"},
    )
    assert asked.returncode == 0, asked.stderr
    assert "--once" in asked.stdout
