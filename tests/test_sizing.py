"""The sums of docs/operations/sizing.md, with the settings' own defaults."""

import re
from dataclasses import fields
from math import ceil

import pytest

from app.api.transfer.upload import PIECE
from app.core.config import Settings
from app.core.places import threads_in_all
from app.db.pool import most_connections
from tests.conftest import ROOT
from tests.haproxy import SHIPPED

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "operations" / "sizing.md").read_text()
DEFAULTS = {item.metadata["variable"]: item.default for item in fields(Settings)}
SUMS = [
    [cell.strip(" `") for cell in row.strip("|").split(" | ")]
    for row in re.findall(r"^\|.+\|$", PAGE, re.M)[2:]
]


@pytest.mark.parametrize(("what", "formula", "result"), SUMS)
def test_a_sum_is_what_the_defaults_come_to(what: str, formula: str, result: str) -> None:
    formula = formula.replace("the same", next(row[1] for row in SUMS if "exports" in row[0]))
    named = re.findall(r"[A-Z]+(?:_[A-Z]+)+", formula)
    assert named
    for name in named:
        formula = formula.replace(name, str(DEFAULTS[name]))
    formula = formula.replace("\u00d7", "*").replace("\u00f7", "//").replace("`", "")
    formula = re.sub(r"(?<=\d),(?=\d)", "", formula)
    assert ceil(eval(formula)) == int(result)


def test_the_rest_of_the_page_is_what_is_so() -> None:
    settings = Settings()
    assert f"larger than {PIECE // 1024} KiB" in PAGE
    threads = settings.web_concurrency * settings.web_threads
    assert f"`maxconn {2 * threads}`" in PAGE
    assert f" maxconn {2 * threads}\n" in SHIPPED.read_text()
    assert settings.db_pool_size >= settings.web_threads
    most = settings.web_concurrency * most_connections(settings)
    shown = next(row[2] for row in SUMS if row[0].endswith("an instance, at most"))
    assert shown == str(most)
    threads = threads_in_all(settings.web_threads)
    assert f" + 2 | {threads} |" in PAGE
    assert settings.db_pool_size + settings.db_max_overflow >= threads
