"""A write of one row that is ready to be sent, and its sending."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

from app.core.problem_kinds import ERASED
from app.core.problems import Problem
from app.db.run import execute
from app.db.scope import writing
from app.db.sending import Row
from app.db.statement import Statement
from app.rows.actions import Action
from app.rows.idempotency import Once
from app.rows.quotas import within_quota

Representation = dict[str, Any]


class Write(NamedTuple):
    """A write that is ready to be sent, and how to interpret the row that it returns."""

    statement: Statement
    parameters: Mapping[str, Any]
    outcome: Callable[[Row], tuple[Representation, bool]]
    """The resource as it now is, or last was, and whether it is new. Raises Problem."""
    removes: bool = False


class Acting(NamedTuple):
    """An action's statements, without and with an idempotency key, and what refuses it.

    `require` is given a row that was not changed and the action's parameters. It returns whether
    all is as the client wants it, so that there is nothing to keep for its key.
    """

    statement: Statement
    once: Statement
    require: Callable[[Row, Mapping[str, Any]], bool | None]

    @classmethod
    def of(
        cls,
        action: Action,
        require: Callable[[Row, Mapping[str, Any]], bool | None] = lambda _row, _parameters: None,
    ) -> Self:
        """Build the statements of an action."""
        return cls(Statement(action.statement()), Statement(action.once()), require)


def send(user_id: str, write: Write, once: Once | None = None) -> tuple[Representation, bool]:
    """Send one write; return what its outcome does.

    Raises Problem 422 for a key that came with another body, 410 if what the key was answered has
    been erased since, and whatever the outcome raises.
    """
    scope = writing(user_id, once=once is not None)
    parameters = {**write.parameters, **once.parameters} if once else write.parameters

    def attempt() -> tuple[Representation, bool]:
        [row] = execute(scope, write.statement, **parameters)
        if once:
            once.require_same(row.fingerprint)
            if row.fingerprint is not None and row.id is None:
                raise Problem(ERASED)
        return write.outcome(row)

    return within_quota(user_id, attempt)
