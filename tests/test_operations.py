"""docs/operations leads to all that is in it, and what its first page says of migrations is so."""

import re
from typing import Any

from tests.conftest import ROOT

OPERATIONS = ROOT / "docs" / "operations"
INDEX = (OPERATIONS / "README.md").read_text()


def test_every_page_and_file_is_found_from_the_first_page() -> None:
    pages = [INDEX, *(page.read_text() for page in OPERATIONS.glob("*.md"))]
    linked = {target for page in pages for target in re.findall(r"\]\(([^)#]+)\)", page)}
    directories = {target.strip("/") for target in linked if target.endswith("/")}
    for path in OPERATIONS.rglob("*"):
        name = str(path.relative_to(OPERATIONS))
        if path.is_file() and name != "README.md":
            assert name in linked or name.split("/")[0] in directories, name
    for page in OPERATIONS.glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in INDEX, page.name


def test_the_query_for_long_transactions_finds_them(connection: Any) -> None:
    (query,) = re.findall(r"^ *```sql\n(.*?)^ *```", INDEX, re.M | re.S)
    with connection.cursor() as cursor:
        cursor.execute(query)
        assert [column.name for column in cursor.description] == ["pid", "age", "state", "query"]


def test_a_migration_waits_for_a_table_as_long_as_the_page_says() -> None:
    environment = (ROOT / "migrations" / "env.py").read_text()
    (seconds,) = re.findall(r'^LOCK_TIMEOUT = "(\d+)s"', environment, re.M)
    assert {"4": "four"}[seconds] in re.sub(r"\s+", " ", INDEX)
    assert 'f"nothing was migrated: {first_line(error)}"' in environment
