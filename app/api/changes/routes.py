"""/v1/changes"""

from functools import partial
from typing import Final

from apiflask import APIBlueprint
from flask import Response

from app.api.changes import position, queries
from app.api.changes.schemas import EXAMPLES, Changes, ChangesQuery, represent
from app.api.changes.waiting import first_change
from app.auth.policies import current_user_id
from app.web.response import json_response

blueprint: Final = APIBlueprint("changes", __name__, tag="Changes")


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

    A token that is too old, or of another account, gets 410 `changes-gone`: delete the copy, keep
    the queue of unsent changes, and start again without `since`.
    """
    user_id = current_user_id()
    since = position.decode(query.since, user_id)
    look = partial(queries.changes, user_id, since, query.limit)
    feed = first_change(look, user_id, query.wait)
    return json_response(
        {
            "items": [represent(row) for row in feed.rows],
            "next_token": position.encode(feed.position, user_id),
            "has_more": feed.has_more,
        }
    )
