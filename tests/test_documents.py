"""What the documents say of settings, schema and files is so."""

import re
from collections.abc import Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from sqlalchemy import CheckConstraint, Column
from sqlalchemy.dialects import postgresql

from app.core.config import Settings
from app.db.base import Base
from app.db.scope import Role
from tests.conftest import ROOT

DATA_MODEL = (ROOT / "docs" / "data-model.md").read_text()
DECISIONS = ROOT / "docs" / "decisions"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

TYPES = {"timestamp with time zone": "timestamptz"}
ME = "(nullif(current_setting('app.user_id'::text, true), ''::text))::uuid"


def default_of(setting: Field[Any]) -> str:
    """The default as it would stand in the environment."""
    default = setting.default
    if default in (None, ()):
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def table_under(document: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without code marks."""
    section = document.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert len(rows) > 2, heading
    return [[cell.strip(" `") for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def entities() -> dict[str, list[tuple[str, str, bool, bool]]]:
    """The diagram's tables: of each column, type, name, if it is of the key, if it may be null."""
    diagram = DATA_MODEL.split("```mermaid\nerDiagram\n")[1].split("```")[0]
    found = {}
    for name, body in re.findall(r"^    (\w+) \{\n(.*?)^    \}", diagram, re.M | re.S):
        columns = [
            re.fullmatch(r' {8}([\w[\]]+) (\w+)((?:,? [PF]K)*)(?: "(.*)")?', line)
            for line in body.splitlines()
        ]
        assert all(columns), name
        found[name] = [(c[1], c[2], "PK" in c[3], "null" in (c[4] or "")) for c in columns if c]
    return found


@pytest.fixture
def catalogue(connection: Any) -> Iterator[Any]:
    """Asks the catalogue of the migrated database; what is done besides is undone."""
    with connection.cursor() as cursor:
        cursor.execute("begin")

        def rows(query: str, *parameters: object) -> list[tuple[Any, ...]]:
            cursor.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []

        yield rows
        cursor.execute("rollback")


def test_the_readme_lists_every_setting_with_its_default_and_what_it_expects() -> None:
    readme = (ROOT / "README.md").read_text()
    documented = [row[:3] for row in table_under(readme, "Settings")]
    assert documented == [
        [s.metadata["variable"], default_of(s) or "unset", s.metadata["expects"]]
        for s in fields(Settings)
    ]


def test_the_example_environment_holds_every_setting_with_its_default_and_a_comment() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assignments = [(place, line) for place, line in enumerate(lines) if re.match(r"[A-Z]", line)]
    assert [line for _, line in assignments] == [
        f"{s.metadata['variable']}={default_of(s)}" for s in fields(Settings)
    ]
    assert all(lines[place - 1].startswith("# Expects ") for place, _ in assignments)
    assert all(re.match(r"# \w", lines[place - 2]) for place, _ in assignments)


def test_a_copy_of_the_example_environment_changes_nothing() -> None:
    values = {k: v or "" for k, v in dotenv_values(ROOT / ".env.example").items()}
    assert Settings.from_environment(values) == Settings()


def test_the_diagram_shows_the_columns_of_the_models() -> None:
    assert entities() == {
        table.name: [
            (type_of(column), column.name, column.primary_key, bool(column.nullable))
            for column in table.columns
        ]
        for table in Base.metadata.tables.values()
    }


def type_of(column: Column[Any]) -> str:
    """A column's type as the diagram writes it."""
    name = column.type.compile(postgresql.dialect()).lower().partition(" collate ")[0]
    return TYPES.get(name, name)


def test_the_diagram_shows_the_columns_of_the_database(catalogue: Any) -> None:
    columns = catalogue(
        """
        select relname, format_type(atttypid, null), attname,
            coalesce(attnum = any (conkey), false), not attnotnull
        from pg_class join pg_attribute on attrelid = pg_class.oid
            left join pg_constraint on conrelid = pg_class.oid and contype = 'p'
        where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p')
            and relname <> 'alembic_version' and attnum > 0 and not attisdropped
        order by attnum
        """
    )
    found: dict[str, list[tuple[str, str, bool, bool]]] = {}
    for table, kind, *rest in columns:
        found.setdefault(table, []).append((TYPES.get(kind, kind), *rest))
    assert entities() == found


def test_the_diagram_shows_every_reference_between_tables(catalogue: Any) -> None:
    shown = re.findall(r"^    (\w+) (?:\|\||\|o)--o\{ (\w+) : ", DATA_MODEL, re.M)
    assert sorted(shown) == catalogue(
        "select confrelid::regclass::text, conrelid::regclass::text from pg_constraint"
        " where contype = 'f' and connamespace = current_schema()::regnamespace order by 1, 2"
    )


def test_every_rule_is_documented_as_the_models_state_it() -> None:
    documented = {name: rule for _, name, rule, _ in table_under(DATA_MODEL, "Keys and rules")}
    checks = {
        str(constraint.name): f"check ({constraint.sqltext})"
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert {k: v for k, v in documented.items() if v.startswith("check")} == checks


def test_every_rule_is_documented_as_the_database_keeps_it(catalogue: Any) -> None:
    rules = table_under(DATA_MODEL, "Keys and rules")
    documented = {(table, name): rule for table, name, rule, _ in rules}
    for table in entities():
        catalogue(f"create temp table copy_of_{table} (like {table}) on commit drop")
    for table, name, rule, _ in rules:
        if rule.startswith("check"):
            catalogue(f"alter table copy_of_{table} add constraint {name} {rule}")
            documented[table, name] = catalogue(
                "select pg_get_constraintdef(oid) from pg_constraint"
                " where conrelid = %s::regclass and conname = %s",
                f"copy_of_{table}",
                name,
            )[0][0]
    kept = catalogue(
        """
        select conrelid::regclass::text, conname, pg_get_constraintdef(oid), contype
        from pg_constraint
        where connamespace = current_schema()::regnamespace and contype <> 'n'
            and conrelid <> 'alembic_version'::regclass
        """
    )
    assert documented == {
        (table, name): rule if kind == "c" else rule.lower() for table, name, rule, kind in kept
    }


def test_every_index_is_documented(catalogue: Any) -> None:
    documented = [(table, name) for table, name, _ in table_under(DATA_MODEL, "Indexes")]
    assert sorted(documented) == catalogue(
        """
        select tablename::text, indexname::text from pg_indexes
        where schemaname = current_schema() and tablename <> 'alembic_version'
            and indexname <> 'pk_' || tablename
        order by 1, 2
        """
    )


def test_every_role_is_documented_and_may_do_nothing_by_itself(catalogue: Any) -> None:
    documented = {name for name, _ in table_under(DATA_MODEL, "Roles")}
    roles = catalogue(
        "select rolname, rolcanlogin or rolbypassrls or rolsuper or rolcreaterole"
        " from pg_roles where rolname ~ %s and not rolcanlogin",
        f"^{Role.APP.removesuffix('app')}",
    )
    assert dict(roles) == dict.fromkeys(documented, False)
    assert documented >= {str(role) for role in Role}


def test_every_policy_is_documented(catalogue: Any) -> None:
    documented = {
        (table, name): ([role.strip(" `") for role in roles.split(",")], command, sees, writes)
        for table, name, roles, command, sees, writes in table_under(DATA_MODEL, "Policies")
    }
    policies = catalogue(
        """
        select tablename, policyname, roles::text[], lower(cmd), qual,
            case when cmd in ('ALL', 'UPDATE') then coalesce(with_check, qual) else with_check end
        from pg_policies
        where schemaname = current_schema() and permissive = 'PERMISSIVE'
        """
    )
    assert documented == {
        (table, name): (sorted(roles), command, condition(sees), condition(writes))
        for table, name, roles, command, sees, writes in policies
    }


def condition(expression: str | None) -> str:
    """A policy's expression as the data model writes it."""
    text = (expression or "nothing").lower().replace(ME, "me")
    return text[1:-1] if text.startswith("(") else text


def test_the_policies_are_forced_on_every_table(catalogue: Any) -> None:
    assert catalogue(
        """
        select relname::text, relrowsecurity and relforcerowsecurity from pg_class
        where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p')
            and relname <> 'alembic_version' order by 1
        """
    ) == [(table, True) for table in sorted(entities())]


def test_every_grant_is_documented(catalogue: Any) -> None:
    documented = {
        (table, role, grant)
        for table, role, grants in table_under(DATA_MODEL, "Grants")
        for grant in re.findall(r"\w+(?: \([^)]*\))?", grants)
    }
    whole = catalogue(
        """
        select relname, grantee::regrole::text, lower(privilege_type)
        from pg_class, aclexplode(relacl)
        where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S')
            and grantee <> relowner
        """
    )
    columns = catalogue(
        """
        select relname, grantee::regrole::text, lower(privilege_type)
            || ' (' || string_agg(attname, ', ' order by attnum) || ')'
        from pg_class join pg_attribute on attrelid = pg_class.oid, aclexplode(attacl)
        where relnamespace = current_schema()::regnamespace
        group by relname, grantee, privilege_type
        """
    )
    assert documented == {*whole, *columns}


def test_every_function_of_the_schema_is_documented(catalogue: Any) -> None:
    functions = catalogue(
        "select proname from pg_proc where pronamespace = current_schema()::regnamespace"
    )
    assert [name for (name,) in functions if f"`{name}`" not in DATA_MODEL] == []


def test_every_decision_is_in_the_list_of_decisions() -> None:
    index = (DECISIONS / "README.md").read_text()
    listed = re.findall(r"^- \[(\d{4}): (.+)\]\((.+)\)", index, re.M)
    pages = sorted(path for path in DECISIONS.glob("*.md") if path.name != "README.md")
    titles = [re.match(r"# (\d{4}): (.+)\n", path.read_text()) for path in pages]
    assert listed == [
        (title[1], title[2], path.name)
        for title, path in zip(titles, pages, strict=True)
        if title and path.name.startswith(title[1])
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_document_speaks_of_exists(document: Path) -> None:
    text = document.read_text()
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)\)", text)
    named = re.findall(r"`((?:app|docs|migrations|tests|benchmarks)/[\w./-]*)`", text)
    missing = [link for link in links if not (document.parent / link).exists()]
    missing += [path for path in named if not (ROOT / path).exists()]
    assert missing == []
