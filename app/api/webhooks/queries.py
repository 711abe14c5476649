"""Queries of webhooks; each function is one statement and one round trip."""

from collections.abc import Mapping
from typing import Any

from app.api.webhooks.schemas import represent
from app.api.webhooks.secrets import new_secret, seal, unseal
from app.api.webhooks.statements import CREATE, DELETE, GET, RESUME, ROTATE, TEST, UPDATE
from app.core.problem_kinds import TOO_MANY_WEBHOOKS
from app.core.problems import Problem, not_found, precondition_failed
from app.core.secrets import accepted, present
from app.db.run import execute, first
from app.db.scope import reading, writing
from app.db.statement import Statement
from app.rows.idempotency import Once
from app.rows.quotas import NoAccount, NoRoom, quota, within_quota
from app.rows.shape import Preconditions

Representation = dict[str, Any]


def create_webhook(
    user_id: str, webhook_id: str, values: Mapping[str, Any], once: Once | None
) -> tuple[Representation, bool]:
    """Create a webhook, or return that of an earlier request with the same key, and whether it is.

    Raises NoAccount, NoRoom for the stored answer, Problem 409 if the user has too many, 422.
    """
    scope, secret = writing(user_id, once=once is not None), new_secret()
    parameters = {**values, "id": webhook_id, **_sealed(secret)}
    if once:
        parameters |= {**once.parameters, **quota()}

    def write() -> tuple[Representation, bool]:
        [row] = execute(scope, CREATE[scope.once], user_id=user_id, **parameters)
        if once:
            once.require_same(row.fingerprint)
        if row.id is None and not row.has_room:
            raise Problem(TOO_MANY_WEBHOOKS)
        if row.id is None:
            raise NoRoom(rows=1) if once else NoAccount
        shown = secret if row.changed else unseal(row.sealed, accepted())
        return {**represent(row), "secret": shown}, not row.changed

    return within_quota(user_id, write)


def get_webhook(user_id: str, webhook_id: str) -> Representation:
    """Return a webhook. Raises Problem 404."""
    row = first(execute(reading(user_id), GET, user_id=user_id, id=webhook_id))
    if row is None:
        raise not_found()
    return represent(row)


def update_webhook(
    user_id: str, webhook_id: str, changes: Mapping[str, Any], conditions: Preconditions
) -> Representation:
    """Change a webhook; return it as it now is. Raises Problem 404, 412."""
    values = {
        "url": changes.get("url"),
        "events": changes.get("events"),
        "description": changes.get("description"),
        "describes": "description" in changes,
    }
    return _run(user_id, webhook_id, UPDATE, conditions, **values)


def delete_webhook(user_id: str, webhook_id: str, conditions: Preconditions) -> None:
    """Delete a webhook. Raises Problem 404, 412."""
    _run(user_id, webhook_id, DELETE, conditions)


def request_test(user_id: str, webhook_id: str, conditions: Preconditions) -> None:
    """Have the worker send a message for a test. Raises Problem 404, 412."""
    _run(user_id, webhook_id, TEST, conditions)


def resume_webhook(user_id: str, webhook_id: str, conditions: Preconditions) -> Representation:
    """Have a webhook called again, and at once. Raises Problem 404, 412."""
    return _run(user_id, webhook_id, RESUME, conditions)


def rotate_secret(
    user_id: str, webhook_id: str, conditions: Preconditions, once: Once | None
) -> tuple[Representation, bool]:
    """Give a webhook a new secret; return it with that, and whether the key was answered before.

    Raises Problem 404, 412, 422, and NoRoom for the stored answer.
    """
    scope, secret = writing(user_id, once=once is not None), new_secret()
    parameters = {"user_id": user_id, "id": webhook_id, **_sealed(secret), **conditions._asdict()}
    if once:
        parameters |= {**once.parameters, **quota()}

    def write() -> tuple[Representation, bool]:
        [row] = execute(scope, ROTATE[scope.once], **parameters)
        replayed = once is not None and row.fingerprint is not None
        if once:
            once.require_same(row.fingerprint)
        if row.id is None:
            raise not_found()
        if replayed:
            return {**represent(row), "secret": unseal(row.sealed, accepted())}, True
        if not row.changed:
            raise NoRoom(rows=1) if once and row.expected else precondition_failed(represent(row))
        return {**represent(row), "secret": secret}, False

    return within_quota(user_id, write)


def _run(
    user_id: str, webhook_id: str, statement: Statement, conditions: Preconditions, **values: Any
) -> Representation:
    parameters = {"user_id": user_id, "id": webhook_id, **values, **conditions._asdict()}
    [row] = execute(writing(user_id), statement, **parameters)
    if row.id is None:
        raise not_found()
    if not row.changed and not row.expected:
        raise precondition_failed(represent(row))
    return represent(row)


def _sealed(secret: str) -> dict[str, str]:
    keys = present()
    return {"sealed": seal(secret, keys), "key_id": keys.id}
