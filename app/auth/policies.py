"""Who may call: the policies that blueprints are registered with, and whom a request comes from."""

from functools import lru_cache
from typing import Final

import psycopg2
from flask import Flask, Response, current_app

from app.auth.access_tokens import CACHED_TOKENS, TokenVerifier
from app.auth.personal_tokens import find_bearer, require_token
from app.auth.token_secret import PREFIX
from app.core import callers, secrets, turns
from app.core.config import Settings
from app.core.permissions import required
from app.core.principal import PRESENTED, PresentedToken, Principal
from app.core.problem_kinds import INSUFFICIENT_SCOPE, NOT_FOUND, UNAUTHENTICATED
from app.core.problems import Problem
from app.web import errors
from app.web.exchange import current

EXTENSION: Final = "token_verifier"
BEARERS: Final = "bearers"


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
        require_token(principal.user_id)
    except Problem as problem:
        return errors.respond(problem)
    except psycopg2.Error as error:
        return errors.from_database(error)
    return response


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


def forget_token(_error: BaseException | None) -> None:
    """Forget the personal access token of a request that is over."""
    PRESENTED.set(None)


def init_app(app: Flask, settings: Settings, *, issues: bool) -> None:
    """Verify tokens by these settings; own ones, if there are any, by the keys."""
    own = app.config[secrets.SETTING] if issues else ()
    app.extensions[EXTENSION] = TokenVerifier(settings, own)
    app.extensions[BEARERS] = lru_cache(CACHED_TOKENS)(find_bearer)
    app.teardown_request(forget_token)
