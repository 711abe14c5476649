"""What is put differently where the database is a cluster of Citus, as far as one server tells.

`tests/test_cluster.py` tries it on a cluster that is given with `--cluster`.
"""

import re
from typing import Any

import psycopg2
import pytest
from apiflask import APIFlask

from app.api.tasks.kind import TASK
from app.core.ids import new_id
from app.db.constraints import RAISED, named, violated
from app.db.failures import NODE_AWAY, NODE_LOST, of_node
from app.db.nodes import CITUS, ONE_SERVER
from app.db.scope import Role, Scope, searching
from app.db.statement import Statement
from app.ops.cluster.functions import FUNCTIONS
from app.ops.cluster.tables import distributions
from app.rows.statements import create as create_row
from app.web.errors import CONSTRAINTS
from tests.test_releases import statements, steps

MADE = re.compile(r"\bcreate table (?:if not exists )?(\w+)")


def test_each_migration_says_how_the_tables_that_it_adds_are_distributed() -> None:
    """A table that none names would stay on the coordinator, and could not refer to the others."""
    for step in steps():
        made = {name for each in statements(step) for name in MADE.findall(each)}
        declared = getattr(step.module, "distributed_by", {})
        assert made - {"alembic_version"} == set(declared), step.revision


def test_tables_are_distributed_by_a_column_that_leads_their_key(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "select relname from pg_class where relkind = 'r' and relnamespace ="
            " 'public'::regnamespace and relname <> 'alembic_version'"
        )
        assert {name for (name,) in cursor.fetchall()} == distributions().keys()
        for name, column in distributions().items():
            cursor.execute(
                "select attname from pg_index join pg_attribute on attrelid = indrelid"
                " and attnum = indkey[0] where indrelid = %s::regclass and indisprimary",
                (name,),
            )
            assert column is None or cursor.fetchall() == [(column,)]


def test_a_scope_is_assumed_by_settings_on_one_server_and_by_a_function_on_a_cluster() -> None:
    user_id = new_id()
    scope = Scope(Role.APP, user_id)
    assert scope.prefix(5000) == (
        f"set local role tasks_app; set local app.user_id = '{user_id}';"
        " set local statement_timeout = 5000; "
    )
    assert scope.prefix(5000, CITUS) == f"select act_as('tasks_app', '{user_id}', 5000); "
    assert "set local" not in searching(user_id).prefix(1000, CITUS)


def test_every_function_that_a_cluster_is_asked_for_is_made_there() -> None:
    asked = CITUS.assume("r", "", 1) + CITUS.wait_at_most(1) + CITUS.wait_as_usual()
    asked += CITUS.defer(["a"]) + CITUS.check(["a"], "u") + CITUS.written("clock_timestamp()")
    called = set(re.findall(r"(\w+)\(", asked))
    assert called == set(re.findall(r"function (\w+)\(", FUNCTIONS)) - {"settle_constraints"}


def test_the_clock_is_another_one_on_a_cluster() -> None:
    assert ONE_SERVER.written("select clock_timestamp()") == "select clock_timestamp()"
    assert CITUS.written("select clock_timestamp()") == "select clock_of_statement()"


def test_only_a_cluster_gets_the_owners_row_beside_what_is_inserted() -> None:
    create = Statement(create_row(TASK.writes.shape._replace(guards={}), ["title"], once=True)).sql
    assert create.count("of_owner ON") == 2  # the row, and the answer that is kept
    assert "of_owner" not in ONE_SERVER.written(create)
    assert "INSERT INTO tasks (user_id," in ONE_SERVER.written(create)
    assert CITUS.written(create).count("of_owner ON") == 2
    assert "INSERT INTO tasks AS tasks (user_id," in CITUS.written(create)


# Constraints and failures


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("uq_labels_name", "uq_labels_name"),
        ("ck_tasks_due", "ck_tasks_due"),
        (
            'duplicate key value violates unique constraint "uq_labels_name_102234"',
            "uq_labels_name",
        ),
        (
            'new row for relation "tasks_102226" violates check constraint "ck_tasks_due"',
            "ck_tasks_due",
        ),
        ("there is no such parent", "fk_tasks_parents"),
        ("", ""),
        ("something else went wrong", ""),
        ("x" * 1_000_000, "x" * 1_000_000),
    ],
    ids=str,
)
def test_a_constraint_is_known_by_its_name_or_by_what_a_cluster_says(text: str, name: str) -> None:
    assert named(text) == name


def test_what_the_database_says_names_the_same_constraint_as_its_diagnostics(
    connection: Any,
) -> None:
    """A cluster passes on the message alone."""
    user_id = new_id()
    values = {
        "uq_labels_name": "('a'), ('A')",
        "ck_labels_name": "('')",
    }
    with connection.cursor() as cursor:
        for name, names in values.items():
            rows = re.sub(r"\('", rf"('{user_id}', gen_random_uuid(), 1, now(), now(), '", names)
            with pytest.raises(psycopg2.IntegrityError) as caught:
                cursor.execute(
                    f"insert into users (id) values ('{user_id}') on conflict do nothing;"
                    " insert into labels (user_id, id, version, created_at, updated_at, name)"
                    f" values {rows}"
                )
            said = caught.value.diag
            assert (violated(caught.value), said.constraint_name) == (name, name)
            assert named(said.message_primary or "") == name


def test_our_triggers_say_what_stands_for_the_constraint_that_they_name(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "select prosrc from pg_proc where pronamespace = 'public'::regnamespace"
            " and prosrc ~ 'constraint ='"
        )
        raised = {
            said: constraint
            for (source,) in cursor.fetchall()
            for said, constraint in re.findall(
                r"raise '([^']+)'\s+using errcode = '\d+', constraint = '(\w+)'", source
            )
        }
    assert raised == RAISED
    assert set(RAISED.values()) <= CONSTRAINTS.keys()


class Refused(psycopg2.OperationalError):
    """What the coordinator says of another server."""

    pgcode = "08006"


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        ("Connection refused\n\tIs the server running on that host?", NODE_AWAY),
        ("could not translate host name", NODE_AWAY),
        ("FATAL:  the database system is starting up", NODE_AWAY),
        ("server closed the connection unexpectedly", NODE_LOST),
        ("connection not open", NODE_LOST),
    ],
)
def test_a_server_that_cannot_be_asked_has_got_no_statement(said: str, failure: Any) -> None:
    text = f"connection to the remote node a@10.0.7.2:5432 failed with the following error: {said}"
    found = of_node(Refused(text))
    assert found is failure
    assert not failure.for_all
    assert failure.sent is (failure is NODE_LOST)


def test_errors_of_other_kinds_are_of_no_server() -> None:
    assert of_node(psycopg2.OperationalError("canceling statement")) is None


# flask cluster distribute


def test_one_server_without_the_extension_is_not_distributed(app: APIFlask) -> None:
    result = app.test_cli_runner().invoke(args=["cluster", "distribute"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the database has no extension citus: create it")
    assert len(result.stderr.splitlines()) == 1
