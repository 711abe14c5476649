"""The statements of webhooks.

Those that write answer with one row: the webhook as it now is, or nulls, and `changed`. Those that
take preconditions also answer `expected`: whether the webhook stands at an admitted version though
it was not changed, as it was so already.
"""

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
from app.api.webhooks.schemas import FIELDS
from app.db.statement import Statement
from app.rows import idempotency, statements
from app.rows.listing import OldestFirst
from app.rows.owner import OWNER, User, beside_owner
from app.rows.quotas import ROW_SIZE, Growth
from app.rows.replays import stored_answer
from app.rows.shape import ID, ONE, USER_ID, Element

MOST: Final = 10
"""Webhooks of a user."""

PUBLIC: Final = [getattr(Webhook, name) for name in FIELDS]
OWN: Final = Webhook.user_id == USER_ID
THIS: Final = (OWN, Webhook.id == ID)

URL: Final = cast(bindparam("url"), Text)
EVENTS: Final = cast(bindparam("events"), ARRAY(Text))
DESCRIPTION: Final = cast(bindparam("description"), Text)
DESCRIBES: Final = bindparam("describes", type_=Boolean)
SEALED: Final = cast(bindparam("sealed"), Text)
KEY_ID: Final = cast(bindparam("key_id"), Text)


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
        "user_id": OWNER.c.id,
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
    new_row = select(*row.values()).select_from(beside_owner(bump))
    insertion = insert(Webhook).from_select(list(row), new_row)
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
    statement = statement.add_columns(
        exists().where(expected).select_from(before).label("expected")
    )
    return statement if replayed is None else _remembered(statement, replayed, after)


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
