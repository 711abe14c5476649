"""/v1/labels"""

from typing import Final

from apiflask import APIBlueprint
from flask import Response

from app.api.labels.queries import LABELS, LISTING
from app.api.labels.schemas import (
    COLORLESS,
    Label,
    LabelCreate,
    LabelPage,
    LabelPatch,
    LabelReplace,
)
from app.auth.policies import current_user_id, provisioning
from app.core.ids import new_id
from app.web import cursors, idempotency_key
from app.web.conditional import created, preconditions, resource
from app.web.cursors import PageQuery
from app.web.response import no_content

blueprint: Final = APIBlueprint("labels", __name__, tag="Labels")


@blueprint.get("")
@blueprint.input(PageQuery, location="query", arg_name="query")
@blueprint.output(LabelPage)
def list_labels(query: PageQuery) -> Response:
    """List labels

    A page of the user's labels, oldest first.
    """
    user_id = current_user_id()
    listing = [user_id, "labels"]
    position = cursors.decode(query.cursor, listing)
    rows = LISTING.page(user_id, query.limit, position)
    items = [LABELS.represent(row) for row in rows]
    return cursors.page(rows, items, query.limit, listing)


@blueprint.post("")
@blueprint.input(LabelCreate, arg_name="label")
@blueprint.output(Label, status_code=201)
@provisioning
def create_label(label: LabelCreate) -> Response:
    """Create a label

    Send an `Idempotency-Key`, and you can repeat the request: the label is created once.
    """
    once = idempotency_key.requested(label)
    representation, replayed = LABELS.create(current_user_id(), new_id(), label.all(), once)
    return idempotency_key.mark(created(representation), replayed)


@blueprint.get("/<id:label_id>")
@blueprint.output(Label)
def get_label(label_id: str) -> Response:
    """Get a label

    Returns its ETag as well, for a later `If-Match`. With `If-None-Match` the response is 304 if
    the label still has this version, with `If-Match` it is 412 if it has another one.
    """
    return resource(LABELS.get(current_user_id(), label_id))


@blueprint.put("/<id:label_id>")
@blueprint.input(LabelReplace, arg_name="label")
@blueprint.output(Label)
@provisioning
def replace_label(label_id: str, label: LabelReplace) -> Response:
    """Create or replace a label

    The client chooses the id, so the request can be repeated safely. With `If-None-Match: *` the
    label is only created, with `If-Match` only replaced.
    """
    representation, new = LABELS.replace(current_user_id(), label_id, label.all(), preconditions())
    return resource(representation, 201 if new else 200)


@blueprint.patch("/<id:label_id>")
@blueprint.input(LabelPatch, arg_name="patch")
@blueprint.output(Label, example=COLORLESS)
def update_label(label_id: str, patch: LabelPatch) -> Response:
    """Change a label

    A JSON merge patch: absent fields stay as they are, null clears a field. Send the label's
    ETag as `If-Match`, so that you do not overwrite the change of another client.
    """
    return resource(LABELS.update(current_user_id(), label_id, patch.given(), preconditions()))


@blueprint.delete("/<id:label_id>")
@blueprint.output({}, status_code=204)
def delete_label(label_id: str) -> Response:
    """Delete a label

    Moves it to the trash. Its tasks stay, without this label, each with a new version.
    """
    LABELS.delete(current_user_id(), label_id, preconditions())
    return no_content()


@blueprint.post("/<id:label_id>/restore")
@blueprint.output(Label)
def restore_label(label_id: str) -> Response:
    """Restore a label

    Takes the label out of the trash and gives it a new version. The tasks that had it stay
    without it. If another label has the same name by now, the response is 409: rename or
    delete that one first. A label that is not deleted is returned unchanged. `If-Match` compares
    with the version that the trash shows.
    """
    once = idempotency_key.requested({"id": label_id})
    representation, replayed = LABELS.restore(current_user_id(), label_id, preconditions(), once)
    return idempotency_key.mark(resource(representation), replayed)
