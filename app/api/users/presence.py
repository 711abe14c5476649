"""Proof that the user is present, for what a thief of an access token must not do.

Users of this service prove it with their password. Those of another issuer have none here, so they
have to have signed in there a short while ago (RFC 9470).
"""

import time
from typing import Final

from app.api.users import queries
from app.api.users.queries import Login
from app.auth.access_tokens import LEEWAY_SECONDS
from app.auth.passwords import check_password_hash
from app.auth.policies import current_principal, current_user_id, require_sign_in
from app.core.problem_kinds import FRESH_SIGN_IN_REQUIRED, NOT_FOUND
from app.core.problems import Problem, invalid
from app.rows.quotas import NoAccount
from app.web.request_limits import request_limits
from app.web.sign_in_limits import sign_in_keys, sign_in_limits

FRESH_SECONDS: Final = 10 * 60
"""How long ago another issuer's user may have signed in."""


def own_login() -> Login:
    """The login of the request's user, whose password is to be compared.

    Raises NoAccount (401), Problem 403 for a personal access token, 404 for a user of another
    issuer, 429.
    """
    require_sign_in()
    user_id = current_user_id()
    sign_in_limits().check(sign_in_keys(user_id))
    request_limits().by_password()
    login = queries.find_own_login(user_id)
    if login is None and not current_principal().external:
        raise NoAccount
    if login is None:
        raise Problem(NOT_FOUND, "This account has no password here.")
    return login


def prove(login: Login, given: str) -> None:
    """Compare the present password. Raises Problem 422, which counts as a failed sign-in."""
    if not check_password_hash(login.password_hash, given).is_right:
        raise wrong_password(login)


def wrong_password(login: Login) -> Problem:
    """The problem of a wrong password, which is counted as a failed sign-in of the user."""
    sign_in_limits().count(sign_in_keys(login.user_id))
    return invalid("is not the present password", "wrong_password", pointer="/current_password")


def require_presence(given: str | None) -> None:
    """Require the present password or, of another issuer's user, a fresh sign-in.

    Raises Problem 401, 403 for a personal access token, 422, 429.
    """
    require_sign_in()
    principal = current_principal()
    if not principal.external:
        if given is None:
            raise invalid("is required", "missing", pointer="/current_password")
        prove(own_login(), given)
    elif not -LEEWAY_SECONDS <= time.time() - (principal.signed_in_at or 0) <= FRESH_SECONDS:
        # Also if it is NaN, or in the future, as it is in milliseconds.
        challenge = f'Bearer error="insufficient_user_authentication", max_age="{FRESH_SECONDS}"'
        raise Problem(FRESH_SIGN_IN_REQUIRED, headers={"WWW-Authenticate": challenge})
