"""What the documents say of settings, schema, files and tests is so."""

import re
from collections.abc import Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

from app.core.config import Settings, variable_of
from tests.conftest import ROOT

DATA_MODEL = (ROOT / "docs" / "data-model.md").read_text()
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

TYPES = {
    "timestamp with time zone": "timestamptz",
    "timestamp with time zone[]": "timestamptz[]",
    "timestamp without time zone": "timestamp",
    "character varying": "varchar",
}


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


def test_the_page_lists_every_setting_with_its_default_and_what_it_expects() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    documented = [row[:3] for row in table_under(page, "All settings")]
    assert documented == [
        [variable_of(s), default_of(s) or "unset", s.metadata["expects"]] for s in fields(Settings)
    ]


def test_the_example_environment_holds_every_setting_with_its_default_and_a_comment() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assignments = [(place, line) for place, line in enumerate(lines) if re.match(r"[A-Z]", line)]
    assert [line for _, line in assignments] == [
        f"{variable_of(s)}={default_of(s)}" for s in fields(Settings)
    ]
    assert all(lines[place - 1].startswith("# Expects ") for place, _ in assignments)
    assert all(re.match(r"# \w", lines[place - 2]) for place, _ in assignments)


def test_a_copy_of_the_example_environment_changes_nothing() -> None:
    values = {k: v or "" for k, v in dotenv_values(ROOT / ".env.example").items()}
    assert Settings.from_environment(values) == Settings()


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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_document_speaks_of_exists(document: Path) -> None:
    text = document.read_text()
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)\)", text)
    named = re.findall(r"`((?:app|docs|migrations|tests|benchmarks)/[\w./-]*)`", text)
    if document.parent.name == "decisions":  # which names the files of its day
        named = []
    missing = [link for link in links if not (document.parent / link).exists()]
    missing += [path for path in named if not (ROOT / path).exists()]
    assert missing == []


def test_every_test_that_a_document_names_exists() -> None:
    """The promises of security.md and reliability.md name the tests that prove them."""
    text = "".join(document.read_text() for document in DOCUMENTS)
    named = set(re.findall(r"`(tests/\w+\.py)::(test_\w+)`", text))
    assert len(named) > 100
    gone = [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text()]
    assert gone == []


def test_the_query_for_long_transactions_finds_them(connection: Any) -> None:
    page = (ROOT / "docs" / "operations" / "README.md").read_text()
    (query,) = re.findall(r"^ *```sql\n(.*?)^ *```", page, re.M | re.S)
    with connection.cursor() as cursor:
        cursor.execute(query)
        assert [column.name for column in cursor.description] == ["pid", "age", "state", "query"]
