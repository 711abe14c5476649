"""The routes of /v1/auth and /v1/me that links in mails are for."""

from typing import Final

from apiflask import APIBlueprint
from flask import Response

from app.api.links import queries
from app.api.links.queries import Link
from app.api.links.schemas import Confirmation, EmailChange, NewPassword, PasswordResetRequest
from app.api.users.presence import own_login, prove
from app.api.users.queries import get_user
from app.auth.mail_kinds import MailKind, Purpose
from app.auth.mail_tokens import MailToken
from app.auth.outbox import MOST_AN_HOUR, draft, require_mail, sends_mail
from app.auth.password_rules import weakness
from app.auth.passwords import check_password_hash, generate_password_hash
from app.auth.policies import current_user_id, require_sign_in
from app.core.problem_kinds import NOT_FOUND
from app.core.problems import Problem, invalid
from app.web.mail_limits import limit_links, limit_resets, may_tell
from app.web.request_limits import refusal, request_limits
from app.web.response import accepted, no_content, store_nothing
from app.web.sign_in_limits import sign_in_keys, sign_in_limits

public: Final = APIBlueprint("links", __name__, tag="Authentication")
own: Final = APIBlueprint("own_links", __name__, tag="Account")
own.after_request(store_nothing)

HOUR: Final = 3600


@public.post("/password-reset")
@public.input(PasswordResetRequest, arg_name="wanted")
@public.output({}, status_code=202)
def request_password_reset(wanted: PasswordResetRequest) -> Response:
    """Ask for a new password

    If there is an account with this address, a mail with a link goes to it, at most five an hour.
    The response does not tell whether there is one. The link leads to a page of the app, which
    sends its `token` to `/v1/auth/password-reset/confirm`.
    """
    require_mail()
    limit_resets(wanted.email)
    queries.ask_reset(wanted.email)
    return accepted()


@public.post("/password-reset/confirm")
@public.input(NewPassword, arg_name="wanted")
@public.output({}, status_code=204)
def confirm_password_reset(wanted: NewPassword) -> Response:
    """Choose a password with a link

    Takes the token of a mail: of a reset, within an hour, or of an invitation, within a week. Ends
    all sessions of the account; sign in with the new password. The e-mail address counts as
    verified. A token counts once, so the same request can be repeated, but with another password it
    gets 422 `used_or_expired`.
    """
    token = MailToken.parse(wanted.token, Purpose.PASSWORD)
    link = queries.find_link(token) if token else None
    if token is None or link is None:
        raise _useless()
    if link.used_at:
        return _chosen_before(link, wanted.new_password)
    request_limits().by_password()
    if weak := weakness(wanted.new_password, link.email):
        raise invalid(weak.detail, weak.code, pointer="/new_password")
    made = generate_password_hash(wanted.new_password)
    notice = draft(token.user_id, MailKind.PASSWORD_CHANGED) if sends_mail() else None
    if not queries.use_password_link(token, made, notice):
        raise _useless()
    return no_content()


@public.post("/email-verification/confirm")
@public.input(Confirmation, arg_name="wanted")
@public.output({}, status_code=204)
def confirm_email(wanted: Confirmation) -> Response:
    """Confirm an e-mail address

    Takes the token of a mail within 24 hours: of a verification, of a change of the address or of a
    registration, where the operator requires that addresses are confirmed. The request can be
    repeated. If another account has the address by now, the response is 409.
    """
    token = MailToken.parse(wanted.token, Purpose.ADDRESS)
    link = queries.find_link(token) if token else None
    if token is None or link is None:
        raise _useless()
    tells = link.is_change and link.present_email and may_tell(link.present_email)
    notice = draft(token.user_id, MailKind.EMAIL_CHANGED) if tells else None
    if not queries.confirm_address(token, notice):
        raise _useless()
    return no_content()


@own.post("/email-verification")
@own.output({}, status_code=202)
def request_email_verification() -> Response:
    """Verify the e-mail address

    Sends a mail with a link to the account's address, at most five an hour. Sends none if the
    address is verified already. For users of another issuer the response is 404.
    """
    require_sign_in()
    require_mail()
    user_id = current_user_id()
    account = get_user(user_id)
    if account is None or account["email"] is None:
        raise Problem(NOT_FOUND, "This account has no e-mail address here.")
    if account["email_verified"]:
        return accepted()
    limit_links(account["email"])
    if not queries.ask_verification(user_id, draft(user_id, MailKind.EMAIL_VERIFICATION)):
        raise _too_many()
    return accepted()


@own.post("/email")
@own.input(EmailChange, arg_name="change")
@own.output({}, status_code=202)
def change_email(change: EmailChange) -> Response:
    """Change the e-mail address

    Sends a mail with a link to the new address, at most five an hour. Until the link is followed,
    the account keeps its address; then the old one is told. A new password ends the link. The
    response does not tell whether another account has the new address. A wrong `current_password`
    gets 422 `wrong_password`, and a personal access token 403. For users of another issuer the
    response is 404.
    """
    login = own_login()
    require_mail()
    prove(login, change.current_password)
    limit_links(change.email)
    mail = draft(login.user_id, MailKind.EMAIL_CHANGE)
    if not queries.ask_change(login, change.email, mail):
        raise _too_many()
    return accepted()


def _chosen_before(link: Link, password: str) -> Response:
    """The response to a link that was used: perhaps it is sent again, as a response was lost.

    It tells whether this is the present password, so it is a failed sign-in if it is not.
    """
    limits, keys = sign_in_limits(), sign_in_keys(link.present_email or link.email)
    limits.check(keys)
    request_limits().by_password()
    if check_password_hash(link.password_hash, password).is_right:
        return no_content()
    limits.count(keys)
    raise _useless()


def _useless() -> Problem:
    """The same for a token that is forged, expired, used or for something else."""
    return invalid(
        "is not the token of a link that can be used", "used_or_expired", pointer="/token"
    )


def _too_many() -> Problem:
    detail = f"At most {MOST_AN_HOUR} mails an hour are sent for one account."
    return refusal("mail", HOUR, detail)
