"""The statements that write a versioned row: one statement checks, counts, writes and returns.

All answer with exactly one row: the columns of the row as it now is, which are null where there is
none, `changed`, and a `<field>_allowed` for each guard. Their parts are common table expressions:
`before` is the live row, `bump` the owner's counter, counted up if all conditions hold, and
`after` the row written with the new version (PostgreSQL, "Data-Modifying Statements in WITH").
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    Delete,
    FromClause,
    Select,
    Update,
    all_,
    and_,
    any_,
    bindparam,
    case,
    exists,
    false,
    func,
    insert,
    null,
    or_,
    select,
    text,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert as insert_or_update

from app.rows import idempotency
from app.rows.owner import OWNER, User, beside_owner
from app.rows.quotas import ROW_SIZE, SIZE, ZERO, Growth, growth_of_one, stored_size, texts_of
from app.rows.replays import stored_answer
from app.rows.shape import ID, ONE, OTHER_THAN, USER_ID, VERSIONS, Element, Shape, is_own

MUST_EXIST: ColumnElement[bool] = bindparam("must_exist", type_=Boolean)
MUST_BE_NEW: ColumnElement[bool] = bindparam("must_be_new", type_=Boolean)


def create(shape: Shape, fields: Sequence[str], *, once: bool) -> Select[Any]:
    """Insert a row; with `once`, only if its idempotency key was not answered before."""
    guards = shape.guards_of(fields)
    if not once:
        growth = Growth(ONE, SIZE + ROW_SIZE)
        bump = count_change(*(g for _, g in guards), growth=growth)
        after = _inserted(shape, fields, bump, shape.columns)
        return answer(guards, after, shape.answered)
    replayed = idempotency.replayed()
    two = ONE + ONE  # the row, and the answer that is kept
    twice = Growth(two, (SIZE + ROW_SIZE) * two)
    unanswered = ~exists().select_from(replayed)
    bump = count_change(unanswered, *(g for _, g in guards), growth=twice)
    after = _inserted(shape, fields, bump, shape.table.c)
    stored = stored_answer(shape.table, replayed).cte("stored")
    fingerprint = select(replayed.c.fingerprint).scalar_subquery().label("fingerprint")
    kept = idempotency.kept(func.to_jsonb(text("after")), after)
    return (
        answer(guards, after, shape.answered, otherwise=stored)
        .add_columns(fingerprint)
        .add_cte(kept)
    )


def replace(shape: Shape, fields: Sequence[str]) -> Select[Any]:
    """Insert the row or write all its fields; `existed` tells which it was."""
    table, guards, before = shape.table, shape.guards_of(fields), live(shape).cte("before")
    left_out = [name for name in shape.inherited if name not in fields]
    others = (before.c[name].is_distinct_from(shape.inherited[name]) for name in left_out)
    differing = exists().where(is_expected(before), or_(differs(shape, before, fields), *others))
    existed = exists().select_from(before)
    acceptable = case((existed, and_(~MUST_BE_NEW, differing)), else_=~MUST_EXIST)
    growth = growth_of_one(existed, longer(shape, fields, before))
    bump = count_change(acceptable, *(guard for _, guard in guards), growth=growth)
    row = _new_row(shape, fields, bump)
    new_row = select(*row.values()).select_from(beside_owner(bump))
    statement = insert_or_update(table).from_select(list(row), new_row)
    new, alive = statement.excluded, table.c.deleted_at.is_(None)
    own = {name: and_(alive, bindparam(name).is_(None)) for name in shape.made}
    changes = {name: new[name] for name in [*fields, *left_out, "version", "updated_at"]} | {
        **{name: case((keeps, table.c[name]), else_=new[name]) for name, keeps in own.items()},
        **{name: case((alive, table.c[name])) for name in shape.own},
        "created_at": case((alive, table.c.created_at), else_=new.created_at),
        "deleted_at": null(),
        **shape.derive(
            fields,
            lambda name: new[name],
            lambda name: case((alive, table.c[name])),
            new.updated_at,
        ),
    }
    upserted = statement.on_conflict_do_update(index_elements=["user_id", "id"], set_=changes)
    after = upserted.returning(*shape.columns).cte("after")
    outcome = answer(guards, after, shape.answered, otherwise=before)
    return outcome.add_columns(existed.label("existed"), acceptable.label("acceptable"))


def change(shape: Shape, fields: Sequence[str], *, only: Element | None = None) -> Select[Any]:
    """Change some fields of a live row, unless they are so already.

    With `only`, a condition on the row, no other row is changed; `is_plain` answers whether it is
    fulfilled.
    """
    guards, table = shape.guards_of(fields), shape.table
    plain = true() if only is None else only
    asked = and_(is_expected(table), differs(shape, table, fields), plain)
    before = live(shape, asked.label("acceptable"), plain.label("is_plain")).cte("before")
    texts = texts_of(table, fields)
    growth = Growth(None, longer(shape, fields, before)) if texts else None
    acceptable = exists().where(before.c.acceptable)
    bump = count_change(acceptable, *(guard for _, guard in guards), growth=growth)
    values: dict[str, Element] = {name: shape.given(name) for name in fields}
    derived = shape.derive(fields, bindparam, lambda name: table.c[name], bump.c.at)
    after = changed_row(shape, bump, values | derived)
    statement = answer(guards, after, shape.answered, otherwise=before)
    if only is not None:
        is_plain = select(before.c.is_plain).scalar_subquery()
        statement = statement.add_columns(is_plain.label("is_plain"))
    if not texts:
        return statement
    return statement.add_columns(select(before.c.acceptable).scalar_subquery().label("acceptable"))


def delete(shape: Shape) -> Select[Any]:
    """Make a live row a tombstone."""
    before = live(shape).cte("before")
    bump = count_change(exists().where(is_expected(before)).select_from(before))
    after = changed_row(shape, bump, {"deleted_at": bump.c.at})
    return answer([], after, shape.answered, otherwise=before)


def if_expected(
    write: Update | Delete,
    row: Select[Any],
    others: Callable[[CTE], Sequence[CTE]] = lambda _after: (),
) -> Select[Any]:
    """Update or delete a row that leaves no tombstone; `row` selects its columns as it stands.

    `others` are CTEs that write other rows, of the one with the columns of the row as written.
    """
    before = row.cte("before")
    expected = exists().where(is_expected(before)).select_from(before)
    after = write.where(expected).returning(*row.selected_columns).cte("after")
    return answer([], after, before.c.keys(), otherwise=before).add_cte(*others(after))


def live(shape: Shape, *more: Element) -> Select[Any]:
    """The row as it stands, unless it is a tombstone, and more that is asked of it."""
    return select(*shape.columns, *more).where(is_own(shape.table, ID))


def whole(shape: Shape) -> Select[Any]:
    """The row as it stands, with all columns, unless it is a tombstone."""
    return select(*shape.table.c).where(is_own(shape.table, ID))


def is_expected(before: FromClause) -> Element:
    """Whether the row stands at one of the versions that the client admits, if it names any, and
    at none of those that it excludes.
    """
    version = before.c.version
    return and_(
        or_(VERSIONS.is_(None), version == any_(VERSIONS)),
        or_(OTHER_THAN.is_(None), version != all_(OTHER_THAN)),
    )


def count_change(
    *conditions: Element,
    step: Element = ONE,
    growth: Growth | None = None,
    also: Mapping[str, Element] | None = None,
) -> CTE:
    """Count the owner's changes up if the conditions hold and there is room for what the owner's
    rows grow by: columns `version` and `at`. `also` is what else is set in the owner's row.

    The clock is read when the owner's row is held, so that times and versions have one order.
    """
    room = [growth.is_admitted()] if growth else []
    return (
        update(User)
        .where(User.id == USER_ID, *conditions, *room)
        .values(
            change_seq=User.change_seq + step,
            **(growth.values() if growth else {}),
            **(also or {}),
        )
        .returning(User.change_seq.label("version"), func.clock_timestamp().label("at"))
        .cte("bump")
    )


def changed_row(shape: Shape, bump: CTE, values: Mapping[str, Any], *conditions: Element) -> CTE:
    """The row with these values, the new version and the time of the change."""
    table = shape.table
    return (
        update(table)
        .where(table.c.user_id == USER_ID, table.c.id == ID, *conditions)
        .values(**values, version=bump.c.version, updated_at=bump.c.at)
        .returning(*shape.columns)
        .cte("after")
    )


def answer(
    guards: Sequence[tuple[str, Element]],
    after: CTE,
    names: Sequence[str],
    *,
    otherwise: CTE | None = None,
) -> Select[Any]:
    """One row: the named columns of what was written, or of what is there otherwise, or nulls."""
    row: Select[Any] = select(*(after.c[name] for name in names), true().label("changed"))
    rows: Any = row
    if otherwise is not None:
        rest = select(*(otherwise.c[name] for name in names), false())
        rows = union_all(row, rest.where(~exists().select_from(after)))
    found = rows.subquery("found")
    one = select(ONE).subquery("one")
    return select(*found.c, *(guard.label(name) for name, guard in guards)).select_from(
        one.outerjoin(found, true())
    )


def _inserted(shape: Shape, fields: Sequence[str], bump: CTE, columns: Iterable[Element]) -> CTE:
    row = _new_row(shape, fields, bump)
    new_row = select(*row.values()).select_from(beside_owner(bump))
    statement = insert(shape.table).from_select(list(row), new_row)
    return statement.returning(*columns).cte("after")


def _new_row(shape: Shape, fields: Sequence[str], bump: CTE) -> dict[str, Element]:
    return {
        "user_id": OWNER.c.id,
        "id": ID,
        **{n: value for n, value in shape.inherited.items() if n not in fields},
        **{name: shape.make(name, shape.given(name), bump.c.at) for name in fields},
        **shape.derive(fields, bindparam, lambda _: null(), bump.c.at),
        "version": bump.c.version,
        "created_at": bump.c.at,
        "updated_at": bump.c.at,
    }


def longer(shape: Shape, fields: Sequence[str], before: FromClause) -> Element:
    """How many bytes longer the texts of the row become; its present ones are null if it is new."""
    texts = texts_of(shape.table, fields)
    if not texts:
        return ZERO
    stored = select(stored_size(before, texts)).scalar_subquery()
    return SIZE - func.coalesce(stored, ZERO)


def differs(shape: Shape, before: FromClause, fields: Sequence[str]) -> Element:
    """Whether a field of the row has another value than the one that is given."""
    differ = []
    for name in fields:
        new = shape.settled(name, shape.given(name), before.c[name])
        differ.append(before.c[name].is_distinct_from(new))
    return or_(false(), *differ)
