"""How passwords are hashed, what a wrong one takes, and how old hashes are renewed."""

from collections.abc import Callable
from typing import Any
from unicodedata import normalize

import pytest
from apiflask import APIFlask
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type
from psycopg2.errors import InsufficientPrivilege, QueryCanceled
from werkzeug.security import generate_password_hash

from app.api.users import queries
from app.auth import passwords
from app.core import places
from app.core.places import hashes_at_once
from app.core.problem_kinds import DATABASE_UNAVAILABLE
from app.core.problems import Problem
from tests.conftest import PASSWORD, Account, sending
from tests.people import CHEAP_HASH, give_hash, sign_in

pytestmark = pytest.mark.costly

SENT, OTHERWISE = "Ünïcödé ①２ﬁ", normalize("NFD", "Ünïcödé ①２ﬁ")
CHEAP_SCRYPT = "scrypt:128:8:1"
TYPICAL_SCRYPT = "scrypt:32768:8:1"

StoredHash = Callable[[Account], str]


@pytest.fixture
def stored_hash(connection: Any) -> StoredHash:
    """Reads the hash that is stored for an account."""

    def read(account: Account) -> str:
        with connection.cursor() as cursor:
            cursor.execute("select password_hash from users where id = %s", (account.user_id,))
            [(password_hash,)] = cursor.fetchall()
            assert isinstance(password_hash, str)
            return password_hash

    return read


def is_renewed(password_hash: str) -> bool:
    return password_hash.startswith("$argon2id$") and not passwords.HASHER.check_needs_rehash(
        password_hash
    )


# Argon2id


def test_the_costs_are_at_least_what_owasp_asks_for() -> None:
    hasher = passwords.HASHER
    assert (hasher.type, hasher.parallelism) == (Type.ID, 1)
    assert hasher.memory_cost >= 19 * 1024
    assert hasher.time_cost >= 2


def test_the_memory_of_a_hash_is_a_block_that_glibc_returns() -> None:
    assert passwords.HASHER.memory_cost >= 32 * 1024


def test_the_hash_for_nobody_is_as_hard_as_that_of_a_new_account(app: APIFlask) -> None:
    with app.app_context():
        made = passwords.generate_password_hash(PASSWORD)
    nobody = passwords.NOBODY[0]
    assert extract_parameters(nobody) == extract_parameters(made)
    assert is_renewed(nobody)


def test_the_old_hash_for_nobody_is_as_hard_as_that_of_an_old_account() -> None:
    old, nobody = generate_password_hash(PASSWORD), passwords.NOBODY[1]
    assert nobody.split("$")[0] == old.split("$")[0] == TYPICAL_SCRYPT
    assert len(nobody.split("$")[2]) == len(old.split("$")[2])


@pytest.mark.parametrize(
    ("cores", "threads", "processes", "most"),
    [(2, 4, 2, 1), (2, 4, 1, 2), (8, 4, 2, 2), (8, 16, 2, 4), (1, 4, 2, 1), (4, 1, 1, 1)],
)
def test_no_more_passwords_are_hashed_at_once_than_there_are_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int, processes: int, most: int
) -> None:
    monkeypatch.setattr(places.os, "sched_getaffinity", lambda _: range(cores), raising=False)
    assert hashes_at_once(threads, processes) == most


def test_where_no_system_tells_which_cores_are_its_own_all_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(places.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(places.os, "cpu_count", lambda: 2)
    assert hashes_at_once(4, 1) == 2
    monkeypatch.setattr(places.os, "cpu_count", lambda: None)
    assert hashes_at_once(4, 1) == 1


# What a failure takes


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """With what costs, and of what, hashes are computed meanwhile; all of them differ."""
    done: list[tuple[str, str]] = []

    class Noting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Any:
            done.append((str(hash).rsplit("$", 2)[0], str(password)))
            return False

    def note(password_hash: str, password: str) -> bool:
        if password_hash.count("$") == 2:
            done.append((password_hash.split("$")[0], password))
        return False

    monkeypatch.setattr(passwords, "HASHER", Noting(2, 32 * 1024, 1))
    monkeypatch.setattr(passwords.security, "check_password_hash", note)
    return done


@pytest.mark.parametrize("password", ["plain letters", OTHERWISE])
def test_a_failure_takes_the_same_hashes_whatever_account_there_is(
    app: APIFlask, password: str, work: list[tuple[str, str]]
) -> None:
    everyone = (
        None,
        "none",
        passwords.HASHER.hash(PASSWORD),
        generate_password_hash(PASSWORD, CHEAP_SCRYPT).replace(CHEAP_SCRYPT, TYPICAL_SCRYPT),
    )
    done = []
    for stored in everyone:
        work.clear()
        with app.app_context():
            assert not passwords.check_password_hash(stored, password).is_right
        done.append(sorted(work))
    forms = sorted({normalize("NFKC", password), password})
    argon2id = ("$argon2id$v=19$m=32768,t=2,p=1", normalize("NFKC", password))
    assert done == [[argon2id, *((TYPICAL_SCRYPT, form) for form in forms)]] * 4


def test_a_right_password_takes_one_hash_where_none_is_outdated(
    app: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = passwords.HASHER.hash(PASSWORD)
    monkeypatch.delattr(passwords, "NOBODY")
    monkeypatch.delattr(passwords.security, "check_password_hash")
    with app.app_context():
        assert passwords.check_password_hash(stored, PASSWORD) == (True, None)


@pytest.mark.parametrize("stored", ["none", "", "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$$"])
def test_what_is_no_hash_is_matched_by_no_password(
    app: APIFlask, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "NOBODY", ())
    with app.app_context():
        for password in (stored, "", PASSWORD):
            assert passwords.check_password_hash(stored, password) == (False, None)


# Renewal

OUTDATED = {
    "scrypt of NFKC": generate_password_hash(normalize("NFKC", SENT), CHEAP_SCRYPT),
    "scrypt as sent": generate_password_hash(OTHERWISE, CHEAP_SCRYPT),
    "less memory": PasswordHasher(2, 64, 1).hash(normalize("NFKC", SENT)),
    "fewer passes": PasswordHasher(1, 32 * 1024, 1).hash(normalize("NFKC", SENT)),
    "argon2i": PasswordHasher(2, 32 * 1024, 1, type=Type.I).hash(normalize("NFKC", SENT)),
}


@pytest.mark.parametrize("outdated", OUTDATED)
def test_an_outdated_hash_is_renewed_when_its_user_signs_in(
    alice: Account, connection: Any, stored_hash: StoredHash, outdated: str
) -> None:
    give_hash(connection, OUTDATED[outdated], alice)
    before = alice.get("/v1/me")
    assert sign_in(alice.client, alice.email, OTHERWISE).status_code == 200
    renewed = stored_hash(alice)
    assert is_renewed(renewed)
    for form in (SENT, OTHERWISE, normalize("NFKC", SENT)):
        assert sign_in(alice.client, alice.email, form).status_code == 200
    assert sign_in(alice.client, alice.email, SENT.lower()).status_code == 401
    assert stored_hash(alice) == renewed
    after = alice.get("/v1/me")
    assert (after.json, after.headers["ETag"]) == (before.json, before.headers["ETag"])


def test_a_present_hash_is_not_renewed_nor_asked_for(
    alice: Account, connection: Any, stored_hash: StoredHash, sql: Callable[[], Any]
) -> None:
    present = passwords.HASHER.hash(PASSWORD)
    give_hash(connection, present, alice)
    with sql() as sent:
        assert sign_in(alice.client, alice.email).status_code == 200
    assert len(sent) == 2
    assert stored_hash(alice) == present


def test_a_wrong_password_renews_nothing(
    alice: Account, connection: Any, stored_hash: StoredHash
) -> None:
    give_hash(connection, CHEAP_HASH, alice)
    assert sign_in(alice.client, alice.email, f"{PASSWORD}x").status_code == 401
    assert stored_hash(alice) == CHEAP_HASH


def test_a_renewal_concerns_one_account_alone(
    alice: Account, bob: Account, connection: Any, stored_hash: StoredHash
) -> None:
    give_hash(connection, CHEAP_HASH, alice, bob)
    assert sign_in(alice.client, alice.email).status_code == 200
    assert is_renewed(stored_hash(alice))
    assert stored_hash(bob) == CHEAP_HASH


def renewing(text: str) -> bool:
    return "SET password_hash" in text


def test_a_password_that_was_changed_meanwhile_stays_changed(
    app: APIFlask, alice: Account, connection: Any, stored_hash: StoredHash
) -> None:
    changed = passwords.HASHER.hash("another password")
    give_hash(connection, CHEAP_HASH, alice)

    def change_first(text: str) -> str:
        if renewing(text):
            give_hash(connection, changed, alice)
        return text

    with sending(app, change_first):
        assert sign_in(alice.client, alice.email).status_code == 200
    assert stored_hash(alice) == changed
    assert sign_in(alice.client, alice.email, "another password").status_code == 200


def test_a_renewal_does_not_wait_for_the_users_other_writes(
    alice: Account, connection: Any, stored_hash: StoredHash
) -> None:
    give_hash(connection, CHEAP_HASH, alice)
    with connection.cursor() as cursor:
        cursor.execute("begin")
        lock = "select from users where id = %s for no key update"
        cursor.execute(lock, (alice.user_id,))
        try:
            answer = sign_in(alice.client, alice.email)
        finally:
            cursor.execute("rollback")
    assert answer.status_code == 200
    assert stored_hash(alice) == CHEAP_HASH
    assert sign_in(alice.client, alice.email).status_code == 200
    assert is_renewed(stored_hash(alice))


@pytest.mark.parametrize("failure", [Problem(DATABASE_UNAVAILABLE), QueryCanceled()])
def test_a_sign_in_succeeds_where_the_renewal_fails(
    alice: Account,
    connection: Any,
    stored_hash: StoredHash,
    failure: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise failure

    give_hash(connection, CHEAP_HASH, alice)
    with monkeypatch.context() as patched:
        patched.setattr(queries, "renew_password_hash", fail)
        answer = sign_in(alice.client, alice.email)
    logged = capsys.readouterr().out
    assert logged.count(f"a password hash was not renewed ({type(failure).__name__})") == 1
    assert "$argon2" not in logged
    me = alice._replace(token=answer.json["access_token"]).get("/v1/me")
    assert me.json["id"] == alice.user_id
    assert stored_hash(alice) == CHEAP_HASH
    assert sign_in(alice.client, alice.email).status_code == 200
    assert is_renewed(stored_hash(alice))


def test_a_sign_in_succeeds_where_the_right_to_renew_was_not_given_yet(
    alice: Account, connection: Any, stored_hash: StoredHash, capsys: pytest.CaptureFixture[str]
) -> None:
    give_hash(connection, CHEAP_HASH, alice)
    with connection.cursor() as cursor:
        cursor.execute("revoke update (password_hash) on users from tasks_auth")
        try:
            assert sign_in(alice.client, alice.email).status_code == 200
        finally:
            cursor.execute("grant update (password_hash) on users to tasks_auth")
    assert InsufficientPrivilege.__name__ in capsys.readouterr().out
    assert stored_hash(alice) == CHEAP_HASH
