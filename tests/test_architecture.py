"""What docs/architecture.md shows, the path of a request and the rules, is how the code is."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from tests.conftest import ROOT, Account

APP = ROOT / "app"
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text()
PICTURE = DOCUMENT.split("```mermaid\n", 1)[1].split("```", 1)[0]
PATH = re.findall(r"^\d+\. `(app/[\w/]+\.py)`: ", DOCUMENT, re.M)

BELOW = {"models": set(), "schemas": {"models"}, "queries": {"models", "schemas"}}
"""What a module of a package may import of any package's modules of these names."""


def names_in_picture() -> set[str]:
    """Every word that names something."""
    return set(re.findall(r"[a-z_]+", PICTURE))


def test_the_picture_shows_every_package() -> None:
    packages = {path.parent.name for path in APP.glob("*/__init__.py")}
    assert packages - names_in_picture() == set()


def test_modules_that_the_picture_names_exist() -> None:
    named = re.findall(r"<br/>([\w· ]+)\"", PICTURE)
    modules = {name for line in named for name in line.split(" · ")}
    assert len(modules) > 10
    assert [m for m in modules if not ((APP / f"{m}.py").exists() or (APP / m).is_dir())] == []


def test_every_node_that_an_arrow_leads_to_is_drawn() -> None:
    ends = re.findall(r"^ *(\w+).*?--> (?:\|.*?\| )?(\w+)", PICTURE, re.M)
    drawn = set(re.findall(r"(?:^| |> )(\w+)(?:[\[(]| *$)", PICTURE, re.M))
    drawn |= set(re.findall(r"subgraph (\w+)", PICTURE))
    assert len(ends) > 10
    assert {name for pair in ends for name in pair} - drawn == set()


def modules_called(account: Account, path: str) -> list[str]:
    """The modules that take part in a GET, in the order of their first turn."""
    called: dict[str, None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(f"{APP}/"):
            called[str(Path(file).relative_to(ROOT))] = None

    sys.setprofile(note)
    try:
        assert account.get(path).status_code == 200
    finally:
        sys.setprofile(None)
    return list(called)


def test_a_request_takes_the_path_that_is_shown(alice: Account) -> None:
    path = f"/v1/tasks/{alice.create_task()['id']}"
    alice.get(path)  # what is done once in a process is not the path of each request
    called = modules_called(alice, path)
    assert [module for module in called if module in PATH] == PATH
    features = [module for module in called if module.count("/") > 1]
    assert [module for module in features if module not in PATH] == []


def imports(path: Path) -> Iterator[str]:
    """The modules of ours that a module imports, wherever it does, but for types alone."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("app"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield str(node.module)


def layer(module: str) -> str | None:
    """Of `app.tasks.queries`, and of a name in it, `queries`."""
    found = re.match(r"app\.\w+\.(routes|queries|schemas|models)\b", module)
    return found and found[1]


def test_imports_point_one_way() -> None:
    wrong = [
        (str(path.relative_to(ROOT)), module)
        for name, allowed in BELOW.items()
        for path in APP.glob(f"*/{name}.py")
        for module in imports(path)
        if (found := layer(module)) and found != name and found not in allowed
    ]
    assert wrong == []


def test_only_the_factory_knows_the_routes() -> None:
    knowing = {
        str(path.relative_to(APP))
        for path in APP.rglob("*.py")
        for module in imports(path)
        if layer(module) == "routes"
    }
    assert knowing == {"__init__.py"}


def test_schemas_know_no_database_and_queries_no_flask() -> None:
    for name, foreign in (("schemas", ("sqlalchemy", "psycopg2")), ("queries", ("flask",))):
        for path in APP.glob(f"*/{name}.py"):
            assert not re.search(rf"^(?:from|import) (?:{'|'.join(foreign)})\b", path.read_text())
