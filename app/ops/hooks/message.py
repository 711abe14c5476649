"""What a webhook is told, as Standard Webhooks has it: thin, signed, and told apart by an id.

The id is made of what is told, so an attempt that is repeated has it again, and one that tells more
has another.
"""

import hashlib
import hmac
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson
from standardwebhooks import Webhook

from app.api.webhooks.secrets import unseal
from app.core.secrets import Keys
from app.core.version import __version__
from app.ops.hooks.queries import Claim

ID_CHARACTERS: Final = 32


class Message(NamedTuple):
    """A message to be sent: its kind, its id, its body, and what is told once it is accepted."""

    kind: str
    id: str
    body: bytes
    progress: dict[str, object]


def message_of(claimed: Claim) -> Message | None:
    """Return what there is to tell first: a test, a reminder or changes; None if nothing is."""
    if claimed.test_requested_at:
        return _message(claimed, "test", claimed.test_requested_at, {})
    if claimed.disabled:
        return None
    if claimed.reminder_at:
        at, task_id = claimed.reminder_at, claimed.reminder_task_id
        told: dict[str, object] = {"reminder_at": at, "reminder_task_id": task_id}
        return _message(claimed, "reminder", at, {"task_id": task_id, "at": at}, **told)
    if claimed.has_changes:
        version = claimed.latest_version
        return _message(claimed, "changes", claimed.latest_at, {"until": version}, version=version)
    return None


def headers_of(
    message: Message, claimed: Claim, accepted: tuple[Keys, ...], at: datetime
) -> dict[str, str]:
    """Return the headers of an attempt at this time, signed with each secret that counts.

    Raises ValueError if the present secret cannot be unsealed; an old one is left out then.
    """
    secrets = [unseal(claimed.secret, accepted)]
    if claimed.old_secret:
        with suppress(ValueError):
            secrets.append(unseal(claimed.old_secret, accepted))
    body = message.body.decode()
    signatures = [Webhook(each).sign(message.id, at, body) for each in secrets]
    return {
        "content-type": "application/json",
        "user-agent": f"Tasks-API/{__version__}",
        "webhook-id": message.id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _message(
    claimed: Claim, kind: str, at: datetime, data: dict[str, Any], **told: object
) -> Message:
    content = {"type": kind, "timestamp": at.astimezone(UTC), "data": data}
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    named = hmac.digest(claimed.id.encode(), body, hashlib.sha256).hex()[:ID_CHARACTERS]
    progress = {"version": None, "reminder_at": None, "reminder_task_id": None}
    return Message(kind, f"msg_{named}", body, {**progress, **told})
