"""Tasks that repeat: the next occurrence, the completed copy of this one, and what is below it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    CTE,
    Boolean,
    Date,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    exists,
    false,
    func,
    not_,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP, insert

from app.api.tasks.days import INSTANT
from app.api.tasks.models import Task
from app.api.tasks.schemas import represent
from app.api.tasks.subtrees import below, count_of, is_live, numbered, rewritten
from app.core.problem_kinds import STALE_OCCURRENCE
from app.core.problems import Problem
from app.db.sending import Row
from app.rows import statements
from app.rows.actions import Action, Copy
from app.rows.owner import OWNER, beside_owner
from app.rows.quotas import ROW_SIZE, ZERO, Growth, NoRoom, stored_size, texts_of
from app.rows.shape import ID, ONE, VERSIONS, Element, Shape, is_own

LEFT_BEHIND: Final = {"recurrence", "occurrence", "snoozed_until", "deleted_at", "erased_version"}
"""What a completed copy does not have of its task."""


class Asked(NamedTuple):
    """What a client asks for: which occurrence it means, whether missed ones are kept, whether a
    completed copy of the present one is left, and whether open subtasks are completed too where the
    task itself is.
    """

    occurrence: Element
    keeps_missed: Element
    copies: Element
    subtasks: Element


GIVEN: Final = Asked(
    cast(bindparam("asked"), Text),
    *(cast(bindparam(name), Boolean) for name in ("keeps_missed", "copies", "subtasks")),
)
OF_PATCH: Final = Asked(cast(null(), Text), false(), true(), false())


def change(shape: Shape, fields: Sequence[str]) -> Select[Any]:
    """Change some fields of a live task, `complete` to true among them."""
    action = going_on(shape, OF_PATCH, [name for name in fields if name != "complete"])
    acceptable = exists().where(statements.is_expected(action.before), action.differs)
    return action.statement().add_columns(acceptable.label("acceptable"))


def change_plainly(shape: Shape, fields: Sequence[str]) -> Select[Any]:
    """The same for a task that does not repeat."""
    table = shape.table
    return statements.change(
        shape, fields, only=or_(table.c.recurrence.is_(None), table.c.complete)
    )


def going_on(shape: Shape, asked: Asked = GIVEN, fields: Sequence[str] = ()) -> Action:
    """Complete a task, or let one that repeats go on to its next occurrence.

    Without a next occurrence the task itself is completed. What is below a task that goes on is
    open again. With fields, these are changed before, and one that repeats needs an If-Match.
    """
    table, before = shape.table, statements.whole(shape).cte("before")
    given = {name: shape.given(name) for name in fields}
    repeats = and_(before.c.recurrence.is_not(None), ~before.c.complete)
    has_time = func.has_time(before.c.recurrence, type_=Boolean)
    present = func.occurrence_text(before.c.occurrence, before.c.recurrence)
    is_asked = or_(asked.occurrence.is_(None), ~repeats, asked.occurrence == present)
    following = func.next_occurrence(
        before.c.recurrence, before.c.occurrence, asked.keeps_missed, func.clock_timestamp()
    )
    zone = func.zone_of_recurrence(before.c.recurrence)
    ahead = (
        select(following.label("at"), has_time.label("has_time"), zone.label("zone"))
        .where(repeats, is_asked)
        .cte("ahead")
        .prefix_with("materialized")
    )
    goes_on = exists().where(ahead.c.at.is_not(None)).select_from(ahead)
    tree = below(before, is_live)
    closes = and_(asked.subtasks, ~tree.c.complete)
    others = numbered(tree, case((goes_on, tree.c.complete), else_=closes))
    copies = and_(goes_on, asked.copies)
    made = case((copies, ONE), else_=ZERO)
    count = count_of(others) + made

    def values(bump: CTE) -> Mapping[str, Any]:
        instant = select(func.instant_of(ahead.c.at, ahead.c.zone)).where(ahead.c.has_time)
        day = select(cast(ahead.c.at, Date)).where(~ahead.c.has_time)
        now = {name: given.get(name, table.c[name]) for name in ("due_date", "due_at")}
        completed_at = func.coalesce(table.c.completed_at, bump.c.at)
        return {
            **given,
            "complete": not_(goes_on),
            "completed_at": case((goes_on, null()), else_=completed_at),
            "due_date": case((goes_on, day.scalar_subquery()), else_=now["due_date"]),
            "due_at": case((goes_on, instant.scalar_subquery()), else_=now["due_at"]),
            "occurrence": func.coalesce(select(ahead.c.at).scalar_subquery(), table.c.occurrence),
        }

    def written(bump: CTE) -> list[CTE]:
        completed_at = case((goes_on, null()), else_=bump.c.at)
        states = {"complete": not_(goes_on), "completed_at": completed_at}
        return [rewritten(others, bump, count, states)]

    def copy(bump: CTE) -> CTE:
        own = {
            **given,
            "user_id": OWNER.c.id,
            "id": func.uuid_of(before.c.id, present),
            "complete": true(),
            "completed_at": bump.c.at,
            "series_id": before.c.id,
            "version": bump.c.version - ONE,
            "created_at": bump.c.at,
            "updated_at": bump.c.at,
        }
        columns = [each for each in table.c if each.server_onupdate is None]
        names = [each.name for each in columns if each.name not in LEFT_BEHIND]
        row = [own.get(name, before.c[name]) for name in names]
        new = select(*row).select_from(beside_owner(before.join(bump, true()))).where(copies)
        inserted = insert(table).from_select(names, new).on_conflict_do_nothing()
        return inserted.returning(*table.c).cte("copy")

    texts = stored_size(before, texts_of(table, table.c.keys()))
    size = select(texts + ROW_SIZE).scalar_subquery()
    grown: Element = case((copies, size), else_=ZERO)
    is_done = and_(~before.c.complete, is_asked)
    has_asked = select(is_asked).select_from(before).scalar_subquery()
    can_step = select(or_(asked.copies, repeats)).select_from(before).scalar_subquery()
    guards: list[tuple[str, Element]] = [("is_asked", has_asked), ("can_step", can_step)]
    needed: list[Element] = [or_(asked.copies, repeats)]
    if asked is OF_PATCH:
        has_condition = or_(~repeats, VERSIONS.is_not(None), statements.MUST_EXIST)
        is_conditional = select(has_condition).select_from(before).scalar_subquery()
        guards = [*shape.guards_of(fields), ("is_conditional", is_conditional)]
        needed = [has_condition, *(guard for _, guard in shape.guards_of(fields))]
        grown += statements.longer(shape, fields, before)
    return Action(
        shape,
        before,
        differs=and_(*needed, or_(is_done, count > ONE, statements.differs(shape, before, fields))),
        values=values,
        step=count,
        others=written,
        growth=Growth(made, grown),
        guards=guards,
        copy=Copy(copy, case((asked.copies, func.uuid_of(ID, asked.occurrence)))),
    )


def require_asked(row: Row, _parameters: Mapping[str, Any]) -> bool:
    """Whether the occurrence was completed before.

    Raises Problem 409 for another one, or if there is nothing to skip; NoRoom for the copy.
    """
    if not row.can_step or (not row.is_asked and row.copied is None):
        raise Problem(STALE_OCCURRENCE, current=represent(row))
    if row.is_asked and not row.complete:
        raise NoRoom(rows=1)
    return not row.is_asked


def occurrences() -> Select[Any]:
    """The occurrences behind the present one of a live task, each with when it is due then."""
    task = Task.__table__
    found = func.occurrences_ahead(
        task.c.recurrence,
        task.c.occurrence,
        cast(bindparam("many"), Integer),
        func.clock_timestamp(),
        type_=ARRAY(TIMESTAMP),
    )
    each = func.unnest(found).table_valued(column("at", TIMESTAMP)).render_derived(name="each")
    ahead = each.c.at
    has_time = func.has_time(task.c.recurrence, type_=Boolean)
    instant = func.instant_of(ahead, func.zone_of_recurrence(task.c.recurrence), type_=INSTANT)
    columns = [
        func.occurrence_text(ahead, task.c.recurrence).label("occurrence"),
        case((~has_time, cast(ahead, Date))).label("due_date"),
        case((has_time, instant)).label("due_at"),
    ]
    rows = select(*columns).select_from(task.outerjoin(each, true()))
    return rows.where(is_own(task, ID)).order_by(ahead)
