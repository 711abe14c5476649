"""/v1/auth and /v1/me"""

import logging
from typing import Final

import psycopg2
from apiflask import APIBlueprint
from flask import Response, current_app

from app.api.users import queries, schemas
from app.api.users.prepared import prepare_account
from app.api.users.presence import own_login, require_presence, wrong_password
from app.api.users.queries import Login
from app.api.users.schemas import (
    REGISTERED,
    Credentials,
    Erasure,
    PasswordChange,
    RefreshRequest,
    Registration,
    TokenPair,
    User,
    UserPatch,
)
from app.auth import refresh_tokens
from app.auth.access_tokens import ACCESS_SECONDS
from app.auth.mail_kinds import MailKind
from app.auth.outbox import sends_mail
from app.auth.password_rules import weakness
from app.auth.passwords import check_password_hash, generate_password_hash
from app.auth.policies import (
    current_principal,
    current_user_id,
    provisioning,
    token_verifier,
)
from app.auth.refresh_tokens import Client, Issued, RefreshToken
from app.core.config import Settings
from app.core.ids import new_id
from app.core.problem_kinds import (
    ACCOUNT_DISABLED,
    CONFLICT,
    IDEMPOTENCY_KEY_REUSED,
    INVALID_CREDENTIALS,
    REGISTRATION_CLOSED,
)
from app.core.problems import Problem, invalid
from app.rows.idempotency import Once
from app.rows.quotas import NoAccount
from app.rows.write import Representation
from app.web import idempotency_key
from app.web.conditional import created_at, preconditions, resource
from app.web.mail_limits import limit_links, may_tell
from app.web.networks import shortened
from app.web.request import current
from app.web.request_limits import request_limits
from app.web.response import accepted, json_response, no_content, store_nothing
from app.web.sign_in_limits import sign_in_keys, sign_in_limits

auth: Final = APIBlueprint("auth", __name__, tag="Authentication")
me: Final = APIBlueprint("me", __name__, tag="Account")
me.after_request(store_nothing)

logger = logging.getLogger(__name__)

LONGEST_AGENT: Final = 200
"""Characters of a User-Agent that are stored."""


@auth.post("/register")
@auth.input(Registration, arg_name="registration")
@auth.output(User, status_code=201, example=REGISTERED)
def register_account(registration: Registration) -> Response:
    """Create an account

    Users sign in with their e-mail address, whose letter case does not matter. No mail is sent to
    it, unless the operator requires that addresses are confirmed: then the response is 202 for any
    address, and there is an account once the link in the mail has been followed. Where the operator
    has closed registration, the response is 403 `registration-closed`.
    """
    settings: Settings = current_app.config["SETTINGS"]
    if settings.registration == "closed":
        raise Problem(REGISTRATION_CLOSED)
    once = idempotency_key.requested(registration)
    request_limits().by_password()
    email, name = registration.email, registration.name
    if settings.registration == "confirmed":
        limit_links(email)
    password_hash = generate_password_hash(registration.password)
    if settings.registration == "confirmed":
        prepare_account(MailKind.REGISTRATION, email, name, password_hash, once)
        return accepted()
    user = queries.create_user(new_id(), email, password_hash, name, once)
    account = user or _registered_before(registration, once)
    return idempotency_key.mark(created_at("/v1/me", account), user is None)


@auth.post("/token")
@auth.input(Credentials, arg_name="credentials")
@auth.output(TokenPair)
def sign_in(credentials: Credentials) -> Response:
    """Sign in

    Begins a session, and returns an access token and a refresh token. After ten failures within a
    minute, for one account or from one address, further attempts get 429 for up to a minute. The
    right password of an account that the operator has disabled gets 403 `account-disabled`.
    """
    limits, keys = sign_in_limits(), sign_in_keys(credentials.email)
    limits.check(keys)
    request_limits().by_password()
    login = queries.find_login(credentials.email)
    check = check_password_hash(login and login.password_hash, credentials.password)
    if login is None or not check.is_right:
        limits.count(keys)
        raise Problem(INVALID_CREDENTIALS, "The e-mail address or the password is wrong.")
    if login.disabled:
        raise Problem(ACCOUNT_DISABLED)
    once = idempotency_key.requested(credentials)
    changed_at = login.password_changed_at
    pair = _pair(refresh_tokens.start_session(login.user_id, changed_at, _client(), once))
    if check.renewed:
        _renew(login, check.renewed)
    return pair


@auth.post("/refresh")
@auth.input(RefreshRequest, arg_name="presented")
@auth.output(TokenPair)
def refresh_session(presented: RefreshRequest) -> Response:
    """Exchange a refresh token

    Returns a new pair of tokens. A refresh token can be used once, and for ten seconds after that
    by another tab. If it is sent again later, the session ends. A retry with the same
    `Idempotency-Key` is safe.
    """
    once = idempotency_key.requested(presented)
    token = RefreshToken.parse(presented.refresh_token)
    if token is None:
        raise Problem(INVALID_CREDENTIALS)
    return _pair(refresh_tokens.rotate(token, _client(), once))


@auth.post("/logout")
@auth.input(RefreshRequest, arg_name="presented")
@auth.output({}, status_code=204)
def sign_out(presented: RefreshRequest) -> Response:
    """Sign out

    Ends the session of the refresh token. Its access tokens are refused at once.
    """
    once = idempotency_key.requested(presented)
    token = RefreshToken.parse(presented.refresh_token)
    if token is None:
        return no_content()
    return idempotency_key.mark(no_content(), refresh_tokens.end_session(token, once))


@me.get("")
@me.output(User)
def get_me() -> Response:
    """Get the account

    The user of the access token, and how much this user stores. A change of `usage` does not change
    the ETag, so send no `If-None-Match` if you want to read it.
    """
    user = queries.get_user(current_user_id())
    if user is None and current_principal().external:
        user = schemas.unwritten(current_user_id())
    if user is None:
        raise NoAccount
    return resource(user)


@me.patch("")
@me.input(UserPatch, arg_name="patch")
@me.output(User)
@provisioning
def update_me(patch: UserPatch) -> Response:
    """Change the account

    A JSON merge patch: absent fields stay as they are, null clears a field. With another
    `time_zone`, the local reminders of tasks that do not repeat move to it, each task with a new
    version. If there is no time for all of them, the response is 503 `unfinished`; repeat the
    request, and it continues.
    """
    return resource(queries.update_user(current_user_id(), patch.given(), preconditions()))


@me.post("/password")
@me.input(PasswordChange, arg_name="change")
@me.output({}, status_code=204)
def change_password(change: PasswordChange) -> Response:
    """Change the password

    Ends all other sessions, at once. Personal access tokens stay valid, and cannot be used for it.
    A wrong `current_password` gets 422 `wrong_password` and counts as a failed sign-in. The request
    can be repeated: if the new password is the present one already, nothing changes. For users of
    another issuer the response is 404.
    """
    login, session_id = own_login(), current_principal().session_id
    if weak := weakness(change.new_password, login.email):
        raise invalid(weak.detail, weak.code, pointer="/new_password")
    if not check_password_hash(login.password_hash, change.current_password).is_right:
        if check_password_hash(login.password_hash, change.new_password).is_right:
            return no_content()
        raise wrong_password(login)
    made = generate_password_hash(change.new_password)
    tells = sends_mail() and may_tell(login.email)
    if not queries.change_password(login, made, but=session_id, tells=tells):
        raise Problem(CONFLICT, "The password was changed at the same time.")
    return no_content()


@me.delete("")
@me.input(Erasure, arg_name="erasure")
@me.output({}, status_code=204)
@provisioning
def delete_me(erasure: Erasure) -> Response:
    """Erase the account

    Removes the account and everything in it, immediately and permanently. The body has the present
    password; a wrong one gets 422 `wrong_password` and counts as a failed sign-in. Users of another
    issuer have none here and send no body, but must have signed in within the last ten minutes,
    else the response is 401 `fresh-sign-in-required`. A personal access token gets 403.
    """
    conditions = preconditions()
    require_presence(erasure.current_password)
    queries.delete_user(current_user_id(), conditions)
    return no_content()


def _client() -> Client:
    """Where the request comes from, as the list of sessions shows it."""
    incoming = current()
    agent = incoming.headers.get("User-Agent", "")
    shown = "".join(each if each.isprintable() else " " for each in agent[:LONGEST_AGENT]).strip()
    return Client(shown or None, shortened(incoming.remote_addr or ""))


def _registered_before(registration: Registration, once: Once | None) -> Representation:
    """The account that the same request made before.

    With the key of somebody's registration a password can be guessed here as by signing in, so both
    share their limits, and a wrong guess only shows that the address is taken.
    Raises Problem 409, 422 for the right password with another body, 429.
    """
    taken = Problem(CONFLICT, "An account with this e-mail address exists.")
    if once is None:
        raise taken
    limits, keys = sign_in_limits(), sign_in_keys(registration.email)
    limits.check(keys)
    login = queries.find_login(registration.email)
    earlier = queries.find_registration(login.user_id, once) if login else None
    if earlier and once.is_same(earlier.fingerprint):
        return earlier.account
    request_limits().by_password()
    # Compared whether the key is known or not, so that both take as long.
    check = check_password_hash(login and login.password_hash, registration.password)
    if earlier and check.is_right:
        raise Problem(IDEMPOTENCY_KEY_REUSED)
    limits.count(keys)
    raise taken


def _renew(login: Login, password_hash: str) -> None:
    """Store a new hash of the password; the sign-in is done, whether that succeeds or not."""
    try:
        queries.renew_password_hash(login, password_hash)
    except (Problem, psycopg2.Error) as error:
        reason = type(error).__name__
        logger.warning("a password hash was not renewed (%s); the next sign-in tries again", reason)


def _pair(issued: Issued) -> Response:
    access_token = token_verifier().issue(
        issued.token.user_id, session_id=issued.session_id, now=issued.at, under=issued.keys
    )
    pair = {
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": ACCESS_SECONDS,
        "refresh_token": str(issued.token),
    }
    return idempotency_key.mark(json_response(pair), issued.replayed)
