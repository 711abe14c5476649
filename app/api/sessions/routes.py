"""/v1/sessions"""

from typing import Final

from apiflask import APIBlueprint
from flask import Response

from app.api.sessions.schemas import SessionList
from app.auth.policies import current_principal, current_user_id
from app.auth.refresh_tokens import end_sessions, list_sessions
from app.core.problems import not_found, precondition_failed
from app.web.conditional import preconditions
from app.web.response import json_response, no_content, store_nothing

blueprint: Final = APIBlueprint("sessions", __name__, tag="Sessions")
blueprint.after_request(store_nothing)


@blueprint.get("")
@blueprint.output(SessionList)
def get_sessions() -> Response:
    """List sessions

    Where the user is signed in. A session lasts 30 days after it was last refreshed, and 90 days in
    all, unless the operator has set another number. Users of another issuer have none here.
    """
    present = current_principal().session_id
    rows = list_sessions(current_user_id())
    return json_response(
        {"items": [{**row._asdict(), "current": row.id == present} for row in rows]}
    )


@blueprint.delete("/<id:session_id>")
@blueprint.output({}, status_code=204)
def end_session(session_id: str) -> Response:
    """End a session

    Its refresh and access tokens are refused at once, on every server. A session has no ETag, so an
    `If-Match` with one gets 412.
    """
    _require_no_version()
    if not end_sessions(current_user_id(), [session_id]):
        raise not_found()
    return no_content()


@blueprint.delete("")
@blueprint.output({}, status_code=204)
def end_other_sessions() -> Response:
    """End all other sessions

    All but the one that the request comes from; with a personal access token, all of them. Their
    refresh and access tokens are refused at once, on every server. Personal access tokens stay
    valid.
    """
    _require_no_version()
    end_sessions(current_user_id(), None, but=current_principal().session_id)
    return no_content()


def _require_no_version() -> None:
    """Raises Problem 412 for an If-Match with an ETag."""
    if preconditions().versions is not None:
        raise precondition_failed(None)
