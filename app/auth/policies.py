"""Policies of who may call, applied per blueprint; the current principal and its account."""

import hmac
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Final, TypeVar

import psycopg2
from flask import Flask, Response, current_app
from sqlalchemy import literal_column, select
from sqlalchemy.dialects.postgresql import insert

from app.auth.access_tokens import CACHED_TOKENS, TokenVerifier
from app.auth.personal_tokens import PREFIX, find_bearer
from app.core import places, secrets
from app.core.config import Settings
from app.core.principal import PRESENTED, PresentedToken, Principal, may_go_on, required
from app.core.problem_kinds import INSUFFICIENT_SCOPE, NOT_FOUND, SIGN_IN_REQUIRED, UNAUTHENTICATED
from app.core.problems import Problem
from app.db.run import execute
from app.db.scope import reading, writing
from app.db.statement import Statement
from app.rows.owner import User
from app.rows.quotas import NoAccount
from app.rows.shape import USER_ID
from app.web import errors
from app.web.request import Request, current

EXTENSION: Final = "token_verifier"
BEARERS: Final = "bearers"

EMPTY: Final = Statement(select(literal_column("1").label("one")))
CREATE_ACCOUNT: Final = Statement(insert(User).values(id=USER_ID).on_conflict_do_nothing())

Result = TypeVar("Result")


def public() -> None:
    """Let anyone call."""


def issuing() -> None:
    """Let anyone call, if this service issues tokens itself. Raises Problem 404 if it does not."""
    if not token_verifier().own:
        raise Problem(NOT_FOUND, "This service takes another issuer's tokens only.")


def signed_in() -> None:
    """Require a valid access token. Raises Problem 401 (RFC 6750), 429.

    OPTIONS needs none: browsers send CORS preflights without credentials (Fetch Standard).
    """
    incoming = current()
    if incoming.method == "OPTIONS":
        return
    token = bearer_token(incoming)
    if not token:
        raise Problem(UNAUTHENTICATED)
    if token.startswith(PREFIX):
        call_as(current_app.extensions[BEARERS](token))
    else:
        call_as(token_verifier().verify(token))


def call_as(principal: Principal) -> None:
    """Let the request go on as this user's. Raises Problem 429 if the user has too many threads."""
    current().principal = principal
    PRESENTED.set(PresentedToken(principal))
    if not may_go_on(principal.user_id):
        raise places.refusal("As many requests of this user are under way as one user may have.")


def bearer_token(incoming: Request) -> str:
    """Return the bearer token of a request (RFC 6750, section 2.1); empty if it has none."""
    scheme, _, token = incoming.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def for_tasks() -> None:
    """Require the scope to read or to write tasks, depending on the method. Raises Problem 403."""
    require_scopes(required(current().method))


def for_account() -> None:
    """Require the scope `account`. Raises Problem 403."""
    require_scopes("account")


def require_scopes(*scopes: str) -> None:
    """Require all of these scopes; tokens of a sign-in have every scope. Raises Problem 403."""
    principal = current().principal
    if principal is None or principal.scopes is None:
        return
    missing = " ".join(scope for scope in scopes if scope not in principal.scopes)
    if missing:
        detail = f"The access token lacks the scope {missing}."
        challenge = f'Bearer error="insufficient_scope", scope="{missing}"'
        headers = {"WWW-Authenticate": challenge}
        raise Problem(INSUFFICIENT_SCOPE, detail, headers=headers, scope=missing)


def require_sign_in() -> None:
    """Require the access token of a sign-in. Raises Problem 403 for a personal access token."""
    if current_principal().token_id:
        raise Problem(SIGN_IN_REQUIRED)


def confirm(response: Response) -> Response:
    """Replace the response by 401 if the token of the request does not count any more.

    Statements of the request have checked that already; this covers responses without one.
    401, 429 and 5xx reveal nothing, and are sent as they are.
    """
    incoming = current()
    principal, status = incoming.principal, response.status_code
    presented = PRESENTED.get()
    if principal is None or presented is None or presented.checked:
        return response
    if status in {401, 429} or status >= 500:
        return response
    try:
        require_caller(principal.user_id)
    except Problem as problem:
        return errors.respond(problem)
    except psycopg2.Error as error:
        return errors.from_database(error)
    return response


def require_caller(user_id: str) -> None:
    """Check that the request's token still counts, with an empty statement in the user's scope.

    Raises psycopg2.Error with SQLSTATE TA401 if it does not.
    """
    execute(reading(user_id), EMPTY)


def current_principal() -> Principal:
    """Return the principal of the request. Raises Problem 401 if there is none."""
    principal = current().principal
    if principal is None:
        raise Problem(UNAUTHENTICATED)
    return principal


def current_user_id() -> str:
    """Return the id of the request's user. Raises Problem 401 if there is none."""
    return current_principal().user_id


def with_account(write: Callable[[], Result]) -> Result:
    """Run the write, and create the account of another issuer's user if the write misses it.

    Raises NoAccount (401) for a user of this service, whose account was erased.
    """
    try:
        return write()
    except NoAccount:
        principal = current_principal()
        if not principal.external:
            raise
    execute(writing(principal.user_id, once=True), CREATE_ACCOUNT, user_id=principal.user_id)
    return write()


def provisioning(view: Callable[..., Result]) -> Callable[..., Result]:
    """Decorate a view that writes, so that it runs within `with_account`."""

    @wraps(view)
    def wrapper(*args: object, **kwargs: object) -> Result:
        return with_account(lambda: view(*args, **kwargs))

    return wrapper


def bears_metrics_token(incoming: Request) -> bool:
    """Whether METRICS_TOKEN is set and is the request's bearer token."""
    settings: Settings = current_app.config["SETTINGS"]
    given, expected = bearer_token(incoming), settings.metrics_token or ""
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())


def token_verifier() -> TokenVerifier:
    """Return this application's issuer and verifier of access tokens."""
    verifier: TokenVerifier = current_app.extensions[EXTENSION]
    return verifier


def forget_token(_error: BaseException | None) -> None:
    """Clear the token of the request at its end."""
    PRESENTED.set(None)


def init_app(app: Flask, settings: Settings, *, issues: bool) -> None:
    """Set up the verification of tokens; `issues` says whether this service issues its own."""
    own = app.config[secrets.SETTING] if issues else ()
    app.extensions[EXTENSION] = TokenVerifier(settings, own)
    app.extensions[BEARERS] = lru_cache(CACHED_TOKENS)(find_bearer)
    app.teardown_request(forget_token)
