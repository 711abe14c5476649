"""/v1/trash"""

from typing import Final

from apiflask import APIBlueprint
from flask import Response

from app.api.trash import erasing, queries
from app.api.trash.schemas import TrashPage, represent
from app.auth.policies import current_user_id
from app.core.problems import precondition_failed
from app.web import cursors
from app.web.conditional import preconditions
from app.web.cursors import PageQuery
from app.web.response import no_content

blueprint: Final = APIBlueprint("trash", __name__, tag="Trash")


@blueprint.get("")
@blueprint.input(PageQuery, location="query", arg_name="query")
@blueprint.output(TrashPage)
def list_trash(query: PageQuery) -> Response:
    """List the trash

    A page of the items that were deleted and can be restored, newest deletion first. They stay
    until `purged_after`, or until they are erased.
    """
    user_id = current_user_id()
    listing = [user_id, "trash"]
    position = cursors.decode(query.cursor, listing)
    rows = queries.list_trash(user_id, query.limit, position)
    return cursors.page(rows, [represent(row) for row in rows], query.limit, listing)


@blueprint.delete("/<id:item_id>")
@blueprint.output({}, status_code=204)
def erase_item(item_id: str) -> Response:
    """Erase what is in the trash

    Removes its content permanently; it cannot be restored.
    """
    erasing.erase_item(current_user_id(), item_id, preconditions())
    return no_content()


@blueprint.delete("")
@blueprint.output({}, status_code=204)
def empty_trash() -> Response:
    """Empty the trash

    Erases everything that is in the trash when the request begins. A large trash is erased in
    steps. If there is no time for all of them, the response is 503 `unfinished`: repeat the request
    to erase the rest. The trash has no ETag, so an `If-Match` with one gets 412.
    """
    if preconditions().versions is not None:
        raise precondition_failed(None)
    erasing.empty_trash(current_user_id())
    return no_content()
