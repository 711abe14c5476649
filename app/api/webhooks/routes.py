"""/v1/webhooks"""

from typing import Final

from apiflask import APIBlueprint
from flask import Response

from app.api.webhooks import queries
from app.api.webhooks.schemas import (
    CHANGES_ALONE,
    IssuedWebhook,
    Webhook,
    WebhookCreate,
    WebhookPage,
    WebhookPatch,
    represent,
)
from app.api.webhooks.statements import LISTING
from app.auth.policies import current_user_id, provisioning
from app.core.ids import new_id
from app.web import cursors, idempotency_key
from app.web.conditional import created, preconditions, resource
from app.web.cursors import PageQuery
from app.web.response import accepted, no_content

blueprint: Final = APIBlueprint("webhooks", __name__, tag="Webhooks")


@blueprint.get("")
@blueprint.input(PageQuery, location="query", arg_name="query")
@blueprint.output(WebhookPage)
def list_webhooks(query: PageQuery) -> Response:
    """List webhooks

    A page of the user's webhooks, oldest first.
    """
    user_id = current_user_id()
    listing = [user_id, "webhooks"]
    position = cursors.decode(query.cursor, listing)
    rows = LISTING.page(user_id, query.limit, position)
    return cursors.page(rows, [represent(row) for row in rows], query.limit, listing)


@blueprint.post("")
@blueprint.input(WebhookCreate, arg_name="webhook")
@blueprint.output(IssuedWebhook, status_code=201)
@provisioning
def create_webhook(webhook: WebhookCreate) -> Response:
    """Create a webhook

    From now on the URL is called with `POST` when something of the user's has changed, or a task
    reminds. The message says only that, and never what: read `/v1/changes`. It is signed with the
    `secret`, which only this response shows. A user has at most ten webhooks.

    The URL is https, on port 443 or one from 1024 on, and leads to no private or reserved address.
    """
    once = idempotency_key.requested(webhook)
    representation, replayed = queries.create_webhook(
        current_user_id(), new_id(), webhook.all(), once
    )
    return idempotency_key.mark(created(representation), replayed)


@blueprint.get("/<id:webhook_id>")
@blueprint.output(Webhook)
def get_webhook(webhook_id: str) -> Response:
    """Get a webhook

    Also tells how the last attempt ended. Attempts do not change the version, so send no
    `If-None-Match` to see them.
    """
    return resource(queries.get_webhook(current_user_id(), webhook_id))


@blueprint.patch("/<id:webhook_id>")
@blueprint.input(WebhookPatch, arg_name="patch")
@blueprint.output(Webhook, example=CHANGES_ALONE)
def update_webhook(webhook_id: str, patch: WebhookPatch) -> Response:
    """Change a webhook

    A JSON merge patch: absent fields stay as they are, null clears a field. A new URL is called at
    once if there is something to tell.
    """
    changes = patch.given()
    return resource(queries.update_webhook(current_user_id(), webhook_id, changes, preconditions()))


@blueprint.delete("/<id:webhook_id>")
@blueprint.output({}, status_code=204)
def delete_webhook(webhook_id: str) -> Response:
    """Delete a webhook

    It is not called any more, except if a call is under way.
    """
    queries.delete_webhook(current_user_id(), webhook_id, preconditions())
    return no_content()


@blueprint.post("/<id:webhook_id>/test")
@blueprint.output({}, status_code=202)
def test_webhook(webhook_id: str) -> Response:
    """Test a webhook

    Sends a message of the type `test` within seconds, once, even to a webhook that is disabled. Get
    the webhook afterwards: `last_attempt_at`, `last_status` and `last_error` tell how it ended.
    """
    queries.request_test(current_user_id(), webhook_id, preconditions())
    return accepted()


@blueprint.post("/<id:webhook_id>/rotate-secret")
@blueprint.output(IssuedWebhook)
def rotate_webhook_secret(webhook_id: str) -> Response:
    """Replace the secret of a webhook

    Messages are signed with both secrets for 24 hours, so that receivers can change to the new one
    without missing any. Only this response shows it.
    """
    once = idempotency_key.requested({"id": webhook_id})
    representation, replayed = queries.rotate_secret(
        current_user_id(), webhook_id, preconditions(), once
    )
    return idempotency_key.mark(resource(representation), replayed)


@blueprint.post("/<id:webhook_id>/resume")
@blueprint.output(Webhook)
def resume_webhook(webhook_id: str) -> Response:
    """Resume a webhook

    Has a webhook that is disabled, or waits for its next attempt, called at once. One that is
    neither is returned unchanged.
    """
    return resource(queries.resume_webhook(current_user_id(), webhook_id, preconditions()))
