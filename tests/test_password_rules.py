"""Which passwords nobody may get: common ones, and one's own e-mail address."""

from typing import Any
from unicodedata import normalize

import pytest
from flask.testing import FlaskClient
from werkzeug.security import generate_password_hash

from app.auth import password_rules
from app.auth.password_rules import COMMON, LIST, weakness
from app.core.ids import new_id
from tests.assertions import refused
from tests.conftest import PASSWORD, ROOT, Account
from tests.people import give_hash, sign_in

CHEAP_SCRYPT = "scrypt:128:8:1"


def wide(text: str) -> str:
    """The text in full-width forms, as East Asian keyboards write it."""
    return "".join(chr(ord(character) + 0xFEE0) for character in text)


WEAK = [
    ("sunshine1", "common_password"),
    ("PassWord1", "common_password"),
    ("QWERTYUIOP", "common_password"),
    (wide("123456789"), "common_password"),
    (wide("Password"), "common_password"),
    ("pa\u017f\u017fword", "common_password"),
    ("{email}", "email_as_password"),
    ("{EMAIL}", "email_as_password"),
    ("{local}", "email_as_password"),
    ("{LOCAL}", "email_as_password"),
]


def filled(template: str) -> tuple[str, str]:
    """An address, and a password that may have to do with it."""
    email = f"Grace.{new_id()}@example.com"
    local = email.partition("@")[0]
    forms = {"email": email, "EMAIL": email.upper(), "local": local, "LOCAL": local.upper()}
    return email, template.format(**forms)


@pytest.mark.parametrize(("template", "code"), WEAK)
def test_a_password_that_is_easily_guessed_is_refused_where_it_is_set(
    client: FlaskClient, template: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    email, password = filled(template)
    body = {"email": email, "password": password}
    answer = client.post("/v1/auth/register", json=body)
    assert refused(answer, code, pointer="/password")
    assert password not in answer.text + capsys.readouterr().out
    arguments = ["users", "create", "--email", email, "--password", password]
    made = client.application.test_cli_runner().invoke(args=arguments)
    assert (made.exit_code, made.stdout) == (1, "")
    assert made.stderr.startswith("Error: --password must not be ")
    assert password not in made.stderr


@pytest.mark.parametrize("template", ["{email}x", "x{local}", "password1 password1", "example.com"])
def test_a_password_that_only_contains_what_is_easily_guessed_is_not_refused(template: str) -> None:
    email, password = filled(template)
    assert weakness(password, email) is None


def test_the_address_itself_may_be_a_password_where_nobody_signs_in_with_it() -> None:
    assert weakness("grace@example.com", None) is None
    assert weakness("password1", None) is password_rules.COMMON_PASSWORD


def test_every_reason_to_refuse_a_registration_is_named(client: FlaskClient) -> None:
    body = {"email": "grace", "password": "password1"}
    answer = client.post("/v1/auth/register", json=body)
    assert answer.status_code == 422
    assert [(error["pointer"], error["code"]) for error in answer.json["errors"]] == [
        ("/email", "email"),
        ("/password", "common_password"),
    ]


@pytest.mark.parametrize("template", ["password1", "{email}", "{local}"])
def test_a_password_from_before_these_rules_still_signs_in(
    client: FlaskClient, alice: Account, connection: Any, template: str
) -> None:
    password = template.format(email=alice.email, local=alice.email.partition("@")[0])
    give_hash(connection, generate_password_hash(password, CHEAP_SCRYPT), alice)
    assert sign_in(client, alice.email, password).status_code == 200
    assert sign_in(client, alice.email, password).status_code == 200, "renewed"


# The list


def test_the_list_names_its_source_and_licence() -> None:
    head = LIST.read_text("utf-8").partition("\n\n")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    for named in ("Django 5.2.19", "Royce Williams", "Redistributions of source code"):
        assert named in head


def test_each_line_of_the_list_is_as_passwords_are_compared_and_could_be_one() -> None:
    listed = LIST.read_text("utf-8").partition("\n\n")[2].splitlines()
    assert len(listed) == len(COMMON) > 8000
    assert f"{len(listed):,}" in LIST.read_text("utf-8")
    for password in listed:
        assert password == normalize("NFKC", password).casefold().strip()
        assert len(password) >= 8
        assert password.isascii()


def test_no_password_of_our_examples_is_in_the_list() -> None:
    assert PASSWORD in (ROOT / "README.md").read_text()
    assert PASSWORD in (ROOT / "docs" / "clients.md").read_text()
    assert weakness(PASSWORD, None) is None
