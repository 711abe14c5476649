"""Who may call: the policies that blueprints are registered with, and whom a request comes from."""

from collections.abc import Callable
from functools import wraps
from typing import Final, TypeVar

from flask import Flask, current_app

from app.config import Settings
from app.exchange import current
from app.problems import NOT_FOUND, UNAUTHENTICATED, Problem
from app.users import queries
from app.users.tokens import Principal, TokenVerifier
from app.versioned import NoAccount

EXTENSION: Final = "token_verifier"

Result = TypeVar("Result")


def public() -> None:
    """Anyone may call."""


def issuing() -> None:
    """Anyone may call, where this service issues tokens itself. Raises Problem 404."""
    if not token_verifier().issues:
        raise Problem(NOT_FOUND, "This service takes another issuer's tokens only.")


def signed_in() -> None:
    """Only the bearer of a valid access token may call. Raises Problem 401 (RFC 6750).

    A browser asks with OPTIONS, and without the token, whether it may send it (Fetch, CORS).
    """
    incoming = current()
    if incoming.method == "OPTIONS":
        return
    scheme, _, token = incoming.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Problem(UNAUTHENTICATED)
    incoming.principal = token_verifier().verify(token.strip())


def current_principal() -> Principal:
    """Who the request comes from."""
    principal = current().principal
    if principal is None:
        raise Problem(UNAUTHENTICATED)
    return principal


def current_user_id() -> str:
    """The id of the user whom the request comes from."""
    return current_principal().user_id


def token_verifier() -> TokenVerifier:
    """What issues and verifies this application's access tokens."""
    verifier: TokenVerifier = current_app.extensions[EXTENSION]
    return verifier


def provisioning(view: Callable[..., Result]) -> Callable[..., Result]:
    """Make another issuer's user an account when they first write, and write then.

    An own user without one was erased: 401.
    """

    @wraps(view)
    def wrapper(*args: object, **kwargs: object) -> Result:
        try:
            return view(*args, **kwargs)
        except NoAccount:
            if not current_principal().external:
                raise
        queries.create_external_user(current_user_id())
        return view(*args, **kwargs)

    return wrapper


def init_app(app: Flask, settings: Settings, secret: str | None) -> None:
    """Verify tokens by these settings, and sign own ones with the secret."""
    app.extensions[EXTENSION] = TokenVerifier(settings, secret)
