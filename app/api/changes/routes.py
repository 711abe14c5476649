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

    Everything of the user's that was created, changed or deleted after `since`, in the order of
    its versions: nothing is missed and nothing comes twice, whatever is written meanwhile. What
    was changed several times comes once, as it is now.

    Without `since` a first copy begins: all that is live, page by page. Keep `next_token`, and go
    on with it at once while `has_more` is true. With `wait`, the answer comes as soon as there is
    a change, or empty after so many seconds or at once where too many wait already: leave a second
    between two requests. A token that is older than what `flask purge` has removed, or of another
    account or secret, is answered with 410 and `changes-gone`: drop the copy and start over.
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
