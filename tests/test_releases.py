"""Expand, then contract: no migration takes away what the release before it still uses.

That release goes on serving while the next one migrates. docs/decisions/0012 says how to remove
something all the same.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Final

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory

from tests.conftest import ROOT

MIGRATIONS = ROOT / "migrations"

STATEMENTS: Final = {
    "drops": r"\bdrop (?:table|view|materialized view|schema|function|type) ",
    "renames": r"\balter (?:view|materialized view|schema|function|type) .* rename ",
    "revokes": r"\brevoke (?!create on schema )",
}
"""What the release before may not survive. No role that serves requests creates anything: one has
the right within a migration, to become the owner of a function.
"""

ACTIONS: Final = {
    "drops a column": r"drop (?:column )?(?:if exists )?(?!constraint\b)\w",
    "renames": r"rename (?!constraint\b)",
    "changes a column's type": r"alter (?:column )?\w+ (?:set data )?type\b",
    "requires a value": r"alter (?:column )?\w+ set not null",
    "takes a default away": r"alter (?:column )?\w+ drop default",
    "adds a column that must be given": r"add (?:column )?(?:if not exists )?"
    r"(?!(?:constraint|check|unique|primary|foreign|exclude)\b)"
    r"(?!.*\b(?:default|generated)\b).*\bnot null",
}
"""The same, of what `alter table` does."""


def config_of(directory: Path, output: StringIO | None = None) -> Config:
    """What Alembic is told of the migrations there."""
    config = Config(output_buffer=output)
    config.set_main_option("script_location", str(directory).replace("%", "%%"))
    return config


def steps(directory: Path = MIGRATIONS) -> list[Script]:
    """The migrations there, oldest first."""
    return list(ScriptDirectory.from_config(config_of(directory)).walk_revisions())[::-1]


def statements(step: Script) -> Iterator[str]:
    """What the migration sends to the database: lower case, one line each, without quotes."""
    output = StringIO()
    config = config_of(Path(step.path).parent.parent, output)
    command.upgrade(config, f"{step.down_revision or 'base'}:{step.revision}", sql=True)
    plain = (
        re.sub(r"--[^\n]*|/\*.*?\*/", " ", output.getvalue(), flags=re.DOTALL)
        .replace('"', "")
        .lower()
    )
    for statement in plain.split(";"):
        yield " ".join(statement.split())


def contractions(step: Script) -> list[str]:
    """What the migration takes away, but of tables, functions and roles it has made itself."""
    found, made, filled = [], {"alembic_version"}, set()
    for statement in statements(step):
        made |= set(
            re.findall(
                r"\bcreate (?:or replace )?(?:table|function|role) (?:if not exists )?([\w.]+)",
                statement,
            )
        )
        altered = re.search(r"\balter table (?:if exists )?(?:only )?(\S+) (.*)", statement)
        if altered and altered[1] not in made:
            # Commas within parentheses belong to an expression.
            for action in re.split(r", (?![^(]*\))", altered[2]):
                if given := re.match(r"alter (?:column )?(\w+) set default (?!null\b)", action):
                    filled.add((altered[1], given[1]))
                required = re.match(r"alter (?:column )?(\w+) set not null", action)
                if required and (altered[1], required[1]) in filled:
                    continue
                found += [what for what, pattern in ACTIONS.items() if re.match(pattern, action)]
        revoked = re.search(r"\brevoke .*? on (?:\w+ )?(\S+) from (\w+)", statement)
        if not (revoked and made & set(revoked.groups())):
            found += [what for what, pattern in STATEMENTS.items() if re.search(pattern, statement)]
    return found


def releases() -> list[str]:
    """Every version of the changelog, the newest first."""
    return re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)


def breaches(step: Script, earlier: list[str]) -> list[str]:
    """How the migration breaks the rule, where these are the releases before its own."""
    found = contractions(step)
    unused_since = getattr(step.module, "contracts", None)
    if unused_since is None:
        return found
    if not found:
        return ["says that it contracts, and does not"]
    return [] if unused_since in earlier else [f"{unused_since} is no earlier release"]


def test_no_migration_takes_away_what_the_release_before_it_uses() -> None:
    broken = {step.revision: breaches(step, releases()[1:]) for step in steps()}
    assert broken == {step.revision: [] for step in steps()}


# The rule itself

SAMPLE = '''
"""A sample."""

import sqlalchemy as sa
from alembic import op

revision = "sample"
down_revision = "{previous}"
{marker}


def upgrade() -> None:
    {body}
'''


@pytest.fixture
def sample(tmp_path: Path) -> Callable[..., Script]:
    """Makes a migration that does this after all the others."""

    def make(body: str, marker: str = "") -> Script:
        directory = tmp_path / "migrations"
        shutil.copytree(MIGRATIONS, directory, ignore=shutil.ignore_patterns("__pycache__"))
        text = SAMPLE.format(previous=steps()[-1].revision, body=body, marker=marker)
        (directory / "versions" / "sample.py").write_text(text)
        return steps(directory)[-1]

    return make


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ('op.drop_column("tasks", "title")', "drops a column"),
        ('op.alter_column("tasks", "title", new_column_name="name")', "renames"),
        ('op.rename_table("tasks", "todos")', "renames"),
        ('op.drop_table("tasks")', "drops"),
        ('op.alter_column("tasks", "due_at", nullable=False)', "requires a value"),
        ('op.alter_column("users", "time_zone", server_default=None)', "takes a default away"),
        ('op.alter_column("tasks", "priority", type_=sa.Text)', "changes a column's type"),
        (
            'op.add_column("tasks", sa.Column("size", sa.Integer, nullable=False))',
            "adds a column that must be given",
        ),
        ('op.execute("alter table tasks drop column title")', "drops a column"),
        ('op.execute("ALTER TABLE public.tasks\\n  DROP title")', "drops a column"),
        (
            'op.execute(\'alter table "tasks" drop column if exists "title" cascade\')',
            "drops a column",
        ),
        (
            'op.execute("alter table tasks add a numeric(3, 1), drop title")',
            "drops a column",
        ),
        ('op.execute("alter table tasks rename title to name")', "renames"),
        ('op.execute("alter table only tasks rename column title to name")', "renames"),
        ('op.execute("alter table if exists tasks rename to todos")', "renames"),
        ('op.execute("select 1; drop table if exists tasks")', "drops"),
        ('op.execute("/* gone */ drop /* it is */ table tasks")', "drops"),
        (
            "op.execute(\"do $$ begin execute 'alter table tasks drop column title'; end $$\")",
            "drops a column",
        ),
        ('op.execute("do $$ begin drop table tasks; end $$")', "drops"),
        ('op.execute("revoke update on tasks from tasks_app")', "revokes"),
        ('op.execute("drop function if exists search(text)")', "drops"),
        ('op.execute("alter table tasks alter title type varchar(10)")', "changes a column's type"),
    ],
)
def test_the_rule_finds_what_takes_something_away(
    sample: Callable[..., Script], body: str, what: str
) -> None:
    step = sample(body)
    assert breaches(step, ["1.0.0"]) == [what]


@pytest.mark.parametrize(
    "body",
    [
        'op.add_column("tasks", sa.Column("size", sa.Integer))',
        'op.add_column("tasks", sa.Column("size", sa.Integer, nullable=False, server_default="0"))',
        'op.create_index("ix_tasks_size", "tasks", ["user_id", "title"])',
        'op.drop_index("ix_tasks_due_ascending", "tasks")',
        'op.drop_constraint("ck_tasks_title", "tasks")',
        'op.create_check_constraint("ck_tasks_b", "tasks", "title is not null or complete")',
        'op.alter_column("tasks", "title", nullable=True)',
        'op.alter_column("tasks", "due_at", server_default="now()")',
        "op.execute('alter table tasks alter size set default 0; alter table tasks"
        " alter size set not null')",
        'op.execute("alter table tasks rename constraint ck_tasks_title to ck_tasks_titles")',
        'op.execute("alter index ix_tasks_priority rename to ix_tasks_rank")',
        "op.execute(\"-- drop table tasks\\nselect 'dropped'\")",
        'op.execute("create table t (a int); alter table t drop column a; drop policy p on t")',
        'op.create_table("teams", sa.Column("id", sa.Uuid, nullable=False))',
        'op.execute("create function f() returns int return 1; revoke all on function f from r")',
        'op.execute("create role r nologin; revoke create on schema public from r")',
    ],
)
def test_the_rule_lets_everything_else_be(sample: Callable[..., Script], body: str) -> None:
    assert breaches(sample(body), []) == []


@pytest.mark.parametrize(
    ("version", "broken"),
    [
        ("1.0.0", []),
        ("1.1.0", []),
        ("1.2.0", ["1.2.0 is no earlier release"]),
        ("0.9.0", ["0.9.0 is no earlier release"]),
    ],
)
def test_what_an_earlier_release_stopped_using_may_go(
    sample: Callable[..., Script], version: str, broken: list[str]
) -> None:
    step = sample('op.drop_column("tasks", "title")', f'contracts = "{version}"')
    assert breaches(step, ["1.1.0", "1.0.0"]) == broken


def test_a_marker_without_need_is_refused(sample: Callable[..., Script]) -> None:
    step = sample("pass", 'contracts = "1.0.0"')
    assert breaches(step, ["1.0.0"]) == ["says that it contracts, and does not"]
