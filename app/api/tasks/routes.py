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

    A page of the user's tasks. To get the next page, send `next_cursor` as `cursor`, until it is
    null.

    For sorting and filtering, a task with a `due_date` is due when that day begins: in the
    account's `time_zone`, or in the one given in the query.
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

    Send an `Idempotency-Key`, and you can repeat the request: the task is created once.
    """
    once = idempotency_key.requested(task)
    values = columns(task.all())
    representation, replayed = TASKS.create(current_user_id(), new_id(), values, once)
    return idempotency_key.mark(created(representation), replayed)


@blueprint.get("/<id:task_id>")
@blueprint.output(Task)
def get_task(task_id: str) -> Response:
    """Get a task

    Returns its ETag as well, for a later `If-Match`. With `If-None-Match` the response is 304 if
    the task still has this version, with `If-Match` it is 412 if it has another one.
    """
    return resource(TASKS.get(current_user_id(), task_id))


@blueprint.put("/<id:task_id>")
@blueprint.input(TaskReplace, arg_name="task")
@blueprint.output(Task)
@provisioning
def replace_task(task_id: str, task: TaskReplace) -> Response:
    """Create or replace a task

    The client chooses the id, so the request can be repeated safely. With `If-None-Match: *` the
    task is only created, with `If-Match` only replaced.
    """
    values = columns(task.all())
    representation, new = TASKS.replace(current_user_id(), task_id, values, preconditions())
    return resource(representation, 201 if new else 200)


@blueprint.patch("/<id:task_id>")
@blueprint.input(TaskPatch, arg_name="patch")
@blueprint.output(Task, example=COMPLETED)
def update_task(task_id: str, patch: TaskPatch) -> Response:
    """Change a task

    A JSON merge patch: absent fields stay as they are, null clears a field. Send the task's ETag as
    `If-Match`, so that you do not overwrite the change of another client.
    """
    values = columns(patch.given())
    return resource(TASKS.update(current_user_id(), task_id, values, preconditions()))


@blueprint.delete("/<id:task_id>")
@blueprint.output({}, status_code=204)
def delete_task(task_id: str) -> Response:
    """Delete a task

    Moves it to the trash, from where it can be restored for 30 days.
    """
    TASKS.delete(current_user_id(), task_id, preconditions())
    return no_content()


@blueprint.post("/<id:task_id>/restore")
@blueprint.output(Task)
def restore_task(task_id: str) -> Response:
    """Restore a task

    Takes the task out of the trash and gives it a new version. If its category was deleted
    meanwhile, it is in none. A task that is not deleted is returned unchanged. `If-Match` compares
    with the version that the trash shows.
    """
    once = idempotency_key.requested({"id": task_id})
    representation, replayed = TASKS.restore(current_user_id(), task_id, preconditions(), once)
    return idempotency_key.mark(resource(representation), replayed)
