"""Mails: as rows, as messages and as conversations with a mail server that has faults."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import literal, null, select

from app import create_app
from app.auth.mail_kinds import PURPOSES, MailKind, Purpose
from app.auth.mail_tokens import MailToken
from app.auth.outbox import draft, require_mail, told
from app.auth.refresh_tokens import RefreshToken
from app.core.config import ConfigurationError
from app.core.ids import new_id
from app.core.problems import Problem
from app.core.secrets import Keys, present
from app.db.base import gate
from app.db.run import execute
from app.db.scope import Role, Scope
from app.db.statement import Statement
from app.ops.mail import backlog, conversation, queries, templates
from app.ops.mail.delivery import Postman
from app.ops.mail.message import Composer, Mail
from app.ops.mail.templates import Template
from tests.conftest import SECRET, settings_for
from tests.databases import migrate, opened, own_database
from tests.outbox import PUBLIC_URL, Outbox, settings
from tests.rig.certificates import Authority
from tests.rig.programs import free_port
from tests.rig.proxy import Proxy
from tests.rig.smtp import USER, MailServer, identity, trusted
from tests.test_plans import touched

LINE_ENDS = ["\r", "\n", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
"""Whatever some program takes for the end of a line (Python, `str.splitlines`)."""


@pytest.fixture
def outbox(own_url: str) -> Iterator[Outbox]:
    made = Outbox(own_url)
    yield made
    made.clear()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def trusting(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The authority, which this process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", trusted(authority, tmp_path))
    return authority


def postman(outbox: Outbox, mail_url: str, **environment: str) -> Postman:
    """What a worker with these settings delivers with; needs an application context."""
    found = settings_for(outbox.url, **{**settings(mail_url), **environment})
    composer = Composer(found, templates.load(found), {present().id: present()})
    return Postman(found, composer, lambda: None, lambda: False)


def delivered(outbox: Outbox, mail_url: str, **environment: str) -> int:
    """How many mails are tried until none is due."""
    count = 0
    with outbox.app.app_context():
        working = postman(outbox, mail_url, **environment)
        while working.deliver_next():
            count += 1
    return count


# Rows


def test_neither_the_token_nor_its_hash_can_be_made_of_the_row_alone(outbox: Outbox) -> None:
    _, token = outbox.queue()
    [row] = outbox.ask("select * from mails")
    [(seed, key_id)] = outbox.ask("select seed, key_id from mails")
    assert token is not None
    stored = b"".join(
        bytes(each) if isinstance(each, memoryview) else str(each).encode() for each in row
    )
    assert token.owned.secret not in stored
    assert str(token).encode() not in stored
    right, wrong = Keys.derive(SECRET), Keys.derive(f"{SECRET}!")
    assert key_id == right.id
    derive = [
        MailToken.derive(outbox.user_id, MailKind.PASSWORD_RESET, bytes(seed), k)
        for k in (right, wrong)
    ]
    assert [each == token for each in derive] == [True, False]


def test_a_token_is_good_for_one_kind_of_mail() -> None:
    keys, seed, user_id = Keys.derive(SECRET), bytes(32), new_id()
    tokens = {MailToken.derive(user_id, kind, seed, keys).owned.secret for kind in PURPOSES}
    tokens.add(RefreshToken.derive(user_id, seed.hex(), keys).secret)
    assert len(tokens) == len(PURPOSES) + 1
    token = MailToken.derive(user_id, MailKind.INVITATION, seed, keys)
    assert MailToken.parse(str(token), Purpose.PASSWORD) == token
    assert MailToken.parse(f"{token}=", Purpose.PASSWORD) is None
    assert MailToken.parse(str(token), Purpose.ADDRESS) is None
    assert MailToken.parse(str(token.owned), Purpose.PASSWORD) is None


def test_a_mail_that_was_sent_has_no_seed_any_more(outbox: Outbox) -> None:
    outbox.queue()
    with MailServer() as server:
        assert delivered(outbox, server.url()) == 1
    assert outbox.ask("select seed, key_id from mails") == [(None, None)]


def test_a_mail_is_queued_for_ones_own_user_alone(outbox: Outbox) -> None:
    notice = Statement(
        select(null()).add_cte(told(select(literal("a@example.com").label("email"))))
    )
    with outbox.app.app_context():
        mail = draft(outbox.user_id, MailKind.PASSWORD_CHANGED)
        values = {**mail, "user_id": outbox.user_id}
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            execute(Scope(Role.AUTH, new_id()), notice, **values)
        assert outbox.states() == []
        execute(Scope(Role.AUTH, outbox.user_id), notice, **values)
    assert outbox.states() == [(False, False, 0, None)]


@pytest.mark.parametrize("role", [Role.APP, Role.AUTH, Role.MAINTENANCE])
def test_no_request_reads_the_outbox(outbox: Outbox, role: Role) -> None:
    outbox.queue()
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        outbox.ask(f"set role {role}; select recipient from mails")


@pytest.mark.parametrize(
    "statement",
    [
        "select from tasks",
        "select password_hash from users",
        "select name from users",
        "update users set email = null",
        "select token_hash from mail_tokens",
        "delete from mail_tokens",
        "insert into mail_tokens (user_id, token_hash, kind, email, expires_at)"
        " select id, sha256('x'), 'invitation', email, now() + interval '1 hour' from users",
        "insert into password_resets (email) values ('a@b')",
        "insert into mails (user_id, id, kind, recipient)"
        " select user_id, gen_random_uuid(), 'invitation', recipient from mails",
        "update mails set recipient = 'a@b'",
        "update mails set kind = 'invitation'",
        "delete from mails",
        "update jobs set name = 'x'",
        "delete from worker_totals",
    ],
)
def test_a_worker_may_do_nothing_else(outbox: Outbox, statement: str) -> None:
    outbox.queue()
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        outbox.ask(f"set role tasks_worker; {statement}")


def test_a_worker_does_not_touch_what_is_done(outbox: Outbox) -> None:
    outbox.queue()
    with MailServer() as server:
        delivered(outbox, server.url())
    again = "update mails set sent_at = null returning id"
    assert outbox.ask(f"set role tasks_worker; {again}") == []


def test_mails_are_claimed_oldest_first_and_each_by_one_worker(outbox: Outbox) -> None:
    ids = [outbox.queue()[0] for _ in range(3)]
    with outbox.app.app_context():
        claimed = [queries.claim() for _ in range(4)]
    assert [mail and mail.id for mail in claimed] == [*ids, None]
    [(least,)] = outbox.ask("select min(due_at - now()) from mails")
    assert least.total_seconds() > conversation.LONGEST_SECONDS + 60


def test_a_mail_that_somebody_else_is_claiming_holds_nobody_up(outbox: Outbox) -> None:
    first, second = (outbox.queue()[0] for _ in range(2))
    with opened(outbox.url) as other, outbox.app.app_context():
        other.execute("begin")
        row = (outbox.user_id, first)
        other.execute("select from mails where user_id = %s and id = %s for update", row)
        claimed = [queries.claim() for _ in range(2)]
        other.execute("rollback")
        claimed.append(queries.claim())
    assert [mail and mail.id for mail in claimed] == [second, None, first]


def test_mails_go_with_their_account_and_30_days_after_they_were_sent(outbox: Outbox) -> None:
    sent, given_up, waiting, young = (outbox.queue()[0] for _ in range(4))
    done = (
        "update mails set seed = null, key_id = null, {} = now() - interval '{} days' where id = %s"
    )
    outbox.ask(done.format("sent_at", 31), sent)
    outbox.ask(done.format("given_up_at", 31), given_up)
    outbox.ask(done.format("sent_at", 29), young)
    purge = outbox.app.test_cli_runner().invoke(args=["purge"])
    assert "mails: 2" in purge.output
    assert outbox.ask("select id::text from mails order by id") == [(waiting,), (young,)]
    outbox.ask("delete from users where id = %s", outbox.user_id)
    assert outbox.states() == []


def test_where_no_mail_is_sent_there_is_one_problem_that_says_so(own_url: str) -> None:
    production = {"APP_ENV": "production", "JWT_SECRET": SECRET}
    application = create_app(settings_for(own_url, **production))
    with application.app_context(), pytest.raises(Problem) as refused:
        require_mail()
    assert (refused.value.kind.slug, refused.value.kind.status) == ("mail-unavailable", 503)
    for more in ({}, {**production, **settings("smtps://mail.example.com")}):
        with create_app(settings_for(own_url, **more)).app_context():
            require_mail()


# Plans


def test_a_claim_and_a_scrape_read_little_among_many_mails(cluster: str) -> None:
    with own_database(cluster) as url:
        migrate(url)
        outbox = Outbox(url)
        outbox.ask(
            "insert into mails (user_id, id, kind, recipient, due_at, sent_at)"
            " select %s, gen_random_uuid(), 'password_changed', 'a@example.com',"
            " now() - n * interval '1 second', case when n %% 3 > 0 then now() end"
            " from generate_series(1, 30000) n",
            outbox.user_id,
        )
        outbox.ask("analyze mails")
        scope = queries.WORKER.prefix(5000)

        def planned(statement: str) -> str:
            lines = outbox.ask(f"{scope} explain (analyze, buffers, timing off) {statement}")
            return "\n".join(line for (line,) in lines)

        find = queries.DUE.sql.replace("%(most)s", str(queries.MOST_TRIED))
        plan = planned(find)
        some = rf"Index Scan using ix_mails_due_at .*rows={queries.MOST_TRIED}(\.00)? loops=1\)"
        assert re.search(some, plan), plan
        assert "Rows Removed" not in plan, plan
        assert touched(plan) < 60, plan
        # The statistics are of before: nothing waits any more.
        outbox.ask("update mails set sent_at = now() where sent_at is null")
        for statement in (find, backlog.QUERY):
            plan = planned(statement)
            assert "Seq Scan on mails" not in plan, plan
            assert "ix_mails_due_at" in plan, plan
        purge = (
            "set role tasks_maintenance; explain select user_id, id from mails"
            " where coalesce(sent_at, given_up_at) < now() - interval '30 days' limit 1000"
        )
        plan = "\n".join(line for (line,) in outbox.ask(purge))
        assert "ix_mails_done_at" in plan, plan


# Messages


def composer(environment: dict[str, str]) -> Composer:
    found = settings_for(
        "postgresql://127.0.0.1:1/none", **settings("smtps://m.example.com"), **environment
    )
    keys = Keys.derive(SECRET)
    return Composer(found, templates.load(found), {keys.id: keys})


def a_mail(
    kind: str = "password_reset", recipient: str = "grace@example.org", **changes: Any
) -> Mail:
    keys = Keys.derive(SECRET)
    linked = MailKind(kind).purpose is not None
    mail = Mail(
        user_id="01a20136-8072-734b-8b75-f9fe92e011b8",
        id="01a20143-bdfb-7408-bd6a-1758e2b70195",
        kind=kind,
        recipient=recipient,
        seed=bytes(32) if linked else None,
        key_id=keys.id if linked else None,
        created_at=datetime(2026, 11, 29, 12, 0, tzinfo=UTC),
        attempts=1,
        expired=False,
    )
    return mail._replace(**changes)


@pytest.mark.parametrize("kind", MailKind)
def test_every_kind_of_mail_makes_a_message_that_says_who_it_is_for(kind: MailKind) -> None:
    message = composer({}).compose(a_mail(kind))
    assert message["From"] == '"Tasks, by Example" <tasks@example.com>'
    assert message["To"] == "grace@example.org"
    assert message["Message-ID"] == "<01a20143-bdfb-7408-bd6a-1758e2b70195@example.com>"
    assert message["Date"] == "Sun, 29 Nov 2026 12:00:00 +0000"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    text = message.get_content()
    assert "Tasks, by Example" in message["Subject"] + text
    assert ("{" in text, f"{PUBLIC_URL}?token=" in text) == (False, kind.purpose is not None)
    assert "grace@example.org" in text


def test_a_message_is_the_same_each_time_it_is_made() -> None:
    assert composer({}).compose(a_mail()).as_bytes() == composer({}).compose(a_mail()).as_bytes()


def test_every_line_of_a_message_is_short_and_ascii(tmp_path: Path) -> None:
    text = "Grüße von {app}\n\n" + "ä" * 5000 + " {link}\n.\nFrom here\n"
    (tmp_path / "password_reset.txt").write_text(text, encoding="utf-8")
    message = composer({"MAIL_TEXTS": str(tmp_path)}).compose(a_mail())
    raw = message.as_bytes()
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    assert message["Subject"] == "Grüße von Tasks, by Example"
    assert "ä" * 5000 in message.get_content()


@pytest.mark.parametrize("kind", MailKind)
@pytest.mark.parametrize("end", LINE_ENDS, ids=ascii)
@pytest.mark.parametrize(
    "place",
    ["a{}@example.org", "a@example.org{}", "{}a@example.org", "a@example.org{}Bcc: b@example.org"],
)
def test_no_recipient_adds_a_line(kind: MailKind, end: str, place: str) -> None:
    with pytest.raises(ValueError, match="address"):
        composer({}).compose(a_mail(kind, place.format(end)))


@pytest.mark.parametrize("end", LINE_ENDS, ids=ascii)
@pytest.mark.parametrize("name", sorted(templates.NAMES))
def test_no_value_adds_a_line_to_subject_or_text(name: str, end: str) -> None:
    values = {"app": "Tasks", "email": "a@example.org", "link": PUBLIC_URL}
    template = Template.parse("{app} {email} {link}\n\n{app} {email} {link}\n", templates.NAMES)
    assert template.filled(**values)
    with pytest.raises(ValueError, match="control"):
        template.filled(**{**values, name: f"{values[name]}{end}Bcc: b@example.org"})


@pytest.mark.parametrize("end", LINE_ENDS, ids=ascii)
def test_no_setting_adds_a_line(end: str) -> None:
    for variable in ("MAIL_FROM", "PUBLIC_URL", "MAIL_URL"):
        whole = settings("smtps://mail.example.com")
        for text in (f"{whole[variable]}{end}x", f"a{end}{whole[variable]}"):
            with pytest.raises(ConfigurationError, match=f"{variable} expects"):
                settings_for("postgresql://127.0.0.1:1/none", **{**whole, variable: text})


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "a",
        "a b@example.org",
        "a@b@c",
        "<a@example.org>",
        "a@example.org,b@example.org",
        "ä@example.org",
        f"{'a' * 250}@example.org",
    ],
)
def test_what_is_no_address_is_written_to_nobody(recipient: str) -> None:
    with pytest.raises(ValueError, match="address"):
        composer({}).compose(a_mail(recipient=recipient))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("Only a subject\n", "needs a subject"),
        ("", "needs a subject"),
        ("Subject\n\n{password}\n", "{password} is none of app, email, link"),
        ("Subject\n\n{link.__class__}\n", "{link.__class__} is none of"),
        ("Subject\n\n{link!r}\n", "{link} is none of"),
        ("Subject\n\n{link:>9}\n", "{link} is none of"),
        ("Subject\n\n{}\n", "{} is none of"),
        ("Subject\n\n{link\n", "expected '}'"),
        ("Sub\x85ject\n\ntext\n", "control character"),
    ],
)  # fmt: skip
def test_a_text_that_cannot_be_used_stops_the_worker_with_one_line(
    own_url: str, tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "password_reset.txt").write_text(content, encoding="utf-8")
    application = create_app(settings_for(own_url, MAIL_TEXTS=str(tmp_path)))
    ended = application.test_cli_runner().invoke(args=["work", "--once"])
    assert ended.exit_code == 4
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith(f"Configuration: MAIL_TEXTS: {tmp_path}/password_reset.txt")
    assert said in ended.stderr


def test_a_text_without_a_link_cannot_ask_for_one(tmp_path: Path) -> None:
    (tmp_path / "password_changed.txt").write_text("Subject\n\n{link}\n")
    with pytest.raises(ConfigurationError, match="none of app, email"):
        composer({"MAIL_TEXTS": str(tmp_path)})


# Conversations


def test_a_mail_is_sent_with_its_link_and_counted(outbox: Outbox) -> None:
    mail_id, token = outbox.queue("Grace.Hopper+tasks@example.org")
    with MailServer() as server:
        assert delivered(outbox, server.url()) == 1
    [message] = server.accepted
    assert server.recipients == ["Grace.Hopper+tasks@example.org"]
    assert message["Message-ID"] == f"<{mail_id}@example.com>"
    assert f"\n{PUBLIC_URL}?token={token}\n" in message.get_content()
    assert outbox.states() == [(True, False, 1, None)]
    assert outbox.totals()["mails_sent"] == 1


@pytest.mark.parametrize("implicit", [False, True])
def test_mails_go_by_tls_with_a_password(
    outbox: Outbox, trusting: Authority, implicit: bool
) -> None:
    outbox.queue()
    with MailServer(identity(trusting), implicit=implicit) as server:
        assert delivered(outbox, server.url("localhost")) == 1
        assert server.users == [USER]
    assert len(server.accepted) == 1


def test_a_name_that_the_certificate_lacks_is_not_spoken_to(
    outbox: Outbox, trusting: Authority
) -> None:
    for implicit in (False, True):
        outbox.queue()
        with MailServer(identity(trusting, "mail.example.net"), implicit=implicit) as server:
            delivered(outbox, server.url("localhost"))
            assert (server.accepted, server.asked, server.users) == ([], 0, [])
    assert outbox.states() == [(False, False, 1, "SSLCertVerificationError")] * 2


def test_an_authority_that_is_not_trusted_is_not_believed(outbox: Outbox) -> None:
    outbox.queue()
    with MailServer(identity(Authority())) as server:
        delivered(outbox, server.url("localhost"))
        assert (server.accepted, server.users) == ([], [])
    assert outbox.states() == [(False, False, 1, "SSLCertVerificationError")]


def test_without_starttls_nothing_is_said_in_plain_text(
    outbox: Outbox, trusting: Authority
) -> None:
    outbox.queue()
    with MailServer() as server:
        stripped = f"smtp+starttls://{USER}:hidden@localhost:{server.port}"
        delivered(outbox, stripped)
        assert (server.accepted, server.asked, server.users) == ([], 0, [])
    assert outbox.states() == [(False, False, 1, "SMTPNotSupportedError")]


def test_a_wrong_password_gives_no_mail_up(outbox: Outbox, trusting: Authority) -> None:
    outbox.queue()
    with MailServer(identity(trusting)) as server:
        delivered(outbox, server.url("localhost").replace("pass", "wrong"))
        assert outbox.states() == [(False, False, 1, "SMTPAuthenticationError 535")]
        outbox.let_time_pass()
        delivered(outbox, server.url("localhost"))
    assert outbox.states() == [(True, False, 2, None)]


def test_a_greylisted_mail_is_tried_again(outbox: Outbox) -> None:
    outbox.queue()
    with MailServer() as server:
        server.faults.recipient = lambda n: "451 come back later" if n == 1 else ""
        assert delivered(outbox, server.url()) == 1
        assert outbox.states() == [(False, False, 1, "SMTPRecipientsRefused 451")]
        outbox.let_time_pass()
        assert delivered(outbox, server.url()) == 1
    assert len(server.accepted) == 1
    assert outbox.totals() == {"mails_sent": 1, "mails_retried": 1, "mails_given_up": 0}


@pytest.mark.parametrize("where", ["recipient", "content"])
def test_a_mail_that_is_refused_for_good_is_given_up_at_once(outbox: Outbox, where: str) -> None:
    outbox.queue()
    with MailServer() as server:
        setattr(server.faults, where, lambda _: "550 grace@example.org is unknown")
        assert delivered(outbox, server.url()) == 1
        outbox.let_time_pass()
        assert delivered(outbox, server.url()) == 0
    kinds = {"recipient": "SMTPRecipientsRefused 550", "content": "SMTPDataError 550"}
    assert outbox.states() == [(False, True, 1, kinds[where])]
    assert outbox.totals()["mails_given_up"] == 1
    assert outbox.ask("select seed from mails") == [(None,)]


def test_a_server_that_is_away_costs_an_attempt(outbox: Outbox) -> None:
    outbox.queue()
    assert delivered(outbox, f"smtp://127.0.0.1:{free_port()}") == 1
    assert outbox.states() == [(False, False, 1, "ConnectionRefusedError")]


def test_a_connection_that_is_cut_within_the_content_costs_an_attempt(outbox: Outbox) -> None:
    outbox.queue()
    with MailServer() as server, Proxy(server.url()) as proxy:
        proxy.faults.cut_within = b"Auto-Submitted"
        assert delivered(outbox, f"smtp://127.0.0.1:{proxy.port}") == 1
        assert server.accepted == []
        assert outbox.states() == [(False, False, 1, "SMTPServerDisconnected")]
        proxy.faults.cut_within = b""
        outbox.let_time_pass()
        assert delivered(outbox, f"smtp://127.0.0.1:{proxy.port}") == 1
    assert len(server.accepted) == 1


@pytest.mark.parametrize("step", ["greeted", "addressed", "content"])
def test_a_server_that_does_not_answer_is_left_when_the_time_is_up(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(conversation, "LONGEST_SECONDS", 0.3)
    outbox.queue()
    with MailServer() as server:
        getattr(server, step).hold()
        assert delivered(outbox, server.url()) == 1
        assert server.accepted == []
    assert outbox.states() == [(False, False, 1, "SMTPServerDisconnected")]


def test_a_server_that_takes_no_connection_is_left_when_the_time_is_up(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, trusting: Authority
) -> None:
    monkeypatch.setattr(conversation, "LONGEST_SECONDS", 0.3)
    monkeypatch.setattr(conversation, "AGAIN_SECONDS", 0.1)
    outbox.queue()
    with socket.create_server(("127.0.0.1", 0), backlog=1) as silent:
        port = silent.getsockname()[1]
        assert delivered(outbox, f"smtps://127.0.0.1:{port}") == 1
    assert outbox.states() == [(False, False, 1, "TimeoutError")]


def talking(listener: socket.socket, lines: Callable[[], bytes]) -> None:
    """Take one connection, and say these lines to it until it is closed."""
    connection, _ = listener.accept()
    with connection:
        try:
            while True:
                connection.sendall(lines())
        except OSError:
            return


@pytest.mark.parametrize("line", [b"220-more\r\n", b"x" * 4000 + b"\r\n", b"\r\n", b"x"])
def test_a_server_that_talks_without_end_is_left(outbox: Outbox, line: bytes) -> None:
    outbox.queue()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        talker = threading.Thread(target=talking, args=(listener, lambda: line))
        talker.start()
        delivered(outbox, f"smtp://127.0.0.1:{listener.getsockname()[1]}")
        talker.join(30)
        assert not talker.is_alive()
    [(sent, given_up, attempts, error)] = outbox.states()
    assert (sent, given_up, attempts) == (False, False, 1)
    assert error


def test_the_pauses_grow_and_end_a_day_after_the_mail_was_made(outbox: Outbox) -> None:
    outbox.queue()
    away = f"smtp://127.0.0.1:{free_port()}"
    pauses = []
    for _ in range(6):
        outbox.let_time_pass()
        delivered(outbox, away)
        [(pause,)] = outbox.ask("select extract(epoch from due_at - now())::float from mails")
        pauses.append(pause)
    for pause, expected in zip(pauses, [60, 300, 900, 3600, 3600, 3600], strict=True):
        assert 0.85 * expected < pause < 1.1 * expected
    outbox.ask("update mails set send_until = now() + interval '30 minutes'")
    outbox.let_time_pass()
    delivered(outbox, away)
    assert outbox.states() == [(False, True, 7, "ConnectionRefusedError")]
    assert outbox.totals() == {"mails_sent": 0, "mails_retried": 6, "mails_given_up": 1}


def test_a_mail_of_the_day_before_is_not_sent(outbox: Outbox) -> None:
    outbox.queue()
    outbox.ask("update mails set send_until = now() - interval '1 hour'")
    with MailServer() as server:
        delivered(outbox, server.url())
        assert server.accepted == []
    assert outbox.states() == [(False, True, 1, "Expired")]


def test_a_mail_of_another_secret_waits_for_a_worker_that_knows_it(outbox: Outbox) -> None:
    outbox.queue()
    outbox.ask("update mails set key_id = 'another'")
    with MailServer() as server:
        delivered(outbox, server.url())
        assert outbox.states() == [(False, False, 1, "UnknownKey")]


def test_a_mail_to_what_is_no_address_is_given_up(outbox: Outbox) -> None:
    outbox.queue("a b@example.org")
    with MailServer() as server:
        delivered(outbox, server.url())
        assert server.asked == 0
    assert outbox.states() == [(False, True, 1, "Unfit")]


def test_in_development_a_mail_is_logged_with_its_link(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    _, token = outbox.queue()
    assert delivered(outbox, "", PORT="8123", PUBLIC_URL="") == 1
    [record] = [each for each in caplog.records if "is logged" in each.message]
    assert record.fields["link"] == f"http://127.0.0.1:8123?token={token}"
    assert outbox.states() == [(True, False, 1, None)]


def test_no_log_and_no_row_names_the_recipient_or_what_the_server_said(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    for answer in ("550 grace@example.org: hidden", "451 grace@example.org: hidden", ""):
        outbox.queue()
        with MailServer() as server:
            server.faults.recipient = lambda _, answer=answer: answer
            delivered(outbox, server.url())
    assert len(caplog.records) == 3
    told = caplog.text + str([record.fields for record in caplog.records])
    told += str(outbox.ask("select last_error from mails"))
    assert "grace" not in told
    assert "hidden" not in told
    assert "token" not in told


def test_no_connection_is_held_while_the_server_is_spoken_to(outbox: Outbox) -> None:
    outbox.queue()
    with MailServer() as server:
        with outbox.app.app_context():
            pool = gate().pool
        held: list[int] = []
        server.faults.recipient = lambda _: held.append(pool.checkedout()) or ""  # type: ignore[func-returns-value]
        delivered(outbox, server.url())
    assert held == [0]


def test_an_accepted_mail_is_recorded_later_if_the_database_fails_meanwhile(
    outbox: Outbox, cluster: str
) -> None:
    outbox.queue()
    with MailServer() as server, Proxy(outbox.url) as proxy:
        application = create_app(settings_for(proxy.url))
        away = Outbox.__new__(Outbox)
        away.__dict__ |= {**outbox.__dict__, "app": application, "url": proxy.url}
        server.faults.on_content = proxy.refuse
        with application.app_context():
            working = postman(away, server.url())
            with pytest.raises(Problem):
                working.deliver_next()
            assert len(server.accepted) == 1
            with pytest.raises(Problem):
                working.deliver_next()
            proxy.accept()
            outbox.let_time_pass()
            assert not working.deliver_next()  # it is recorded before another is claimed
    assert len(server.accepted) == 1
    assert outbox.states() == [(True, False, 1, None)]


def test_a_mail_claimed_just_before_the_end_is_left_to_another(outbox: Outbox) -> None:
    outbox.queue()
    with MailServer() as server, outbox.app.app_context():
        ending = postman(outbox, server.url())
        ending.is_stopping = lambda: True
        assert ending.deliver_next()
        assert (server.accepted, server.asked) == ([], 0)
        assert outbox.states() == [(False, False, 1, "Stopped")]
        assert delivered(outbox, server.url()) == 1  # at once
        assert len(server.accepted) == 1


def test_a_message_with_dots_and_an_own_text_arrives_as_it_was(
    outbox: Outbox, tmp_path: Path
) -> None:
    (tmp_path / "password_reset.txt").write_text("Hello\n\n.\n..two\n{{link}}: {link}&page=reset\n")
    _, token = outbox.queue()
    with MailServer() as server:
        delivered(outbox, server.url(), MAIL_TEXTS=str(tmp_path))
    [message] = server.accepted
    assert isinstance(message, EmailMessage)
    lines = message.get_content().splitlines()
    assert lines == [".", "..two", f"{{link}}: {PUBLIC_URL}?token={token}&page=reset"]
