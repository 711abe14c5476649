"""The benchmark compares like with like, and its figures mean what they say."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import bulk, table
from benchmarks.__main__ import arguments
from benchmarks.answers import Different, check, examine, newest_task, speaking
from benchmarks.contestants import FLOOR, OURS, Contestant, started
from benchmarks.data import Ground, ground
from benchmarks.load import fire
from benchmarks.measure import Plan, Run
from benchmarks.results import collect
from tests.conftest import ROOT
from tests.databases import opened
from tests.rig.programs import need

pytestmark = pytest.mark.slow

PAGE = (ROOT / "benchmarks" / "README.md").read_text()


@pytest.fixture(scope="module")
def prepared() -> Iterator[Ground]:
    """The benchmark's rows, in a cluster of their own."""
    with ground() as found:
        yield found


def test_the_commands_for_a_part_of_it_are_understood() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (part,) = re.findall(r"^    \.venv/bin/python -m benchmarks (.+)$", PAGE, re.M)
    quick = re.findall(r"-m benchmarks (floor service .+) \$\(ARGS\)$", makefile, re.M)[0]
    (chosen,) = re.findall(r'a minute; ARGS="(.+)"$', makefile, re.M)
    for command, rounds in ((part, 3), (f"{quick} {chosen}", 1)):
        options = arguments(command.split())
        assert (options.names, options.rounds) == (["floor", "service"], rounds)
        assert set(options.operations) < set(arguments([]).operations)


@pytest.mark.parametrize("contestant", OURS, ids=lambda one: one.name)
def test_each_answers_alike_and_in_one_flight(
    prepared: Ground, contestant: Contestant, tmp_path: Path
) -> None:
    if "granian" in contestant.command and not find_spec("granian"):
        pytest.skip("granian is not installed")
    flights = examine(prepared, contestant, tmp_path)
    assert flights == {"get": 1, "list": 1, "post": 1, "patch": 1}


def test_another_answer_than_the_others_is_refused(prepared: Ground, tmp_path: Path) -> None:
    database, person = prepared.fresh("of_another"), prepared.people[0]
    task = newest_task(database, person)
    with (
        started(FLOOR, database, person, tmp_path) as running,
        speaking(running.base, person.token) as ask,
        pytest.raises(Different, match="GET one"),
    ):
        check(ask, person, task | {"priority": "urgent"})


def test_a_load_reaches_everybody_and_changes_what_it_says(
    prepared: Ground, tmp_path: Path
) -> None:
    need("wrk")
    database, targets = prepared.fresh("of_load"), tmp_path / "targets"
    targets.write_text(prepared.targets)
    with (
        started(FLOOR, database, prepared.people[0], tmp_path) as running,
        opened(database) as cursor,
    ):
        patched = fire(running.base, "patch", targets, 1, "the test")
        cursor.execute(
            "select count(distinct user_id), count(distinct title) = count(*) from tasks"
            " where title like 'Change % of the test'"
        )
        assert cursor.fetchone() == (len(prepared.people), True)
        assert patched.errors == 0 < patched.requests
        fire(running.base, "mix", targets, 1, "the test")
        cursor.execute(
            "select count(*), count(distinct user_id) from tasks where title = 'Buy milk'"
        )
        posted, users = cursor.fetchone()
        assert users >= min(posted // 2, len(prepared.people))


def test_a_run_measures_what_it_was_told_to_and_shows_it(prepared: Ground) -> None:
    need("wrk")
    run = Run(Plan([FLOOR], ["list", "mix"], rounds=1, seconds=1), prepared)
    run.play()
    shown = table.full(collect(run))
    assert [sample.operation for sample in run.samples] == ["list", "list", "mix", "mix"]
    assert all(sample.application_us > 0 < sample.database_us for sample in run.samples)
    headings = re.findall(r"^\| (.*?) +\| requests/s \|", shown, re.M)
    assert headings == ["list of 50", "mix"]


def test_bulk_requests_are_measured_beside_their_own_statements(prepared: Ground) -> None:
    figures = bulk.measure(prepared, rounds=1, share=0.03)
    assert figures.keys() == bulk.CASES.keys()
    assert all(sum(spent) > 0 for spent in zip(*figures.values(), strict=True))
    table = bulk.tabulated(figures)
    assert all(f"| {name} |" in table for name in figures)
