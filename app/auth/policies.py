"""Who may call: the policies that blueprints are registered with, and whom a request comes from."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Final, TypeVar

import psycopg2
from flask import Flask, Response, current_app

from app.api.tokens import queries as personal_tokens
from app.api.users import queries
from app.auth.access_tokens import CACHED_TOKENS, TokenVerifier
from app.auth.token_secret import PREFIX, PersonalToken
from app.core import callers, secrets, turns
from app.core.config import Settings
from app.core.permissions import required
from app.core.principal import PRESENTED, PresentedToken, Principal
from app.core.problems import INSUFFICIENT_SCOPE, NOT_FOUND, UNAUTHENTICATED, Problem, invalid_token
from app.rows.versioned import NoAccount
from app.web import errors
from app.web.exchange import current

EXTENSION: Final = "token_verifier"
BEARERS: Final = "bearers"

Result = TypeVar("Result")


def public() -> None:
    """Anyone may call."""


def issuing() -> None:
    """Anyone may call, where this service issues tokens itself. Raises Problem 404."""
    if not token_verifier().issues:
        raise Problem(NOT_FOUND, "This service takes another issuer's tokens only.")


def signed_in() -> None:
    """Only the bearer of a valid access token may call. Raises Problem 401 (RFC 6750), 429.

    A browser asks with OPTIONS, and without the token, whether it may send it (Fetch, CORS).
    """
    incoming = current()
    if incoming.method == "OPTIONS":
        return
    authorization: str = incoming.environ.get("HTTP_AUTHORIZATION", "")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Problem(UNAUTHENTICATED)
    token = token.strip()
    if token.startswith(PREFIX):
        incoming.principal = current_app.extensions[BEARERS](token)
        if token_id := incoming.principal.token_id:
            PRESENTED.set(PresentedToken(token_id))
    else:
        incoming.principal = token_verifier().verify(token)
    if not callers.may_go_on(incoming.principal.user_id):
        raise turns.refusal("As many requests of this user are under way as one user may have.")


def for_tasks() -> None:
    """Only with the scope that the method takes of tasks. Raises Problem 403."""
    require_scopes(required(current().method))


def for_account() -> None:
    """Only with the scope of the account. Raises Problem 403."""
    require_scopes("account")


def require_scopes(*scopes: str) -> None:
    """Let only a token go on that has all of these; that of a sign-in has. Raises Problem 403."""
    principal = current().principal
    if principal is None or principal.scopes is None:
        return
    missing = " ".join(scope for scope in scopes if scope not in principal.scopes)
    if missing:
        detail = f"The access token lacks the scope {missing}."
        challenge = f'Bearer error="insufficient_scope", scope="{missing}"'
        headers = {"WWW-Authenticate": challenge}
        raise Problem(INSUFFICIENT_SCOPE, detail, headers=headers, scope=missing)


def confirm(response: Response) -> Response:
    """The answer, or 401 to a personal access token that was revoked.

    A statement has asked before, where there was one. An answer that needed none still tells
    nothing to a token that no longer counts; what says to come again later tells nothing anyway.
    """
    incoming = current()
    principal, status = incoming.principal, response.status_code
    presented = PRESENTED.get()
    if principal is None or presented is None or presented.checked:
        return response
    if status in {401, 429} or status >= 500:
        return response
    try:
        personal_tokens.require_token(principal.user_id)
    except Problem as problem:
        return errors.respond(problem)
    except psycopg2.Error as error:
        return errors.from_database(error)
    return response


def bearer(token: str) -> Principal:
    """Whom a personal access token speaks for. Raises Problem 401.

    What no token can be is refused without the database. The rest never changes once it was found,
    but that the token is revoked or expires, which the database is asked with each statement.
    """
    parsed = PersonalToken.parse(token)
    if parsed is None:
        raise invalid_token()
    return personal_tokens.find_bearer(parsed)


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


def forget_token() -> None:
    """Begin a request without a personal access token: threads serve one request after another."""
    PRESENTED.set(None)


def init_app(app: Flask, settings: Settings, *, issues: bool) -> None:
    """Verify tokens by these settings; own ones, if there are any, by the keys."""
    own = app.config[secrets.SETTING] if issues else ()
    app.extensions[EXTENSION] = TokenVerifier(settings, own)
    app.extensions[BEARERS] = lru_cache(CACHED_TOKENS)(bearer)
    app.before_request(forget_token)
