"""/v1/reminders"""

from typing import Final

from apiflask import APIBlueprint
from flask import Response

from app.api.reminders import queries
from app.api.reminders.schemas import ReminderPage, RemindersQuery, represent
from app.auth.policies import current_user_id
from app.web import cursors

blueprint: Final = APIBlueprint("reminders", __name__, tag="Reminders")


@blueprint.get("")
@blueprint.input(RemindersQuery, location="query", arg_name="query")
@blueprint.output(ReminderPage)
def list_reminders(query: RemindersQuery) -> Response:
    """List reminders

    A page of the reminders that are to come, in the order of their instants, for apps that ring by
    themselves. A task with several reminders is listed as often. A task that is complete or deleted
    reminds nobody.
    """
    user_id = current_user_id()
    listing = [user_id, "reminders", query.until]
    position = cursors.decode(query.cursor, listing)
    rows = queries.list_reminders(user_id, query.until, query.limit, position)
    return cursors.page(rows, [represent(row) for row in rows], query.limit, listing)
