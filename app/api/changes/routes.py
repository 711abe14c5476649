"""/v1/changes, and where Pushpin reads on for those whose stream it holds"""

from functools import partial
from typing import Final

from apiflask import APIBlueprint
from flask import Response

from app.api.changes import position, queries, stream
from app.api.changes.page import page
from app.api.changes.schemas import EXAMPLES, Changes, ChangesQuery
from app.api.changes.waiting import first_change
from app.auth.policies import current_principal, forget_token
from app.auth.tickets import require_ticket
from app.web import grip
from app.web.request import current
from app.web.response import json_response

blueprint: Final = APIBlueprint("changes", __name__, tag="Changes")
streams: Final = APIBlueprint("streams", __name__, enable_openapi=False)

REFUSED: Final = (401, 403, 410)
"""What no repetition of Pushpin's request would change: the client has to come again itself."""


@blueprint.get("")
@blueprint.input(ChangesQuery, location="query", arg_name="query")
@blueprint.output(Changes, examples=EXAMPLES)
def get_changes(query: ChangesQuery) -> Response:
    """Get changes

    Everything that was created, changed or deleted after `since`, in the order of versions. A
    resource that was changed several times is returned once, as it is now. No change is missed and
    none is returned twice.

    Without `since` you get all existing resources, page by page. Store `next_token` and send it as
    `since` the next time; while `has_more` is true, do so immediately. With `wait` the response
    comes as soon as there is a change, or without items after that many seconds. If too many
    clients wait already, it comes at once, so leave a second between two requests.

    `Accept: text/event-stream` asks for a stream (server-sent events): a page is an event, whose id
    is its `next_token` and whose data is the JSON. A client that was cut off sends the last id as
    `Last-Event-ID`, and misses nothing. When its access token has expired, or after 15 minutes, the
    next news ends a stream. Where the service does not stream, the response is 406: use `wait`.

    A token that is too old, or of another account, gets 410 `changes-gone`: delete the copy, keep
    the queue of unsent changes, and start again without `since`.
    """
    incoming, principal = current(), current_principal()
    if stream.is_wanted(incoming):
        return stream.begin(incoming, principal, query.since, query.limit)
    user_id = principal.user_id
    since = position.decode(query.since, user_id)
    look = partial(queries.changes, user_id, since, query.limit)
    if query.wait < grip.LEAST_SECONDS or not grip.can_hold(incoming):
        return json_response(page(first_change(look, user_id, query.wait), user_id))
    feed = look()
    response = json_response(page(feed, user_id))
    if not feed.rows:
        response.headers.update(grip.held_response(user_id, query.wait))
    return response


@streams.get("/changes/<ticket>")
def go_on_with_changes(ticket: str) -> Response:
    """Go on with a stream of changes, which Pushpin asks for with a ticket."""
    return stream.go_on(require_ticket(ticket))


@streams.after_request
def end_what_is_over(response: Response) -> Response:
    """End the stream of a client that may not read on."""
    if response.status_code not in REFUSED or not grip.can_hold(current()):
        return response
    forget_token(None)  # it does not count, which has no bearing on a response without content
    return stream.end()
