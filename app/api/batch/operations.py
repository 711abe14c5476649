"""From the operations of a batch to the writes that its tables know."""

from collections.abc import Sequence
from typing import Any, Final

from app.api.batch.schemas import BODIES, Operation
from app.api.kinds import ACTIONS, KINDS
from app.core.problem_kinds import BATCH_FAILED, VALIDATION_FAILED
from app.core.problems import Problem, invalid
from app.rows.shape import Preconditions
from app.rows.write import Write
from app.web.fields.inputs import Body
from app.web.validation import MOST_ERRORS, in_body, validated

NEW: Final = Preconditions(must_be_new=True)


def writes(user_id: str, operations: Sequence[Operation]) -> list[Write]:
    """The writes, ready to be sent. Raises Problem 422 for all that is wrong with any of them."""
    planned: list[Write] = []
    errors: list[dict[str, Any]] = []
    for index, operation in enumerate(operations):
        try:
            planned.append(_write(user_id, operation))
        except Problem as problem:
            errors += _placed(f"/operations/{index}", problem)
        if len(errors) >= MOST_ERRORS:
            break
    if errors:
        raise Problem(VALIDATION_FAILED, errors=errors[:MOST_ERRORS])
    return planned


def concerning(operations: Sequence[Operation], row_id: str) -> int:
    """The index of the last operation that gives this row a reference, or names it at all."""
    named = [index for index, each in enumerate(operations) if each.id == row_id]
    giving = [
        index
        for index in named
        if (operations[index].body or {}).keys() & KINDS[operations[index].type].references.keys()
    ]
    return (giving or named)[-1]


def _write(user_id: str, operation: Operation) -> Write:
    table, values = KINDS[operation.type].writes, _values(operation)
    action = ACTIONS.get((operation.op, operation.type))
    if operation.op == "create":
        return table.replacement(user_id, operation.id, values, NEW)
    conditions = Preconditions()
    if operation.if_match:
        version = int(operation.if_match.strip('"'))
        conditions = Preconditions([version], must_exist=True)
    if action:
        return table.action(action.acting, user_id, operation.id, conditions, **values)
    if operation.op == "replace":
        return table.replacement(user_id, operation.id, values, conditions)
    if operation.op == "update":
        return table.change(user_id, operation.id, values, conditions)
    return table.deletion(user_id, operation.id, conditions)


def _values(operation: Operation) -> dict[str, Any]:
    """What it writes, as the table keeps it. Raises Problem 422, with pointers into itself."""
    if operation.op == "create" and operation.if_match:
        raise invalid("does not go with create", "unsupported", pointer="/if_match")
    if operation.op == "delete":
        if operation.body is not None:
            raise invalid("does not go with delete", "unsupported", pointer="/body")
        return {}
    model = BODIES.get((operation.op, operation.type))
    if model is None:
        raise invalid(f"does not go with {operation.type}", "unsupported", pointer="/op")
    body: Body = validated(model, operation.body, lambda place: in_body(("body", *place)))
    if action := ACTIONS.get((operation.op, operation.type)):
        return dict(action.parameters(body))
    values = body.given() if operation.op == "update" else body.whole()
    return KINDS[operation.type].columns(values)


def failed(index: int, problem: Problem) -> Problem:
    """The answer to a batch of which this operation would have been answered so alone."""
    if problem.kind is VALIDATION_FAILED:
        return Problem(VALIDATION_FAILED, errors=_placed(f"/operations/{index}/body", problem))
    detail = f"Operation {index} cannot be done, and so nothing was done: {problem.detail}"
    return Problem(BATCH_FAILED, detail, operation=index, problem=problem.document)


def _placed(place: str, problem: Problem) -> list[dict[str, Any]]:
    """The errors of one operation, where they stand in the batch."""
    return [
        {**error, "pointer": f"{place}{error['pointer']}"} for error in problem.members["errors"]
    ]
