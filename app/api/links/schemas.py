"""Bodies of the routes of links in mails."""

from typing import Annotated, Final

from pydantic import Field

from app.api.users.schemas import EMAIL, GUESSABLE, LONGEST, NEW_PASSWORD, PASSWORD, Password
from app.web.fields.identifiers import Email
from app.web.fields.inputs import Body, examples
from app.web.fields.strings import PlainText

NEW_EMAIL: Final = "alice@example.org"
SECRET: Final = "AZgdLH86fUCKPi9rnB0OT3mC1x9Rk0vUqf3sW2b7yTn4LhQpZc5dEaJ8mXoGiKuV"  # noqa: S105

LinkToken = Annotated[str, PlainText(200)]
"""The `token` in the query of the page that a mail leads to."""


class PasswordResetRequest(Body):
    """The address of an account whose password is forgotten."""

    model_config = examples({"email": EMAIL})

    email: Email


class NewPassword(Body):
    """The token of a link, and the password to choose with it."""

    model_config = examples({"token": f"password_{SECRET}", "new_password": NEW_PASSWORD})

    token: LinkToken
    new_password: Annotated[Password, Field(description=GUESSABLE)]


class Confirmation(Body):
    """The token of a link that confirms an address."""

    model_config = examples({"token": f"address_{SECRET}"})

    token: LinkToken


class EmailChange(Body):
    """The address that the account is to have, and its present password."""

    model_config = examples({"email": NEW_EMAIL, "current_password": PASSWORD})

    email: Email
    current_password: Annotated[str, PlainText(LONGEST)]
