"""/v1/tokens"""

from datetime import datetime
from typing import Final

from apiflask import APIBlueprint
from flask import Response

from app.api.tokens import queries
from app.api.tokens.schemas import NewToken, TokenCreate, TokenPage, represent
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

    A page of the user's tokens, oldest first; the tokens themselves are never shown again. The time
    of the last use is right to ten minutes.
    """
    user_id = current_user_id()
    listing = [user_id, "tokens"]
    position = cursors.decode(query.cursor, listing)
    rows = queries.LISTING.page(user_id, query.limit, position)
    return cursors.page(rows, [represent(row) for row in rows], query.limit, listing)


@blueprint.post("")
@blueprint.input(TokenCreate, arg_name="wanted")
@blueprint.output(NewToken, status_code=201)
@provisioning
def create_token(wanted: TokenCreate) -> Response:
    """Create a personal access token

    For scripts: sent as `Authorization: Bearer …`, like the access token of a sign-in. It may do
    what its scopes say, `tasks:write` including `tasks:read`, until it expires or is revoked. The
    `token` is in this answer alone. A token can make no other that may do more or lives longer.
    One of another issuer's user lives for 365 days at most, whatever `expires_at` asks for.
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

    From now on it is refused, wherever it is in use.
    """
    queries.delete_token(current_user_id(), token_id, preconditions())
    return no_content()


def _require_no_longer_life(expires_at: datetime | None) -> None:
    """Raises Problem 422 for a token that would outlive the one it is made with."""
    limit = current_principal().expires_at
    if limit and (expires_at is None or expires_at > limit):
        detail = "must not be after the expiry of the token that this request came with"
        raise invalid(detail, "too_late", pointer="/expires_at")
