"""The sums of docs/operations/sizing.md, with the settings' own defaults."""

import re
from dataclasses import fields
from math import ceil

import pytest

from app.core.config import Settings, variable_of
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "operations" / "sizing.md").read_text()
DEFAULTS = {variable_of(item): item.default for item in fields(Settings)}
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
