"""Names pass from one category to another: in whatever order lines come, an import ends in what its
file says, and a second one changes nothing.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.transfer import importing, renaming
from app.core.ids import new_id
from tests.conftest import Account, sending
from tests.lines import category, counts, exported, imported, parsed, reasons, send, task

Line = dict[str, Any]

MOST = 12
NAMES = [f"Name {number}" for number in range(2 * MOST)]


def named(row: str, name: str) -> Line:
    return {"type": "category", "data": {"id": row, "name": name}}


def names(account: Account) -> dict[str, str]:
    """What each category is called."""
    lines = parsed(exported(account))
    return {
        line["data"]["id"]: line["data"]["name"] for line in lines if line["type"] == "category"
    }


def position(account: Account) -> int:
    """The version of what was changed last."""
    return max(item["version"] for item in account.get("/v1/changes").json["items"])


# What can happen to names


def test_names_that_were_exchanged_come_back_from_an_export(alice: Account) -> None:
    home, work = (alice.create_category(name=name)["id"] for name in ("Home", "Work"))
    alice.create_task(category_id=home)
    data = exported(alice)
    for row, name in ((home, "Between"), (work, "Home"), (home, "Work")):
        assert alice.patch(f"/v1/categories/{row}", json={"name": name}).status_code == 200
    report = send(alice, data).json
    assert (counts(report), report["complete"]) == ((0, 2, 2, 0), True)
    assert exported(alice) == data
    before = position(alice)
    assert counts(send(alice, data).json) == (0, 0, 4, 0)
    assert (exported(alice), position(alice)) == (data, before)


@pytest.mark.parametrize("order", [1, -1], ids=["upwards", "downwards"])
@pytest.mark.parametrize("around", [True, False], ids=["around", "along"])
def test_names_move_on_through_more_categories_than_a_chunk_has(
    alice: Account, around: bool, order: int
) -> None:
    count = 2 * importing.CHUNK_LINES + 50
    rows = [new_id() for _ in range(count)]
    assert counts(imported(alice, *(named(row, f"N {n}") for n, row in enumerate(rows))))[3] == 0
    moved = {row: f"N {(n + 1) % count if around else n + 1}" for n, row in enumerate(rows)}
    lines = [named(row, moved[row]) for row in rows[::order]]
    assert counts(imported(alice, *lines)) == (0, count, 0, 0)
    assert names(alice) == moved
    before = position(alice)
    assert counts(imported(alice, *lines)) == (0, 0, count, 0)
    assert position(alice) == before


def test_no_other_client_ever_sees_a_name_that_nobody_gave(
    alice: Account, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "CHUNK_LINES", 1)
    rows = [alice.create_category(name=name)["id"] for name in NAMES[:3]]
    seen = set[str]()

    def look(statement: str) -> str:
        with connection.cursor() as cursor:
            cursor.execute("select name from categories where user_id = %s", (alice.user_id,))
            seen.update(name for (name,) in cursor.fetchall())
        return statement

    with sending(alice.client.application, look):
        imported(alice, *(named(row, NAMES[(n + 1) % 3]) for n, row in enumerate(rows)))
    assert seen == {*NAMES[:3]}


def test_a_new_category_gets_the_name_that_a_later_line_gives_up_and_its_tasks(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "CHUNK_LINES", 1)
    old, new = alice.create_category(name="Work")["id"], new_id()
    lines = [named(new, "work"), task(category_id=new), task(), named(old, "Office")]
    assert counts(imported(alice, *lines)) == (3, 1, 0, 0)
    assert names(alice) == {new: "work", old: "Office"}
    assert counts(imported(alice, *lines)) == (0, 0, 4, 0)


def test_a_name_that_a_category_outside_of_the_file_has_is_refused_and_so_what_waits_for_it(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "CHUNK_LINES", 1)
    taken, home, work = (
        alice.create_category(name=name)["id"] for name in ("Taken", "Home", "Work")
    )
    new = new_id()
    lines = [named(new, "Home"), named(home, "Taken"), named(work, "Office"), category(name="Work")]
    for expected in ((1, 1, 0, 2), (0, 0, 2, 2)):
        report = imported(alice, *lines)
        assert counts(report) == expected
        assert reasons(report) == [(1, "/data", "conflict"), (2, "/data", "conflict")]
        kept = {taken: "Taken", home: "Home", work: "Office", lines[3]["data"]["id"]: "Work"}
        assert names(alice) == kept


def test_a_line_that_is_refused_gives_up_no_name(alice: Account) -> None:
    home = alice.create_category(name="Home")["id"]
    wrong = {"type": "category", "data": {"id": home, "name": "Other", "color": "red"}}
    report = imported(alice, category(name="Home"), wrong)
    assert counts(report) == (0, 0, 0, 2)
    assert reasons(report) == [(1, "/data", "conflict"), (2, "/data/color", "color")]
    assert names(alice) == {home: "Home"}


def test_a_type_may_be_written_with_escapes(alice: Account) -> None:
    old, new = alice.create_category(name="Work")["id"], new_id()
    lines = f'{{"type":"category","data":{{"id":"{new}","name":"Work"}}}}\n' + (
        f'{{"type":"c\\u0061tegory","data":{{"id":"{old}","name":"Office"}}}}\n'
    )
    assert counts(send(alice, lines.encode()).json) == (1, 1, 0, 0)
    assert names(alice) == {new: "Work", old: "Office"}


def test_more_categories_than_are_looked_at_are_refused_as_names_are_taken(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renaming, "MOST_ROWS", 1)
    old, new = alice.create_category(name="Work")["id"], new_id()
    report = imported(alice, named(new, "Work"), named(old, "Office"))
    assert (counts(report), reasons(report)) == ((0, 1, 0, 1), [(1, "/data", "conflict")])
    assert counts(imported(alice, named(new, "Work"), named(old, "Office"))) == (1, 0, 1, 0)


# Whatever the order

CHUNKS = st.sampled_from([1, 2, 5, 200])


@st.composite
def files(draw: st.DrawFn, most_again: int) -> tuple[list[Line], list[Line]]:
    """Categories that are there, and lines that name them and others in any order, of which so many
    may name one again; no two have one name in the end.
    """
    rows = [new_id() for _ in range(draw(st.integers(1, MOST)))]
    there = draw(st.lists(st.sampled_from(rows), unique=True))
    final = draw(st.permutations(NAMES[: len(rows) + draw(st.integers(0, 3))]))
    last = [named(row, styled(draw, name)) for row, name in zip(rows, final, strict=False)]
    lines = draw(st.permutations(last))
    for _ in range(draw(st.integers(0, most_again))):
        again = draw(st.sampled_from(last))["data"]["id"]
        place = next(n for n, line in enumerate(lines) if line["data"]["id"] == again)
        lines.insert(draw(st.integers(0, place)), named(again, draw(st.sampled_from(NAMES))))
    return [named(row, name) for row, name in zip(there, NAMES, strict=False)], lines


def styled(draw: st.DrawFn, name: str) -> str:
    return name.upper() if draw(st.booleans()) else name


def said(lines: list[Line]) -> dict[str, str]:
    """What the last line about each category calls it."""
    return {line["data"]["id"]: line["data"]["name"] for line in lines}


@settings(max_examples=60)
@given(file=files(most_again=4), chunk=CHUNKS)
def test_an_import_ends_in_what_its_file_says(
    auth: Callable[[], Account], file: tuple[list[Line], list[Line]], chunk: int
) -> None:
    before, lines = file
    alice = auth()
    assert counts(imported(alice, *before)) == (len(before), 0, 0, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "CHUNK_LINES", chunk)
        report = imported(alice, *lines)
        assert names(alice) == said(lines)
        again, version = exported(alice), position(alice)
        second = imported(alice, *lines)
    assert names(alice) == said(lines)
    if len(said(lines)) == len(lines):
        assert counts(report)[3] == 0
        assert counts(second) == (0, 0, len(lines), 0)
        assert (exported(alice), position(alice)) == (again, version)


@settings(max_examples=60)
@given(file=files(most_again=0), chunk=CHUNKS, left_out=st.integers(0, MOST - 1))
def test_a_name_stays_with_a_category_that_the_file_does_not_name(
    auth: Callable[[], Account],
    file: tuple[list[Line], list[Line]],
    chunk: int,
    left_out: int,
) -> None:
    before, lines = file
    outside = {line["data"]["id"] for line in before[left_out:]}
    lines = [line for line in lines if line["data"]["id"] not in outside]
    accepted, final = settled(before, lines)
    alice = auth()
    imported(alice, *before)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "CHUNK_LINES", chunk)
        for _ in range(2):
            report = imported(alice, *lines)
            assert names(alice) == final
            refused = [n for n, line in enumerate(lines, 1) if line["data"]["id"] not in accepted]
            assert [refusal["line"] for refusal in report["refusals"]] == refused
        assert counts(report)[:2] == (0, 0)


def settled(before: list[Line], lines: list[Line]) -> tuple[set[str], dict[str, str]]:
    """Which categories get their names, and what all are called: whoever cannot have a name keeps
    the one they have, and so on until nothing changes.
    """
    have, want = said(before), said(lines)
    accepted = {*want}
    while True:
        kept = {name.lower(): row for row, name in have.items() if row not in accepted}
        losing = {row for row in accepted if kept.get(want[row].lower(), row) != row}
        if not losing:
            return accepted, have | {row: want[row] for row in accepted}
        accepted -= losing
