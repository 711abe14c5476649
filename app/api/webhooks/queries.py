"""Queries of webhooks; each function is one statement and one round trip."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import (
    CTE,
    Boolean,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from app.api.webhooks.models import Webhook
from app.api.webhooks.schemas import FIELDS, represent
from app.api.webhooks.secrets import new_secret, seal, unseal
from app.core.problem_kinds import TOO_MANY_WEBHOOKS
from app.core.problems import Problem, not_found, precondition_failed
from app.core.secrets import accepted, present
from app.db.run import execute, first
from app.db.scope import reading, writing
from app.db.statement import Statement
from app.rows import idempotency, statements
from app.rows.idempotency import Once
from app.rows.listing import OldestFirst
from app.rows.owner import User
from app.rows.quotas import ROW_SIZE, Growth, NoAccount, NoRoom, quota, within_quota
from app.rows.replays import stored_answer
from app.rows.shape import ID, ONE, USER_ID, Element, Preconditions

MOST: Final = 10
"""Webhooks of a user."""

PUBLIC: Final = [getattr(Webhook, name) for name in FIELDS]
OWN: Final = Webhook.user_id == USER_ID
THIS: Final = (OWN, Webhook.id == ID)

URL: Final = cast(bindparam("url"), Text)
EVENTS: Final = cast(bindparam("events"), ARRAY(Text))
DESCRIPTION: Final = cast(bindparam("description"), Text)
SEALED: Final = cast(bindparam("sealed"), Text)
KEY_ID: Final = cast(bindparam("key_id"), Text)

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


def _create(once: bool) -> Select[Any]:
    count = select(func.count()).select_from(Webhook).where(OWN).scalar_subquery()
    has_room: Element = count < literal_column(str(MOST))
    if not once:
        return statements.answer([("has_room", has_room)], _inserted(None, has_room), FIELDS)
    replayed = idempotency.replayed()
    after = _inserted(Growth(ONE, ROW_SIZE), has_room, ~exists().select_from(replayed))
    table: Table = Webhook.__table__  # type: ignore[assignment]
    stored = stored_answer(table, replayed).cte("stored")
    statement = statements.answer([("has_room", has_room)], after, FIELDS, otherwise=stored)
    return _remembered(statement, replayed, after)


def _remembered(statement: Select[Any], replayed: CTE, after: CTE) -> Select[Any]:
    """Keep the answer with the sealed secret, and return what was kept before."""
    sealed = func.jsonb_build_object("secret", SEALED)
    kept = idempotency.kept(func.to_jsonb(text("after")).op("||")(sealed), after)
    return statement.add_columns(
        select(replayed.c.fingerprint).scalar_subquery().label("fingerprint"),
        select(replayed.c.answer["secret"].astext).scalar_subquery().label("sealed"),
    ).add_cte(kept)


def _inserted(growth: Growth | None, *conditions: Element) -> CTE:
    bump = statements.count_change(*conditions, growth=growth, also={"has_webhooks": true()})
    row = {
        "user_id": USER_ID,
        "id": ID,
        "url": URL,
        "events": EVENTS,
        "description": DESCRIPTION,
        "secret": SEALED,
        "key_id": KEY_ID,
        "version": bump.c.version,
        "created_at": bump.c.at,
        "updated_at": bump.c.at,
        "latest_version": bump.c.version,
        "latest_at": bump.c.at,
        "told_version": bump.c.version,
        "told_reminder_at": bump.c.at,
    }
    insertion = insert(Webhook).from_select(list(row), select(*row.values()).select_from(bump))
    return insertion.returning(*PUBLIC).cte("after")


def _changed(
    values: Callable[[CTE], Mapping[str, Any]],
    differs: Callable[[CTE], Element] = lambda _before: true(),
    *,
    once: bool = False,
) -> Select[Any]:
    """Write these values, of the owner's counter, with a new version, if the row differs."""
    before = select(*PUBLIC).where(*THIS).cte("before")
    expected = statements.is_expected(before)
    replayed = idempotency.replayed() if once else None
    unanswered = [] if replayed is None else [~exists().select_from(replayed)]
    bump = statements.count_change(
        exists().where(expected, differs(before)).select_from(before),
        *unanswered,
        growth=Growth(ONE, ROW_SIZE) if once else None,
    )
    after = (
        update(Webhook)
        .where(*THIS)
        .values(**values(bump), version=bump.c.version, updated_at=bump.c.at)
        .returning(*PUBLIC)
        .cte("after")
    )
    statement = statements.answer([], after, FIELDS, otherwise=before)
    statement = statement.add_columns(_whether(before, expected))
    return statement if replayed is None else _remembered(statement, replayed, after)


def _whether(before: CTE, expected: Element) -> Any:
    return exists().where(expected).select_from(before).label("expected")


def _patched(_bump: CTE) -> dict[str, Any]:
    """An address that is another one is tried at once."""
    moved = and_(URL.is_not(None), Webhook.url != URL)
    return {
        "url": func.coalesce(URL, Webhook.url),
        "events": func.coalesce(EVENTS, Webhook.events),
        "description": case((DESCRIBES, DESCRIPTION), else_=Webhook.description),
        "next_attempt_at": case((moved, null()), else_=Webhook.next_attempt_at),
        "attempts": case((moved, literal_column("0")), else_=Webhook.attempts),
    }


def _differs(before: CTE) -> Element:
    return or_(
        before.c.url != URL,
        before.c.events != EVENTS,
        and_(DESCRIBES, before.c.description.is_distinct_from(DESCRIPTION)),
    )


def _deleted() -> Select[Any]:
    """Without a webhook, the owner's writes need not be noted for any."""
    deletion = delete(Webhook).where(*THIS)
    row = select(*PUBLIC).where(*THIS)
    rest = exists(select(ONE).where(OWN, Webhook.id != ID).select_from(Webhook))

    def noted(after: CTE) -> list[CTE]:
        owner = update(User).where(User.id == USER_ID, exists().select_from(after), ~rest)
        return [owner.values(has_webhooks=False).returning(User.id).cte("noted")]

    statement = statements.if_expected(deletion, row, noted)
    return statement.add_columns(literal_column("false").label("expected"))


def _tested() -> Select[Any]:
    request = update(Webhook).where(*THIS).values(test_requested_at=func.clock_timestamp())
    statement = statements.if_expected(request, select(*PUBLIC).where(*THIS))
    return statement.add_columns(literal_column("false").label("expected"))


DESCRIBES: Final = bindparam("describes", type_=Boolean)
CREATE: Final = {once: Statement(_create(once)) for once in (False, True)}
GET: Final = Statement(select(*PUBLIC).where(*THIS))
UPDATE: Final = Statement(_changed(_patched, _differs))
DELETE: Final = Statement(_deleted())
TEST: Final = Statement(_tested())
RESUME: Final = Statement(
    _changed(
        lambda bump: {
            "disabled_at": null(),
            "next_attempt_at": null(),
            "attempts": 0,
            "latest_version": bump.c.version,
            "latest_at": bump.c.at,
        },
        lambda before: or_(
            before.c.disabled_at.is_not(None), before.c.next_attempt_at.is_not(None)
        ),
    )
)
ROTATE: Final = {
    once: Statement(_changed(lambda _: {"secret": SEALED, "key_id": KEY_ID}, once=once))
    for once in (False, True)
}
LISTING: Final = OldestFirst(select(*PUBLIC).where(OWN), Webhook.created_at, Webhook.id)
