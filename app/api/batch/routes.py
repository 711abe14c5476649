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

    Up to a hundred writes of items in their order, all of them or none. Each is what a request
    would be alone: `create` is PUT with `If-None-Match: *`, `replace` PUT, `update`
    PATCH, `delete` DELETE, and `if_match` its `If-Match`. Later ones may name what earlier ones
    create, as the ids are the client's.

    If one cannot be done, nothing is: 422 with pointers to what is wrong, or 409 and `batch-failed`
    with the number of the operation and the problem that it would have been answered with alone.
    """
    user_id = current_user_id()
    planned = writes(user_id, batch.operations)  # refuses what cannot be fingerprinted
    once = idempotency_key.requested(batch)
    with BATCHES.turn(user_id, "Other batches of this user are still under way."):
        body, replayed = queries.run(user_id, batch.operations, planned, once)
    return idempotency_key.mark(Document(body), replayed)
