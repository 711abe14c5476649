"""/v1/tokens"""

from datetime import datetime
from typing import Final

from apiflask import APIBlueprint
from flask import Response

from app.api.tokens import queries
from app.api.tokens.schemas import IssuedToken, TokenCreate, TokenPage, represent
from app.auth.policies import current_principal, current_user_id, provisioning, require_scopes
from app.core.ids import new_id
from app.core.problems import invalid
from app.web import cursors, idempotency_key
from app.web.conditional import created, preconditions
from app.web.cursors import PageQuery
from app.web.response import no_content

blueprint: Final = APIBlueprint("tokens", __name__, tag="Personal access tokens")


@blueprint.get("")
@blueprint.input(PageQuery, location="query", arg_name="query")
@blueprint.output(TokenPage)
def list_tokens(query: PageQuery) -> Response:
    """List personal access tokens

    A page of the user's tokens, oldest first; the tokens themselves are never shown again.
    `last_used_at` is accurate to ten minutes.
    """
    user_id = current_user_id()
    listing = [user_id, "tokens"]
    position = cursors.decode(query.cursor, listing)
    rows = queries.LISTING.page(user_id, query.limit, position)
    return cursors.page(rows, [represent(row) for row in rows], query.limit, listing)


@blueprint.post("")
@blueprint.input(TokenCreate, arg_name="wanted")
@blueprint.output(IssuedToken, status_code=201)
@provisioning
def create_token(wanted: TokenCreate) -> Response:
    """Create a personal access token

    For scripts, which send it as `Authorization: Bearer …`. It is valid until it expires or is
    revoked, and its scopes limit what it may do; `tasks:write` includes `tasks:read`. Only this
    response shows the `token`. A personal token cannot create one with more scopes or a later
    expiry. For users of another issuer it expires after 365 days at the latest.
    """
    require_scopes(*wanted.scopes)
    _require_no_longer_life(wanted.expires_at)
    once = idempotency_key.requested(wanted)
    row, token, replayed = queries.create_token(current_user_id(), new_id(), wanted.all(), once)
    return idempotency_key.mark(created({**represent(row), "token": str(token)}), replayed)


@blueprint.delete("/<id:token_id>")
@blueprint.output({}, status_code=204)
def delete_token(token_id: str) -> Response:
    """Revoke a personal access token

    Takes effect immediately, on every server.
    """
    queries.delete_token(current_user_id(), token_id, preconditions())
    return no_content()


def _require_no_longer_life(expires_at: datetime | None) -> None:
    """Raises Problem 422 for a token that would outlive the one it is made with."""
    limit = current_principal().expires_at
    if limit and (expires_at is None or expires_at > limit):
        detail = "must not be after the expiry of the token that this request came with"
        raise invalid(detail, "too_late", pointer="/expires_at")
