"""/v1/tasks"""

from functools import partial
from typing import Final

from apiflask import APIBlueprint
from flask import Response

from app.api.tasks import queries
from app.api.tasks.actions import (
    LABELLED,
    SKIPPED,
    SNOOZED,
    Complete,
    Completion,
    Move,
    Occurrences,
    OccurrencesQuery,
    Snooze,
    Step,
)
from app.api.tasks.filters import TaskFilters
from app.api.tasks.queries import ADDING, GOING_ON, MOVING, SNOOZING, TAKING_AWAY, TASKS
from app.api.tasks.schemas import (
    COMPLETED,
    Task,
    TaskCreate,
    TaskPage,
    TaskPatch,
    TaskReplace,
    columns,
    represent,
)
from app.auth.policies import current_user_id, provisioning
from app.core.ids import new_id
from app.rows.idempotency import Once
from app.web import cursors, idempotency_key
from app.web.conditional import created, entity_tag, preconditions, resource
from app.web.response import json_response, no_content

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
    values = columns(task.whole())
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
    values = columns(task.whole())
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

    Moves it and all its subtasks to the trash, from where they can be restored for 30 days.
    """
    TASKS.delete(current_user_id(), task_id, preconditions())
    return no_content()


@blueprint.post("/<id:task_id>/restore")
@blueprint.output(Task)
def restore_task(task_id: str) -> Response:
    """Restore a task

    Takes the task out of the trash and gives it a new version, and with it the subtasks that were
    deleted with it. If its parent is in the trash, the task has none afterwards; if its category
    was deleted meanwhile, it is in none. A task that is not deleted is returned unchanged.
    `If-Match` compares with the version that the trash shows.
    """
    once = idempotency_key.requested({"id": task_id})
    representation, replayed = TASKS.restore(current_user_id(), task_id, preconditions(), once)
    return idempotency_key.mark(resource(representation), replayed)


@blueprint.post("/<id:task_id>/move")
@blueprint.input(Move, arg_name="move")
@blueprint.output(Task)
def move_task(task_id: str, move: Move) -> Response:
    """Move a task

    Give the task another place in the order of its user: directly behind or before another task, or
    at an end. Where there is no room between two tasks, others get new positions too, each with a
    new version; their order stays. `If-Match` is about the moved task.
    """
    once = idempotency_key.requested({"id": task_id, **move.given()})
    representation, replayed = TASKS.act(
        MOVING, current_user_id(), task_id, preconditions(), once, **move.parameters
    )
    return idempotency_key.mark(resource(representation), replayed)


@blueprint.put("/<id:task_id>/labels/<id:label_id>")
@blueprint.output(Task, example=LABELLED)
def add_label(task_id: str, label_id: str) -> Response:
    """Add a label to a task

    Other labels of the task stay, whatever other clients do to them at the same time. A task that
    has the label already is returned unchanged.
    """
    representation, _ = TASKS.act(
        ADDING, current_user_id(), task_id, preconditions(), None, label_id=label_id
    )
    return resource(representation)


@blueprint.delete("/<id:task_id>/labels/<id:label_id>")
@blueprint.output(Task)
def remove_label(task_id: str, label_id: str) -> Response:
    """Take a label away from a task

    Other labels of the task stay. A task that does not have the label is returned unchanged.
    """
    representation, _ = TASKS.act(
        TAKING_AWAY, current_user_id(), task_id, preconditions(), None, label_id=label_id
    )
    return resource(representation)


@blueprint.post("/<id:task_id>/complete")
@blueprint.input(Complete, arg_name="wanted")
@blueprint.output(Completion)
def complete_task(task_id: str, wanted: Complete) -> Response:
    """Complete a task

    Its open subtasks stay open, or are completed with it, each with a new version. A task that is
    complete already is returned unchanged, unless there are open subtasks to complete.

    A task that repeats goes on to its next occurrence, and what is below it is open again;
    `completed` is a copy of the occurrence that was completed. Name the `occurrence`, and the
    request can be repeated: an occurrence is completed once. Without a next one the task itself is
    completed. The ETag is that of `task`.
    """
    once = idempotency_key.requested({"id": task_id, **wanted.given()})
    return _stepped(task_id, wanted, once)


@blueprint.post("/<id:task_id>/skip")
@blueprint.input(Step, arg_name="wanted")
@blueprint.output(Completion, example={"task": SKIPPED, "completed": None})
def skip_occurrence(task_id: str, wanted: Step) -> Response:
    """Skip an occurrence

    The task goes on to its next occurrence, and no completed copy is left. After the last
    occurrence the task is completed. If the task is at another one, or does not repeat, the
    response is 409.
    """
    once = idempotency_key.requested({"id": task_id, **wanted.given()})
    return _stepped(task_id, wanted, once)


@blueprint.post("/<id:task_id>/snooze")
@blueprint.input(Snooze, arg_name="snooze")
@blueprint.output(Task, example=SNOOZED)
def snooze_task(task_id: str, snooze: Snooze) -> Response:
    """Snooze a task

    It reminds its user at that instant, and not before. A snooze ends when the task is due at
    another time, goes on to its next occurrence, or gets other reminders. A task that is complete
    is returned unchanged.
    """
    once = idempotency_key.requested({"id": task_id, **snooze.given()})
    representation, replayed = TASKS.act(
        SNOOZING, current_user_id(), task_id, preconditions(), once, **snooze.parameters
    )
    return idempotency_key.mark(resource(representation), replayed)


@blueprint.get("/<id:task_id>/occurrences")
@blueprint.input(OccurrencesQuery, location="query", arg_name="query")
@blueprint.output(Occurrences)
def get_occurrences(task_id: str, query: OccurrencesQuery) -> Response:
    """Preview occurrences

    Those that follow the present occurrence of the task, with when the task is due then; as many as
    there are within a hundred years. None if the task does not repeat.
    """
    return json_response(
        {"items": queries.list_occurrences(current_user_id(), task_id, query.limit)}
    )


def _stepped(task_id: str, wanted: Step, once: Once | None) -> Response:
    made, replayed = queries.complete_task(
        GOING_ON, current_user_id(), task_id, preconditions(), once, **wanted.parameters
    )
    response = json_response(made)
    response.headers["ETag"] = entity_tag(made["task"]["version"])
    return idempotency_key.mark(response, replayed)
