"""Actions: what a POST does to one row of a user, and perhaps to other rows with it.

An action that would change nothing writes nothing. With an idempotency key, it is answered again as
it was answered first, also where it changed nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import CTE, Select, case, exists, func, select, text, union_all

from app.rows import idempotency
from app.rows.quotas import ROW_SIZE, ZERO, Growth, stored_size, texts_of
from app.rows.replays import stored_answer
from app.rows.shape import ONE, Element, Shape
from app.rows.statements import answer, changed_row, count_change, is_expected


def no_others(_bump: CTE) -> Sequence[CTE]:
    """No other rows."""
    return ()


class Action(NamedTuple):
    """What is done to the row that `before` selects, with all columns of its table.

    `differs` says whether anything changes, `values` are the new values of its columns, `others`
    are CTEs that write other rows. Each row has a version of its own, so an action takes as many
    as `step`; the row itself has the last one. `growth` is what the user stores more. `guards` are
    answered beside the row.
    """

    shape: Shape
    before: CTE
    differs: Element
    values: Callable[[CTE], Mapping[str, Any]]
    step: Element = ONE
    others: Callable[[CTE], Sequence[CTE]] = no_others
    growth: Growth | None = None
    guards: Sequence[tuple[str, Element]] = ()

    def statement(self) -> Select[Any]:
        """Do it, unless it changes nothing or the client expects another version."""
        found = exists().where(is_expected(self.before), self.differs)
        bump = count_change(found, step=self.step, growth=self.growth)
        after = self._after(bump, self.shape)
        made = answer(self.guards, after, self.shape.answered, otherwise=self.before)
        return made.add_cte(*self.others(bump))

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
        growth = Growth(ONE, select(texts + ROW_SIZE).scalar_subquery())
        bump = count_change(acceptable, unanswered, *possible, step=step, growth=growth)
        after = self._after(bump, self.shape._replace(answered=table.c.keys()))
        same = before.select().where(exists().select_from(bump), ~exists().select_from(after))
        done = union_all(after.select(), same).cte("done")
        rest = union_all(stored_answer(table, replayed), before.select().where(unanswered))
        kept = idempotency.kept(func.to_jsonb(text("done")), done)
        fingerprint = select(replayed.c.fingerprint).scalar_subquery().label("fingerprint")
        made = answer(self.guards, done, self.shape.answered, otherwise=rest.cte("rest"))
        return made.add_columns(fingerprint).add_cte(kept, *self.others(bump))

    def _after(self, bump: CTE, shape: Shape) -> CTE:
        differs = exists().where(self.differs).select_from(self.before)
        return changed_row(shape, bump, self.values(bump), differs)
