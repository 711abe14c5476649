"""/v1/batch"""

from typing import Final

from apiflask import APIBlueprint
from flask import Response

from app.api.batch import queries
from app.api.batch.operations import writes
from app.api.batch.schemas import Batch, BatchResults
from app.auth.policies import current_user_id, provisioning
from app.core.places import BATCHES
from app.web import idempotency_key
from app.web.response import Document

blueprint: Final = APIBlueprint("batch", __name__, tag="Batch")


@blueprint.post("")
@blueprint.input(Batch, arg_name="batch")
@blueprint.output(BatchResults)
@provisioning
def run_batch(batch: Batch) -> Response:
    """Run a batch

    Up to a hundred writes. Either all of them are done, in their order, or none. Each operation
    does what a single request does: `create` is PUT with `If-None-Match: *`, `replace` is PUT,
    `update` is PATCH, `delete` is DELETE, `move` and `complete` are the POST of this name, and
    `if_match` is `If-Match`. The result of `complete` has the task as its body. The client chooses
    the ids, so an operation can refer to what an earlier one creates. A task may also come before
    the one that its `parent_id` names.

    If an operation is not valid, the response is 422 and points to the wrong values. If one cannot
    be done, it is 409 `batch-failed`, with the index of the `operation` and the `problem` that it
    has as a single request.
    """
    user_id = current_user_id()
    planned = writes(user_id, batch.operations)  # refuses what cannot be fingerprinted
    once = idempotency_key.requested(batch)
    with BATCHES.turn(user_id, "Other batches of this user are still under way."):
        body, replayed = queries.run(user_id, batch.operations, planned, once)
    return idempotency_key.mark(Document(body), replayed)
