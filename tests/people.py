"""People who sign in, each from an address of their own, with passwords that are cheap to check."""

from ipaddress import IPv6Address
from typing import Any, NamedTuple
from uuid import uuid4

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import CHEAP_HASH, PASSWORD, Account


class Session(NamedTuple):
    """One sign-in: the tokens it gave, and how its owner goes on with them."""

    client: FlaskClient
    access_token: str
    refresh_token: str

    def refresh(self, **options: Any) -> TestResponse:
        body = {"refresh_token": self.refresh_token}
        return self.client.post("/v1/auth/refresh", json=body, **options)

    def refreshed(self) -> "Session":
        return session(self.client, self.refresh())

    def logout(self) -> TestResponse:
        return self.client.post("/v1/auth/logout", json={"refresh_token": self.refresh_token})

    @property
    def lives(self) -> bool:
        return self.refresh().status_code == 200


def session(client: FlaskClient, response: TestResponse) -> Session:
    assert response.status_code == 200, response.text
    return Session(client, response.json["access_token"], response.json["refresh_token"])


def as_of(account: Account, signed_in: Session) -> Account:
    """The account as it is called in this session."""
    return account._replace(token=signed_in.access_token)


def give_password(connection: Any, *accounts: Account) -> None:
    """Let them sign in with PASSWORD, without the cost of a hash that is hard to reverse."""
    give_hash(connection, CHEAP_HASH, *accounts)


def give_hash(connection: Any, password_hash: str, *accounts: Account) -> None:
    """Let them sign in with the password that has this hash."""
    with connection.cursor() as cursor:
        ids = [account.user_id for account in accounts]
        sql = "update users set password_hash = %s where id = any(%s::uuid[])"
        cursor.execute(sql, (password_hash, ids))


def outlast_grace(connection: Any, user_id: str) -> None:
    """Let ten seconds pass since the user's refresh tokens were spent."""
    with connection.cursor() as cursor:
        cursor.execute(
            "update refresh_tokens set spent_at = now() - interval '10 seconds'"
            " where user_id = %s and spent_at is not null",
            (user_id,),
        )


def disable(connection: Any, account: Account) -> None:
    """Disable an account, as `flask users disable` does."""
    with connection.cursor() as cursor:
        cursor.execute("update users set disabled_at = now() where id = %s", (account.user_id,))


def any_address() -> str:
    """An address that no other test attempts to sign in from."""
    return str(IPv6Address(uuid4().int))


def sign_in(
    client: FlaskClient, email: str, password: str = PASSWORD, *, address: str = "", **options: Any
) -> TestResponse:
    return client.post(
        "/v1/auth/token",
        json={"email": email, "password": password},
        environ_overrides={"REMOTE_ADDR": address or any_address()},
        **options,
    )
