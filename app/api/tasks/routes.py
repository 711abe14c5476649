"""/v1/tasks"""

from functools import partial
from typing import Final

from apiflask import APIBlueprint
from flask import Response

from app.api.tasks import queries
from app.api.tasks.queries import TASKS
from app.api.tasks.schemas import (
    COMPLETED,
    Task,
    TaskCreate,
    TaskFilters,
    TaskPage,
    TaskPatch,
    TaskReplace,
    columns,
    represent,
)
from app.auth.policies import current_user_id, provisioning
from app.core.ids import new_id
from app.web import cursors, idempotency_key
from app.web.conditional import created, preconditions, resource
from app.web.response import no_content

blueprint: Final = APIBlueprint("tasks", __name__, tag="Tasks")


@blueprint.get("")
@blueprint.input(TaskFilters, location="query", arg_name="filters")
@blueprint.output(TaskPage)
def list_tasks(filters: TaskFilters) -> Response:
    """List tasks

    A page of the user's tasks. Walk on with `next_cursor` until it is null; the walk misses and
    repeats nothing while others insert and delete.

    A task with a `due_date` is due when that day begins, in the order and in the filters. Days are
    those of the account's `time_zone`, as it is now, or of the one that the query names.
    """
    user_id = current_user_id()
    listing = [user_id, filters.criteria()]
    position = cursors.decode(filters.cursor, listing)
    rows = queries.list_tasks(user_id, filters, position)
    items = [represent(row) for row in rows]
    following = partial(queries.next_position, filters, position)
    return cursors.page(rows, items, filters.limit, listing, following)


@blueprint.post("")
@blueprint.input(TaskCreate, arg_name="task")
@blueprint.output(Task, status_code=201)
@provisioning
def create_task(task: TaskCreate) -> Response:
    """Create a task

    With an `Idempotency-Key`, the same request sent again is answered again and done once.
    """
    once = idempotency_key.requested(task)
    values = columns(task.all())
    representation, replayed = TASKS.create(current_user_id(), new_id(), values, once)
    return idempotency_key.mark(created(representation), replayed)


@blueprint.get("/<id:task_id>")
@blueprint.output(Task)
def get_task(task_id: str) -> Response:
    """Get a task

    With its ETag, for a later `If-Match`; with `If-None-Match`, 304 while it is the same. With
    `If-Match`, 412 if it is another version by now.
    """
    return resource(TASKS.get(current_user_id(), task_id))


@blueprint.put("/<id:task_id>")
@blueprint.input(TaskReplace, arg_name="task")
@blueprint.output(Task)
@provisioning
def replace_task(task_id: str, task: TaskReplace) -> Response:
    """Create or replace a task

    The task is written under an id that the client made, so that it can be sent again safely. With
    `If-None-Match: *` it is only created, with `If-Match` only replaced.
    """
    values = columns(task.all())
    representation, new = TASKS.replace(current_user_id(), task_id, values, preconditions())
    return resource(representation, 201 if new else 200)


@blueprint.patch("/<id:task_id>")
@blueprint.input(TaskPatch, arg_name="patch")
@blueprint.output(Task, example=COMPLETED)
def update_task(task_id: str, patch: TaskPatch) -> Response:
    """Change a task

    A JSON merge patch: absent fields stay as they are, null clears. Send the task's ETag as
    `If-Match`, and nobody's change is lost.
    """
    values = columns(patch.given())
    return resource(TASKS.update(current_user_id(), task_id, values, preconditions()))


@blueprint.delete("/<id:task_id>")
@blueprint.output({}, status_code=204)
def delete_task(task_id: str) -> Response:
    """Delete a task

    It goes to the trash, from where it can be restored for 30 days.
    """
    TASKS.delete(current_user_id(), task_id, preconditions())
    return no_content()


@blueprint.post("/<id:task_id>/restore")
@blueprint.output(Task)
def restore_task(task_id: str) -> Response:
    """Restore a task

    Take it out of the trash: it is live again, with a new version. It is in no category if its own
    was deleted meanwhile. One that is live already is answered as it is. `If-Match` takes the
    version that the trash shows.
    """
    once = idempotency_key.requested({"id": task_id})
    representation, replayed = TASKS.restore(current_user_id(), task_id, preconditions(), once)
    return idempotency_key.mark(resource(representation), replayed)
