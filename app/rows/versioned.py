"""Writes of rows with an owner, a version and a tombstone: parameters in, representation out.

The version is the owner's `users.change_seq`, counted up by the statement that writes. The scope of
a write has locked the owner's row before (db/scope.py), so the statement sees every earlier write
of that user, and versions become visible in their order.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any, Final

from sqlalchemy import Select

from app.core.problem_kinds import PRECONDITION_REQUIRED
from app.core.problems import Problem, invalid, not_found, precondition_failed
from app.db.run import execute, first
from app.db.scope import reading
from app.db.sending import Row
from app.db.statement import Statement
from app.rows import restoring, statements
from app.rows.actions import Action
from app.rows.idempotency import Once
from app.rows.quotas import NoRoom, quota, size_of, texts_of
from app.rows.shape import Preconditions, Shape
from app.rows.write import Acting, Representation, Write, send

KEPT_STATEMENTS: Final = 96
"""Statements kept for one table: clients choose the fields of a patch, so there are 2^n."""


Builder = Callable[..., Select[Any]]
"""Builds a statement for a shape and the fields that are given."""


class NotPlain(Exception):
    """A row that the plain statement does not change."""


class VersionedTable:
    """The writes of one table: one statement for each set of fields, built once and cached."""

    def __init__(
        self,
        shape: Shape,
        represent: Callable[[Row], Representation] | None = None,
        delete: Callable[[Shape], Select[Any]] = statements.delete,
        restore: Callable[[Shape], Action] = restoring.restoring,
        changing: Callable[[Mapping[str, Any]], Sequence[Builder]] = lambda _: [statements.change],
    ) -> None:
        self.shape = shape
        self.represent = represent or shape.represent
        self.texts: Final = texts_of(shape.table, shape.answered)
        self.get_statement = Statement(statements.live(shape))
        self.delete_statement = Statement(delete(shape))
        self.restoring = Acting.of(restore(shape))
        self.changing = changing
        self.built = lru_cache(maxsize=KEPT_STATEMENTS)(self._build)

    def get(self, user_id: str, row_id: str) -> Representation:
        """Return the live row. Raises Problem 404."""
        row = first(execute(reading(user_id), self.get_statement, user_id=user_id, id=row_id))
        if row is None:
            raise not_found()
        return self.represent(row)

    def create(
        self, user_id: str, row_id: str, values: Mapping[str, Any], once: Once | None
    ) -> tuple[Representation, bool]:
        """Insert a row, or find what its idempotency key was answered; and whether it was that.

        Raises NoAccount, NoRoom, Problem 410, 422.
        """
        statement = self._statement(statements.create, values, once=once is not None)

        def outcome(row: Row) -> tuple[Representation, bool]:
            if row.id is None:
                self._require_guards(row)
                raise NoRoom(rows=2 if once else 1)
            return self.represent(row), not row.changed

        write = Write(statement, self._parameters(user_id, row_id, values), outcome)
        return send(user_id, write, once)

    def replace(
        self, user_id: str, row_id: str, values: Mapping[str, Any], conditions: Preconditions
    ) -> tuple[Representation, bool]:
        """Write the whole row under its id, and whether it is new.

        Raises NoAccount, NoRoom, Problem 412, 422.
        """
        return send(user_id, self.replacement(user_id, row_id, values, conditions))

    def replacement(
        self, user_id: str, row_id: str, values: Mapping[str, Any], conditions: Preconditions
    ) -> Write:
        """The write that `replace` sends."""

        def outcome(row: Row) -> tuple[Representation, bool]:
            if not row.changed:
                self._require_conditions(row, conditions)
                self._require_guards(row)
                if row.acceptable:
                    raise NoRoom(rows=0 if row.existed else 1)
            return self.represent(row), not row.existed

        statement = self._statement(statements.replace, values)
        parameters = self._parameters(user_id, row_id, values) | conditions._asdict()
        return Write(statement, parameters, outcome)

    def update(
        self, user_id: str, row_id: str, values: Mapping[str, Any], conditions: Preconditions
    ) -> Representation:
        """Change the given fields; a row that has these values already keeps its version.

        Raises NoRoom, Problem 404, 412, 422.
        """
        *plain, full = self.changing(values)
        for build in plain:
            with suppress(NotPlain):
                return send(user_id, self._change(user_id, row_id, values, conditions, build))[0]
        return send(user_id, self._change(user_id, row_id, values, conditions, full))[0]

    def change(
        self, user_id: str, row_id: str, values: Mapping[str, Any], conditions: Preconditions
    ) -> Write:
        """The write that changes the row, whichever it is."""
        return self._change(user_id, row_id, values, conditions, self.changing(values)[-1])

    def _change(
        self,
        user_id: str,
        row_id: str,
        values: Mapping[str, Any],
        conditions: Preconditions,
        build: Builder,
    ) -> Write:
        statement = self._statement(build, values)
        parameters = self._parameters(user_id, row_id, values) | conditions._asdict()
        return Write(statement, parameters, partial(self._outcome, conditions))

    def delete(self, user_id: str, row_id: str, conditions: Preconditions) -> None:
        """Leave a tombstone. Raises Problem 404, 412."""
        send(user_id, self.deletion(user_id, row_id, conditions))

    def deletion(self, user_id: str, row_id: str, conditions: Preconditions) -> Write:
        """The write that `delete` sends."""
        parameters = {"user_id": user_id, "id": row_id, **conditions._asdict()}
        outcome = partial(self._outcome, conditions)
        return Write(self.delete_statement, parameters, outcome, removes=True)

    def restore(
        self, user_id: str, row_id: str, conditions: Preconditions, once: Once | None
    ) -> tuple[Representation, bool]:
        """Take the row out of the trash, or find it live or what its idempotency key was answered;
        and whether it was that.

        Raises NoRoom, Problem 404, 410, 412, 422.
        """
        return self.act(self.restoring, user_id, row_id, conditions, once)

    def act(
        self,
        acting: Acting,
        user_id: str,
        row_id: str,
        conditions: Preconditions,
        once: Once | None,
        **parameters: object,
    ) -> tuple[Representation, bool]:
        """Do what a POST to the row asks for, or find what its idempotency key was answered; and
        whether it was that.

        Raises NoRoom, Problem 404, 410, 412, 422.
        """
        write = self.action(
            acting, user_id, row_id, conditions, keyed=once is not None, **parameters
        )
        return send(user_id, write, once)

    def action(
        self,
        acting: Acting,
        user_id: str,
        row_id: str,
        conditions: Preconditions,
        *,
        keyed: bool = False,
        **parameters: object,
    ) -> Write:
        """The write that `act` sends."""
        whose = {"user_id": user_id, "id": row_id, **conditions._asdict(), **quota()}

        def outcome(row: Row) -> tuple[Representation, bool]:
            replayed = keyed and row.fingerprint is not None
            if row.id is None:
                raise not_found()
            if not row.changed and not replayed:
                self._require_conditions(row, conditions)
                if not acting.require(row, parameters) and keyed:
                    raise NoRoom(rows=1)
            return self.represent(row), replayed

        return Write(acting.once if keyed else acting.statement, whose | parameters, outcome)

    def _outcome(self, conditions: Preconditions, row: Row) -> tuple[Representation, bool]:
        """What a write of an existing row returns. Raises NoRoom, Problem 404, 412, 422."""
        if row.id is None:
            raise not_found()
        if not row.changed:
            if not getattr(row, "is_plain", True):
                raise NotPlain
            self._require_conditions(row, conditions)
            self._require_guards(row)
            if not getattr(row, "is_conditional", True):
                raise Problem(PRECONDITION_REQUIRED)
            if getattr(row, "acceptable", False):
                raise NoRoom(rows=0)
        return self.represent(row), False

    def _parameters(self, user_id: str, row_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values, how long their texts are, and how much the user may store."""
        size = size_of(values, self.texts)
        return {"user_id": user_id, "id": row_id, **values, "size": size, **quota()}

    def _require_conditions(self, row: Row, conditions: Preconditions) -> None:
        if row.id is None:
            failed = conditions.must_exist
        else:
            failed = conditions.must_be_new or not conditions.admit(row.version)
        if failed:
            current = None if row.id is None else self.represent(row)
            raise precondition_failed(current)

    def _require_guards(self, row: Row) -> None:
        for field in self.shape.guards:
            if not getattr(row, f"{field}_allowed", True):
                detail = "does not name one of your resources"
                raise invalid(detail, "unknown_reference", pointer=f"/{field}")

    def _statement(
        self,
        build: Callable[..., Select[Any]],
        values: Mapping[str, Any],
        **options: bool,
    ) -> Statement:
        # There is nothing to guard where a field is cleared, or an empty list.
        guarded = tuple(name for name in self.shape.guards if values.get(name))
        return self.built(build, frozenset(values), guarded, **options)

    def _build(
        self,
        build: Callable[..., Select[Any]],
        fields: frozenset[str],
        guarded: tuple[str, ...],
        **options: bool,
    ) -> Statement:
        guards = {name: self.shape.guards[name] for name in guarded}
        return Statement(build(self.shape._replace(guards=guards), sorted(fields), **options))
