"""Actions: what a POST does to one row of a user, and perhaps to other rows with it.

An action that would change nothing writes nothing. With an idempotency key, it is answered again as
it was answered first, also where it changed nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import CTE, Select, Uuid, case, cast, exists, func, select, text, union_all
from sqlalchemy.dialects.postgresql import JSONB

from app.rows import idempotency
from app.rows.quotas import ROW_SIZE, ZERO, Growth, stored_size, texts_of
from app.rows.replays import stored_answer
from app.rows.shape import ONE, Element, Shape, is_own
from app.rows.statements import answer, changed_row, count_change, is_expected


def no_others(_bump: CTE) -> Sequence[CTE]:
    """No other rows."""
    return ()


class Copy(NamedTuple):
    """A row that an action makes beside: a CTE that inserts and returns it with all its columns.

    `earlier` is the id of one that the same action may have made before.
    """

    insert: Callable[[CTE], CTE]
    earlier: Element


class Action(NamedTuple):
    """What is done to the row that `before` selects, with all columns of its table.

    `differs` says whether anything changes, `values` are the new values of its columns, `others`
    are CTEs that write other rows. Each row has a version of its own, so an action takes as many
    as `step`; the row itself has the last one. `growth` is what the user stores more. `guards` are
    answered beside the row; so is the row of `copy`, as JSON in `copied`.
    """

    shape: Shape
    before: CTE
    differs: Element
    values: Callable[[CTE], Mapping[str, Any]]
    step: Element = ONE
    others: Callable[[CTE], Sequence[CTE]] = no_others
    growth: Growth | None = None
    guards: Sequence[tuple[str, Element]] = ()
    copy: Copy | None = None

    def statement(self) -> Select[Any]:
        """Do it, unless it changes nothing or the client expects another version."""
        found = exists().where(is_expected(self.before), self.differs)
        bump = count_change(found, step=self.step, growth=self.growth)
        after = self._after(bump, self.shape)
        made = answer(self.guards, after, self.shape.answered, otherwise=self.before)
        made = made.add_cte(*self.others(bump))
        if not self.copy:
            return made
        copy = self.copy.insert(bump)
        copied = func.coalesce(_as_json(copy), self._live(self.copy.earlier))
        return made.add_columns(copied.label("copied")).add_cte(copy)

    def once(self) -> Select[Any]:
        """The same, unless the idempotency key was answered before; what it answers is kept."""
        table, before, replayed = self.shape.table, self.before, idempotency.replayed()
        unanswered = ~exists().select_from(replayed)
        possible = [guard for _, guard in self.guards]
        acceptable = exists().where(is_expected(before)).select_from(before)
        # What changes nothing takes no version, and only its answer takes room.
        differs = exists().where(self.differs).select_from(before)
        step = case((differs, self.step), else_=ZERO)
        texts = stored_size(before, texts_of(table, table.c.keys()))
        kept_size: Element = select(texts + ROW_SIZE).scalar_subquery()
        growth = Growth(ONE, kept_size)
        if self.growth:
            rows = ONE if self.growth.rows is None else ONE + self.growth.rows
            growth = Growth(rows, kept_size + self.growth.size)
        bump = count_change(acceptable, unanswered, *possible, step=step, growth=growth)
        after = self._after(bump, self.shape._replace(answered=table.c.keys()))
        same = before.select().where(exists().select_from(bump), ~exists().select_from(after))
        done = union_all(after.select(), same).cte("done")
        rest = union_all(stored_answer(table, replayed), before.select().where(unanswered))
        fingerprint = select(replayed.c.fingerprint).scalar_subquery().label("fingerprint")
        made = answer(self.guards, done, self.shape.answered, otherwise=rest.cte("rest"))
        made = made.add_columns(fingerprint).add_cte(*self.others(bump))
        answered: Element = func.to_jsonb(text("done"))
        if self.copy:
            copy = self.copy.insert(bump)
            copy_id = select(func.jsonb_build_object("copied", copy.c.id)).scalar_subquery()
            answered = answered.op("||")(func.coalesce(copy_id, cast("{}", JSONB)))
            replay = select(cast(replayed.c.answer["copied"].astext, Uuid)).scalar_subquery()
            live = (self._live(each) for each in (replay, self.copy.earlier))
            copied = func.coalesce(_as_json(copy), *live).label("copied")
            made = made.add_columns(copied).add_cte(copy)
        return made.add_cte(idempotency.kept(answered, done))

    def _live(self, row_id: Element) -> Element:
        """The live row of this id as JSON."""
        row = self.shape.table.alias("earlier")
        found = select(func.to_jsonb(text("earlier"))).select_from(row)
        return found.where(is_own(row, row_id)).scalar_subquery()

    def _after(self, bump: CTE, shape: Shape) -> CTE:
        differs = exists().where(self.differs).select_from(self.before)
        return changed_row(shape, bump, self.values(bump), differs)


def _as_json(copy: CTE) -> Element:
    """The row of a CTE as JSON; null if there is none."""
    return select(func.to_jsonb(text(copy.name))).select_from(copy).scalar_subquery()
