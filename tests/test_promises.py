"""The documents of promises: every risk is walked through, and every test that they name exists."""

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

DOCUMENT = (ROOT / "docs" / "security.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", DOCUMENT, re.M))
PROMISES = (ROOT / "docs" / "reliability.md").read_text()
NAMED = re.findall(r"`(tests/\w+\.py)::(\w+)`", DOCUMENT + PROMISES)

RISKS = [
    "API1: Broken object level authorization",
    "API2: Broken authentication",
    "API3: Broken object property level authorization",
    "API4: Unrestricted resource consumption",
    "API5: Broken function level authorization",
    "API6: Unrestricted access to sensitive business flows",
    "API7: Server side request forgery",
    "API8: Security misconfiguration",
    "API9: Improper inventory management",
    "API10: Unsafe consumption of APIs",
]
"""As OWASP's API Security Top 10 of 2023 names them."""


def names_in(path: Path) -> set[str]:
    """The names of the tests in a file."""
    tree = ast.parse(path.read_text())
    return {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}


def test_every_risk_of_the_list_is_walked_through_in_its_order() -> None:
    assert [title for title in SECTIONS if title.startswith("API")] == RISKS


@pytest.mark.parametrize("risk", [*RISKS, "Secrets", "Host and X-Forwarded"])
def test_every_risk_has_tests_that_prove_what_is_said(risk: str) -> None:
    assert re.search(r"^- `tests/\w+\.py::test_\w+`$", SECTIONS[risk], re.M)


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED)))
def test_a_test_that_is_named_exists(path: str, name: str) -> None:
    assert name.startswith("test_")
    assert name in names_in(ROOT / path)


def test_every_promise_has_tests_that_prove_it() -> None:
    promises = PROMISES.split("## The promises", 1)[1].split("\n## ", 1)[0]
    stated = re.findall(r"^\*\*", promises, re.M)
    proved = re.findall(r"^\*\*(?:(?!^\*\*).)*?^- `tests/", promises, re.M | re.S)
    assert len(stated) == len(proved) > 10


def test_no_mention_of_a_test_is_written_in_another_way() -> None:
    assert len(NAMED) == (DOCUMENT + PROMISES).count("::")
