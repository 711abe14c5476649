"""Tasks of Google, from Takeout."""

import json
from contextlib import suppress
from io import BytesIO
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.transfer.moving.found import Options
from app.api.transfer.moving.google import MOST_UNKNOWN, read
from app.api.transfer.moving.refused import NotThisFormat
from tests.moving_json import (
    assert_valid,
    check_sample,
    check_sources,
    found,
    growth,
    many,
    mutated,
    sample,
    samples,
    values,
)

NAMES: Final = samples("google")
FILES: Final = [sample("google", name)[0] for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_read_as_written_beside_it(name: str) -> None:
    check_sample(read, "google", name)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_file_has_the_same_sources(name: str) -> None:
    check_sources(read, "google", name)


@given(st.binary(max_size=300) | mutated(FILES))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(NotThisFormat):
        assert_valid(read(BytesIO(data), Options()))


@given(values("kind id title items tasks notes status due completed created parent position links"))
def test_members_of_any_type_are_read_or_reported(value: bytes) -> None:
    data = b'{"kind":"tasks#taskLists","items":[{"title":"L","items":[%s]}]}' % value

    assert_valid(read(BytesIO(data), Options()))


def test_long_texts_are_left_as_they_are() -> None:
    title, notes = "t" * 100_000, "n" * 100_000
    data = f'{{"items":[{{"items":[{{"id":"a","title":"{title}","notes":"{notes}"}}]}}]}}'

    (task,) = found(read, data.encode())["tasks"]

    assert (task["title"], task["description"]) == (title, notes)


def test_members_that_are_not_known_are_reported_once_with_their_number() -> None:
    tasks = [
        {"id": "a", "title": "A", "updated": "x", "etag": "x", "hidden": True, "starred": True},
        {"id": "b", "title": "B", "starred": True, "scheduled_time": [{"current": True}]},
        {"id": "c", "title": "C", "starred": False, "scheduled_time": [], "recurrence": None},
        {"id": "d", "title": "D", "deleted": True, "recurrence": "RRULE:FREQ=DAILY"},
    ]
    data = json.dumps({"items": [{"items": tasks}]}).encode()

    lossy = found(read, data)["lossy"]

    detail = "Tasks of this service have nothing of that name; it was left out: "
    assert {loss["field"]: (loss["line"], loss["detail"]) for loss in lossy} == {
        "deleted": (4, "Deleted tasks of this list are left out: 1."),
        "starred": (1, f"{detail}2."),
        "scheduled_time": (2, f"{detail}1."),
    }


def test_the_names_of_unknown_members_are_bounded() -> None:
    members = {f"{number}{'x' * 1000}": 1 for number in range(1000)} | {"\0\ud800": 1}
    data = json.dumps({"items": [{"items": [{"id": "a", "title": "A", **members}]}]}).encode()

    lossy = found(read, data)["lossy"]

    assert len(lossy) == MOST_UNKNOWN + 1
    assert all(len(loss["field"]) <= 501 for loss in lossy)
    assert sum(int(loss["detail"].rstrip(".").rpartition(" ")[2]) for loss in lossy) == 1001


def test_losses_are_bounded() -> None:
    data = many(10_002, '{"items":[{"items":[%s]}]}', '{"id":"%d","title":""}')

    everything = found(read, data)

    assert len(everything["tasks"]) == 10_002
    assert len(everything["lossy"]) == 10_001
    detail = "More than 10,000 losses; no more are listed."
    assert everything["lossy"][-1] == {"line": 10_001, "field": "", "detail": detail}


def test_ten_thousand_tasks_take_little_more_memory_than_the_file() -> None:
    task = '{"id":"%d","title":"T","notes":"N","status":"needsAction","links":[{"link":"L"}]}'
    data = many(10_000, '{"items":[{"items":[%s]}]}', task)

    assert growth(read, data) < 2_000_000
