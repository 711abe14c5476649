"""Commands that the documents show: targets, options and syntax are right, and what no other test
runs is run here.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from apiflask import APIFlask

from app import create_app
from app.db.base import db
from tests.conftest import PASSWORD, ROOT, settings_for
from tests.databases import migrate, opened, own_database

OPERATIONS = ROOT / "docs" / "operations"
RUNNING = (OPERATIONS / "running.md").read_text()
RUNBOOK = (OPERATIONS / "runbook.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()

# Decisions show commands of their day.
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(OPERATIONS.glob("*.md")),
    *sorted((ROOT / "app" / "web" / "openapi" / "chapters").glob("*.md")),
]
TEXT = "\n".join(page.read_text() for page in PAGES)

SHELL = re.compile(r"^```(?:sh|bash)\n(.*?)^```$", re.M | re.S)
INDENTED = re.compile(r"(?:^ {4}(?! ).*\n(?: {4,}.*\n)*)+", re.M)
# What an indented block of commands begins with; others are drawings and parts of lists.
PROGRAMS = r"(?:make|git|docker|heroku|fly|curl|systemctl|cp|python3|pre-commit|PATH=|\.venv|docs/)"


# make


def make(*arguments: str) -> list[str]:
    """The lines that make prints, whatever the make was told that runs the tests."""
    command, environment = ["make", *arguments], {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def targets() -> set[str]:
    """The targets that are commands."""
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.M)
    return set(phony.split()) - {"FORCE"}


def test_make_lists_every_target(targets: set[str]) -> None:
    assert {line.split()[1] for line in make()} == targets


def test_every_make_target_that_a_page_names_exists(targets: set[str]) -> None:
    named = set(re.findall(r"(?:^ {4}|`|PORT=\d+ )make ([a-z][a-z-]*)", TEXT, re.M))
    assert named > {"run", "test", "check", "bench", "rig", "faults", "contract", "lock"}
    assert named - targets == set()


def test_make_passes_on_the_arguments_that_the_pages_show() -> None:
    shown = set(re.findall(r"(?:^ {4}|`)(make [a-z-]+ ARGS=[^`#\n.]+)", TEXT, re.M))
    assert len(shown) > 2
    for command in shown:
        target, arguments = shlex.split(command)[1:]
        recipe = "\n".join(make("--dry-run", target, arguments))
        assert f" {arguments.removeprefix('ARGS=')}" in recipe, command


def test_what_the_targets_run_exists() -> None:
    modules = set(re.findall(r"(?:\$\(PYTHON\)|python\") -m ([a-z_][\w.]*)", MAKEFILE))
    assert modules > {"pytest", "tests.smoke", "tests.rig", "tests.faults", "benchmarks.scale"}
    assert [name for name in modules if find_spec(name) is None] == []
    files = set(re.findall(r"(?<= )[\w./]+\.py\b", MAKEFILE))
    assert files > {"wsgi.py", ".ci/pin_extras.py"}
    assert [name for name in files if not (ROOT / name).exists()] == []


# flask


def test_every_flask_command_that_a_page_names_exists_with_its_options(app: APIFlask) -> None:
    named = set(re.findall(r"(?:-m |`|tasks-api )flask ([a-z][^`#\n|;>&]*)", TEXT))
    assert len(named) > 10
    for command in named:
        arguments = [*shlex.split(command), "--help"]
        shown = app.test_cli_runner().invoke(args=arguments)
        assert shown.exit_code == 0, shown.output


@pytest.fixture
def own_application(cluster: str) -> Iterator[APIFlask]:
    """An application on a migrated database that nobody uses."""
    with own_database(cluster) as url:
        migrate(url)
        application = create_app(settings_for(url))
        yield application
        with application.app_context():
            db.engine.dispose()


def test_the_commands_of_running_it_do_their_work_in_their_order(own_application: APIFlask) -> None:
    shown = re.findall(r"^    \.venv/bin/python -m flask ([^#\n]+)", RUNNING, re.M)
    (also,) = re.findall(r"flask db current +# also: (.+)", RUNNING)
    commands = [shlex.split(line) for line in shown] + [["db", name] for name in also.split(", ")]
    printed = {}
    for command in commands:
        if command == ["doctor"]:  # which refuses a superuser; see test_doctor.py
            continue
        done = own_application.test_cli_runner().invoke(args=command, input=f"{PASSWORD}\n" * 2)
        assert done.exit_code == 0, (command, done.output)
        printed[" ".join(command[:2])] = done.stdout
    assert len(printed) > 9
    assert "grace@example.com" in printed["users list"]
    assert printed["tokens issue"].count(".") == 2


def test_an_empty_migration_is_made_as_contributing_shows(app: APIFlask, tmp_path: Path) -> None:
    shown = set(re.findall(r"\.venv/bin/python -m flask (db revision [^`\n]+)", CONTRIBUTING))
    assert len(shown) == 2
    for number, command in enumerate(shown):
        migrations = tmp_path / str(number)
        shutil.copytree(ROOT / "migrations", migrations)
        arguments = [*shlex.split(command), "--directory", str(migrations)]
        done = app.test_cli_runner().invoke(args=arguments)
        assert done.exit_code == 0, done.output
        before, made = sorted((migrations / "versions").glob("*.py"))[-2:]
        assert made.name.startswith("0024_")
        assert f'\ndown_revision = "{before.name[:4]}"\n' in made.read_text()


# git, pytest, SQL


def test_a_release_is_tagged_and_pushed_as_contributing_shows(tmp_path: Path) -> None:
    commands = re.findall(r"^ {7}(git .+)$", CONTRIBUTING, re.M)
    assert [command.split()[1] for command in commands] == ["tag", "push"]
    who = 'git config user.name a; git config user.email "a@example.com"'
    script = f"""
        git init --quiet --bare --initial-branch=main origin
        git init --quiet --initial-branch=main clone
        cd clone; {who}; git remote add origin ../origin
        git commit --quiet --allow-empty --message First
        {"; ".join(commands)}
        git ls-remote origin
    """
    run = ["bash", "-euc", script]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    (tag,) = re.findall(r"git tag --annotate (\S+)", CONTRIBUTING)
    there = {line.split()[1] for line in done.stdout.splitlines()}
    assert {"refs/heads/main", f"refs/tags/{tag}"} <= there


def test_what_contributing_selects_for_pytest_exists() -> None:
    commands = re.findall(r"^    \.venv/bin/python -m pytest (.+)$", CONTRIBUTING, re.M)
    selected = [word for line in commands for word in line.split() if word.startswith("tests/")]
    assert len(selected) > 4
    for path, _, name in (each.partition("::") for each in selected):
        assert f"def {name}" in (ROOT / path).read_text()
    (word,) = re.findall(r'make test ARGS="-k (\w+)"', CONTRIBUTING)
    assert any(
        re.search(rf"^def test_\w*{word}", path.read_text(), re.M)
        for path in (ROOT / "tests").glob("test_*.py")
    )


def test_the_queries_of_the_runbook_find_what_they_are_for(cluster: str) -> None:
    queries = re.findall(r"`(select [^`]+)`", RUNBOOK)
    assert len(queries) > 1
    with own_database(cluster) as url, opened(url) as cursor:
        migrate(url)
        cursor.execute("insert into users (id, email) values (gen_random_uuid(), null)")
        cursor.execute(
            "insert into mails (user_id, id, kind, recipient, last_error) select id,"
            " gen_random_uuid(), 'invitation', 'a@example.com', 'TimeoutError' from users"
        )
        for query in queries:
            cursor.execute(query)
            assert cursor.fetchall() != [], query


# The shell


def test_every_page_with_a_script_is_read_by_a_test() -> None:
    """As a new page with commands needs a test that runs them."""
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("*.py"))
    docs = [page for page in PAGES if page.is_relative_to(ROOT / "docs")]
    scripts = [page.name for page in docs if SHELL.search(page.read_text())]
    assert len(scripts) > 8
    assert [name for name in scripts if f'"{name}"' not in tests] == []


def test_every_command_that_is_shown_is_valid_shell() -> None:
    blocks = SHELL.findall(TEXT)
    text = re.sub(r"^```.*?^```$", "", TEXT, flags=re.M | re.S)
    blocks += [block for block in INDENTED.findall(text) if re.match(rf" {{4}}{PROGRAMS}", block)]
    assert len(blocks) > 60
    for block in blocks:
        run = ["bash", "-n", "-c", block]
        checked = subprocess.run(run, capture_output=True, text=True, timeout=60)
        assert (checked.returncode, checked.stderr) == (0, ""), block
