"""The directory of sign-in addresses says what the users' rows say, whatever was done.

All is done twice: as on one server, and without the index and the triggers that a cluster lacks.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import psycopg2
import pytest
from apiflask import APIFlask
from click import ClickException
from flask.testing import FlaskClient

from app import create_app
from app.core.ids import new_id
from tests.conftest import CHEAP_HASH, PASSWORD, Account, insert_user, settings_for
from tests.databases import migrate, migrate_down, opened, own_database
from tests.locks import until, waiting
from tests.mailbox import Mailbox
from tests.parallel import at_once
from tests.people import disable, session, sign_in
from tests.test_links import NEW, change_email, choose, confirm, is_useless, register

DIFFERENCES = """
(select lower(email), id from users where email is not null
    except select address, user_id from sign_in_addresses)
union all
(select address, user_id from sign_in_addresses
    except select lower(email), id from users where email is not null)
"""
AS_ON_A_CLUSTER = """
drop index uq_users_email;
drop trigger take_address on users;
drop trigger give_address_up on users;
"""


class Service(NamedTuple):
    """An application on a database of its own, and a superuser's connection to that."""

    app: APIFlask
    confirming: APIFlask
    connection: Any

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    def ask(self, question: str, *parameters: object) -> list[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(question, parameters)
            return cursor.fetchall() if cursor.description else []

    def user(self, email: str | None = None) -> Account:
        user_id = new_id()
        email = email or f"{user_id}@example.com"
        with self.connection.cursor() as cursor:
            insert_user(cursor, user_id, email, CHEAP_HASH)
        token = self.app.extensions["token_verifier"].issue(user_id)
        return Account(user_id, email, token, self.client)

    def mail(self, address: str) -> Mailbox:
        return Mailbox(self.app, self.connection, address)

    def run(self, *arguments: str) -> Any:
        return self.app.test_cli_runner().invoke(args=arguments)

    def finds(self, email: str) -> list[str]:
        """Whom the directory has for an address."""
        sql = "select user_id::text from sign_in_addresses where address = %s"
        return [user_id for (user_id,) in self.ask(sql, email.lower())]


def served(url: str, connection: Any) -> Service:
    confirming = settings_for(url, REGISTRATION="confirmed")
    patient = settings_for(url, DB_POOL_TIMEOUT="60", DB_STATEMENT_TIMEOUT="60")
    return Service(create_app(patient), create_app(confirming), connection)


@pytest.fixture(scope="module", params=["one server", "as on a cluster"])
def serving(
    request: pytest.FixtureRequest, cluster: str, pytestconfig: pytest.Config
) -> Iterator[Service]:
    if pytestconfig.getoption("cluster"):
        url = request.getfixturevalue("database_url")
        with opened(url) as cursor:
            yield served(url, cursor.connection)
        return
    with own_database(cluster) as url:
        migrate(url)
        with opened(url) as cursor:
            if request.param == "as on a cluster":
                cursor.execute(AS_ON_A_CLUSTER)
            yield served(url, cursor.connection)


@pytest.fixture
def service(serving: Service) -> Iterator[Service]:
    """What every test of this module leaves: a directory that is right.

    But for what other tests did in the database of a cluster, which they share.
    """
    before = set(serving.ask(DIFFERENCES))
    yield serving
    assert set(serving.ask(DIFFERENCES)) == before


@pytest.fixture
def email() -> str:
    return f"{new_id()}@Example.com"


# Registration


def test_whoever_registers_is_found_in_any_letter_case(service: Service, email: str) -> None:
    made = register(service.client, email)
    assert made.status_code == 201, made.text
    assert service.finds(email) == [made.json["id"]]
    assert sign_in(service.client, email.upper()).status_code == 200


def test_an_address_is_registered_once(service: Service, email: str) -> None:
    first = register(service.client, email)
    taken = register(service.client, email.upper())
    assert (taken.status_code, taken.json["type"]) == (409, "/problems/conflict")
    assert service.finds(email) == [first.json["id"]]
    assert service.ask("select count(*) from users where lower(email) = lower(%s)", email) == [(1,)]


def test_of_many_who_register_an_address_at_once_one_has_it(service: Service, email: str) -> None:
    def ask() -> int:
        return register(service.client, email).status_code

    assert sorted(at_once([ask] * 4)) == [201, 409, 409, 409]
    assert service.ask("select count(*) from users where lower(email) = lower(%s)", email) == [(1,)]


def test_a_registration_with_a_key_is_answered_again(service: Service, email: str) -> None:
    key = {"Idempotency-Key": new_id()}
    body = {"email": email, "password": PASSWORD}
    answers = [service.client.post("/v1/auth/register", json=body, headers=key) for _ in range(2)]
    assert [each.status_code for each in answers] == [201, 201]
    assert answers[0].json == answers[1].json


def test_an_account_that_is_prepared_has_its_address_once_it_is_confirmed(
    service: Service, email: str
) -> None:
    assert register(service.confirming.test_client(), email).status_code == 202
    assert service.finds(email) == []
    for _ in range(2):
        assert confirm(service.client, service.mail(email).token).status_code == 204
    assert sign_in(service.client, email).status_code == 200


def test_one_who_is_invited_has_the_address_once_a_password_is_chosen(
    service: Service, email: str
) -> None:
    invited = service.run("users", "invite", "--email", email)
    assert invited.exit_code == 0, invited.output
    token = service.mail(email).token
    assert service.finds(email) == []
    assert choose(service.client, token).status_code == 204
    assert service.finds(email) == [invited.stdout.strip()]
    assert sign_in(service.client, email, NEW).status_code == 200


@pytest.mark.parametrize("prepare", ["invitation", "registration"])
def test_a_link_to_an_address_that_is_taken_by_now_changes_nothing(
    service: Service, email: str, prepare: str
) -> None:
    if prepare == "invitation":
        assert service.run("users", "invite", "--email", email).exit_code == 0
    else:
        assert register(service.confirming.test_client(), email).status_code == 202
    token, owner = service.mail(email).token, service.user(email)
    use = choose if prepare == "invitation" else confirm
    for _ in range(2):
        answer = use(service.client, token)
        assert (answer.status_code, answer.json["type"]) == (409, "/problems/conflict")
    assert service.finds(email) == [owner.user_id]
    assert owner.erase().status_code == 204
    assert use(service.client, token).status_code == 204, "it was not used up"


def test_of_two_who_follow_a_link_to_the_same_address_at_once_one_has_it(
    service: Service, email: str
) -> None:
    for _ in range(2):
        assert register(service.confirming.test_client(), email).status_code == 202
    tokens = {str(each.token) for each in service.mail(email).letters}
    calls = [lambda token=each: confirm(service.client, token).status_code for each in tokens]
    assert sorted(at_once(calls)) == [204, 409]


def test_what_nobody_confirmed_is_purged_without_a_trace(service: Service, email: str) -> None:
    assert register(service.confirming.test_client(), email).status_code == 202
    service.ask("update users set pending_until = now() - interval '1 second' where email is null")
    assert service.run("purge").exit_code == 0
    assert service.finds(email) == []


# Another address


def test_a_changed_address_frees_the_former_one(service: Service, email: str) -> None:
    alice = service.user()
    assert change_email(alice, email).status_code == 202
    assert service.finds(alice.email) == [alice.user_id]
    assert confirm(service.client, service.mail(email).token).status_code == 204
    assert (service.finds(alice.email), service.finds(email)) == ([], [alice.user_id])
    assert sign_in(service.client, alice.email).status_code == 401
    assert sign_in(service.client, email).status_code == 200
    assert register(service.client, alice.email).status_code == 201


def test_another_letter_case_leaves_the_directory_as_it_is(service: Service) -> None:
    alice = service.user()
    shouted = alice.email.upper()
    assert change_email(alice, shouted).status_code == 202
    assert confirm(service.client, service.mail(shouted).token).status_code == 204
    assert alice.get("/v1/me").json["email"] == shouted
    assert service.finds(alice.email) == [alice.user_id]


def test_an_address_of_another_account_is_not_taken(service: Service) -> None:
    alice, bob = service.user(), service.user()
    assert change_email(alice, bob.email).status_code == 202
    token = service.mail(bob.email).token
    assert confirm(service.client, token).status_code == 409
    assert service.finds(alice.email) == [alice.user_id]
    assert service.finds(bob.email) == [bob.user_id]
    assert alice.get("/v1/me").json["email"] == alice.email


def test_two_links_at_once_leave_one_address(service: Service) -> None:
    alice, emails = service.user(), [f"{new_id()}@example.com" for _ in range(2)]
    tokens = []
    for each in emails:
        assert change_email(alice, each).status_code == 202
        tokens.append(service.mail(each).token)
    calls = [lambda token=each: confirm(service.client, token).status_code for each in tokens]
    assert 204 in at_once(calls)
    now = alice.get("/v1/me").json["email"]
    assert [service.finds(each) for each in (now, alice.email)] == [[alice.user_id], []]


def test_a_reset_leaves_the_directory_as_it_is(service: Service) -> None:
    alice = service.user()
    assert service.client.post("/v1/auth/password-reset", json={"email": alice.email}).status_code
    assert choose(service.client, service.mail(alice.email).token).status_code == 204
    assert service.finds(alice.email) == [alice.user_id]


def test_an_account_that_is_disabled_while_its_link_is_used_takes_no_address(
    service: Service, email: str
) -> None:
    alice = service.user()
    assert change_email(alice, email).status_code == 202
    token = service.mail(email).token
    with ThreadPoolExecutor(1) as pool:
        service.ask("begin")
        disable(service.connection, alice)
        confirmed = pool.submit(confirm, service.client, token)
        until(lambda: waiting(service.connection))
        service.ask("commit")
        assert is_useless(confirmed.result())
    assert (service.finds(email), service.finds(alice.email)) == ([], [alice.user_id])


# No address any more


def erase(service: Service, alice: Account) -> bool:
    return alice.erase().status_code == 204


def delete(service: Service, alice: Account) -> bool:
    return service.run("users", "delete", "--email", alice.email, "--yes").exit_code == 0


@pytest.mark.parametrize("end", [erase, delete])
def test_the_address_of_an_erased_account_is_free(
    service: Service, end: Callable[[Service, Account], bool]
) -> None:
    alice = service.user()
    assert end(service, alice)
    assert service.finds(alice.email) == []
    assert register(service.client, alice.email).status_code == 201


def test_an_erasure_that_is_refused_keeps_the_address(service: Service) -> None:
    alice = service.user()
    assert alice.erase(headers={"If-Match": '"12345"'}).status_code == 412
    assert sign_in(service.client, alice.email).status_code == 200


def test_erasing_and_registering_at_once_leave_one_account_or_none(service: Service) -> None:
    alice = service.user()
    statuses = at_once(
        [
            lambda: alice.erase().status_code,
            lambda: register(service.client, alice.email).status_code,
        ]
    )
    assert statuses in ([204, 201], [204, 409])
    assert len(service.finds(alice.email)) == (statuses[1] == 201)


# The release before


@pytest.fixture(scope="module")
def url(cluster: str) -> Iterator[str]:
    with own_database(cluster) as url:
        migrate(url)
        yield url


def test_what_the_release_before_writes_is_in_the_directory(url: str) -> None:
    alice = new_id()
    steps = (
        ("insert into users (id, email, password_hash) values (%s, 'Alice@a.example', '')", 1),
        ("insert into users (id, email, password_hash) values (%s, 'alice@A.example', '')"
         " on conflict do nothing", 1),
        ("update users set email = 'ALICE@a.example' where id = %s", 1),
        ("update users set email = 'alice@b.example' where id = %s", 1),
        ("update users set name = 'Alice' where id = %s", 1),
        ("update users set email = null, password_hash = null where id = %s", 0),
        ("update users set email = 'alice@c.example', password_hash = '' where id = %s", 1),
        ("delete from users where id = %s", 0),
    )  # fmt: skip
    with opened(url) as cursor:
        for step, count in steps:
            cursor.execute(step, (new_id() if "on conflict" in step else alice,))
            cursor.execute("select count(*) from sign_in_addresses")
            assert cursor.fetchall() == [(count,)], step
            cursor.execute(DIFFERENCES)
            assert cursor.fetchall() == [], step


@pytest.mark.parametrize("commits", [True, False])
def test_both_releases_may_register_an_address_at_once(url: str, email: str, commits: bool) -> None:
    with opened(url) as cursor:
        service = served(url, cursor.connection)
        sql = "insert into users (id, email, password_hash) values (%s, %s, '')"
        with ThreadPoolExecutor(1) as pool:
            cursor.execute("begin")
            cursor.execute(sql, (new_id(), email))
            registered = pool.submit(register, service.client, email)
            until(lambda: waiting(cursor.connection))
            cursor.execute("commit" if commits else "rollback")
            assert registered.result().status_code == (409 if commits else 201)
        assert service.ask(DIFFERENCES) == []


def test_the_addresses_that_are_there_follow_and_go_again(cluster: str) -> None:
    filled = """
        insert into users (id, email, password_hash)
            select gen_random_uuid(), n || '@Example.com', '' from generate_series(1, 450) n;
        insert into users (id) select gen_random_uuid() from generate_series(1, 3);
    """
    with own_database(cluster) as url, opened(url) as cursor:
        migrate(url, "0021")
        cursor.execute(filled)
        for _ in range(2):
            migrate(url)
            cursor.execute("select count(*) from sign_in_addresses")
            assert cursor.fetchall() == [(450,)]
            cursor.execute(DIFFERENCES)
            assert cursor.fetchall() == []
            migrate_down(url, "0021")


def test_addresses_that_are_missing_follow_when_the_upgrade_is_run_again(cluster: str) -> None:
    full = """
        create function refuse() returns trigger language plpgsql as $$
            begin raise 'the disk is full'; end $$;
        create trigger refuse before insert on sign_in_addresses
            for each row execute function refuse();
    """
    interrupted = """
        delete from sign_in_addresses;
        grant insert on sign_in_addresses to tasks_maintenance;
        create policy fill on sign_in_addresses for insert to tasks_maintenance with check (true);
    """
    with own_database(cluster) as url, opened(url) as cursor:
        migrate(url)
        insert_user(cursor, new_id(), "a@example.com")
        cursor.execute(interrupted + full)
        with pytest.raises(ClickException, match=r"not finished.*disk is full"):
            migrate(url)
        cursor.execute("drop trigger refuse on sign_in_addresses")
        migrate(url)
        cursor.execute(DIFFERENCES)
        assert cursor.fetchall() == []
        cursor.execute("set role tasks_maintenance")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(
                "insert into sign_in_addresses values ('b@example.com', %s)", (new_id(),)
            )


def test_a_session_goes_on_while_the_address_changes(service: Service, email: str) -> None:
    alice = service.user()
    signed_in = session(service.client, sign_in(service.client, alice.email))
    assert change_email(alice, email).status_code == 202
    assert confirm(service.client, service.mail(email).token).status_code == 204
    assert signed_in.lives
