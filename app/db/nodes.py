"""What the database is: one server, or a cluster of Citus, whose servers share the users.

The two differ in how a transaction becomes that of a role and a user, in what time a change is
given, and in whether a statement may lock rows of several users. Everything else is the same SQL.
Source: Citus, "SQL Support and Workarounds".
"""

import re
from collections.abc import Sequence
from typing import Any, Final, Protocol

from sqlalchemy import Engine, event


class Nodes(Protocol):
    """How a statement is put for what the database is."""

    locks_across_users: bool
    """Whether one statement may lock rows of several users."""

    def assume(self, role: str, user: str, timeout: int) -> str:
        """SQL by which the transaction acts as a role and a user; the timeout in milliseconds."""

    def wait_at_most(self, milliseconds: int) -> str:
        """SQL by which the transaction waits so long for a lock, and no longer."""

    def wait_as_usual(self) -> str:
        """SQL by which the transaction waits for locks as others do."""

    def defer(self, constraints: Sequence[str]) -> str:
        """PL/pgSQL by which these are checked later in the transaction, not with each statement."""

    def check(self, constraints: Sequence[str], user: str) -> str:
        """PL/pgSQL that checks these now, where the user's rows are."""

    def written(self, sql: str) -> str:
        """The statement as this database takes it."""


BESIDE_OWNER: Final = re.compile(
    r" JOIN users AS of_owner ON of_owner\.id = (%\(user_id\)s(?:::UUID)?)"
)
"""What `beside_owner` puts into an INSERT (app/rows/owner.py)."""

INSERT: Final = re.compile(r"(INSERT INTO (\w+))(?= \()")


class OneServer:
    """A PostgreSQL."""

    locks_across_users = True

    def assume(self, role: str, user: str, timeout: int) -> str:
        """Set what lasts until the end of the transaction."""
        return (
            f"set local role {role}; set local app.user_id = '{user}';"
            f" set local statement_timeout = {timeout:d}; "
        )

    def wait_at_most(self, milliseconds: int) -> str:
        """Set the timeout of locks."""
        return f"set local lock_timeout = {milliseconds:d}; "

    def wait_as_usual(self) -> str:
        """Set the timeout of locks to that of the login."""
        return "set local lock_timeout to default; "

    def defer(self, constraints: Sequence[str]) -> str:
        """Set these constraints deferred."""
        return "".join(f"set constraints {name} deferred; " for name in constraints)

    def check(self, constraints: Sequence[str], user: str) -> str:
        """Set these constraints immediate, which checks them."""
        return "".join(f"set constraints {name} immediate; " for name in constraints)

    def written(self, sql: str) -> str:
        """The statement without the owner's row beside what it inserts, which a cluster needs."""
        found = BESIDE_OWNER.search(sql)
        return BESIDE_OWNER.sub("", sql).replace("of_owner.id", found[1]) if found else sql


class Citus:
    """A cluster, in which functions of ours pass on what a transaction sets.

    Citus would hand a text of several statements to the servers for each SET in it. What is in
    RETURNING or SET has to be known before a statement is handed on, and so has the time.
    """

    locks_across_users = False

    def assume(self, role: str, user: str, timeout: int) -> str:
        """Call the function that sets it on every server that the transaction comes to."""
        return f"select act_as('{role}', '{user}', {timeout:d}); "

    def wait_at_most(self, milliseconds: int) -> str:
        """Call the function that sets it everywhere."""
        return f"select wait_at_most({milliseconds:d}); "

    def wait_as_usual(self) -> str:
        """Call the function that sets it everywhere."""
        return "select wait_at_most(null); "

    def defer(self, constraints: Sequence[str]) -> str:
        """Have all constraints wait: SET CONSTRAINTS does not reach the servers, so a trigger of
        the owner's row does it there.
        """
        return "perform let_constraints_wait(true); "

    def check(self, constraints: Sequence[str], user: str) -> str:
        """Have the trigger check all constraints."""
        touched = f"update users set used_rows = used_rows where id = '{user}'; "  # noqa: S608 an id
        return f"perform let_constraints_wait(false); {touched}"

    def written(self, sql: str) -> str:
        """The statement with a clock that is read while it is planned, and with names for the
        tables of its INSERTs: without, Citus writes a RETURNING that a server does not understand.
        """
        return INSERT.sub(r"\1 AS \2", sql.replace("clock_timestamp()", "clock_of_statement()"))


ONE_SERVER: Final = OneServer()
CITUS: Final = Citus()

IS_CLUSTER: Final = "to_regprocedure('act_as(text, text, integer)') is not null"
"""Whether `flask cluster distribute` has made the database a cluster."""


SERVERS: Final = """
select nodename, nodeport from pg_dist_node
    where isactive and noderole = 'primary' and groupid <> 0 order by groupid
"""
"""The servers of a cluster beside the coordinator."""

ANSWERS: Final = "select citus_check_connection_to_node(%s, %s)"
"""Whether one of them answers the coordinator, which connects to it as the present role."""


class Topology:
    """What the database is, looked up by the first connection of the process."""

    def __init__(self, engine: Engine) -> None:
        self.found: Nodes | None = None
        event.listen(engine, "connect", self._look)

    @property
    def nodes(self) -> Nodes:
        """What was found; one server until then."""
        return self.found or ONE_SERVER

    def _look(self, connection: Any, _record: object) -> None:
        if self.found:
            return
        with connection.cursor() as cursor:
            cursor.execute(f"select {IS_CLUSTER}")
            [(is_cluster,)] = cursor.fetchall()
        self.found = CITUS if is_cluster else ONE_SERVER
