"""Files of other apps as browsers and users send them: names, media types, encodings, and time."""

import bz2
import gzip
import io
import itertools
import lzma
from typing import Any, Final

import pytest

from app.api.transfer.moving import in_time
from app.api.transfer.moving.as_sent import plain_name
from app.api.transfer.moving.forms import FORMS
from app.api.transfer.moving.found import Found, FoundTask, Options, limited
from app.api.transfer.moving.refused import NotThisFormat, TooSlow
from tests.conftest import Account
from tests.test_moving_archives import zipped
from tests.test_moving_in import takeout
from tests.walking import walk

CSV: Final = b"TYPE,CONTENT\ntask,Buy milk\n"
TICKTICK: Final = b'"List Name","Title","Content","taskId"\n"L","Buy milk","","1"\n'
GOOGLE: Final = b'{"items":[{"items":[{"id":"a","title":"Buy milk"}]}]}'
MICROSOFT: Final = b'{"value":[{"id":"a","title":"Buy milk"}]}'
CALENDAR: Final = (
    b"BEGIN:VCALENDAR\nBEGIN:VTODO\nUID:1\nSUMMARY:Buy milk\nEND:VTODO\nEND:VCALENDAR\n"
)
DATA: Final = {
    "todoist": CSV,
    "ticktick": TICKTICK,
    "google": GOOGLE,
    "microsoft": MICROSOFT,
    "ics": CALENDAR,
}
ENDINGS: Final = {"todoist": ".csv", "google": ".json", "microsoft": ".json", "ics": ".ics"}
"""Of the formats that use the name."""

SKIPPED: Final = {
    "todoist": (CSV, b"\n", b""),
    "ticktick": (TICKTICK, b"\n", b""),
    "google": (GOOGLE, b" ", b""),
    "microsoft": (MICROSOFT, b" ", b""),
    "ics": (b"BEGIN:VCALENDAR\nBEGIN:VEVENT\n", b"A:\n", b"END:VEVENT\nEND:VCALENDAR\n"),
}
"""Of each format: a beginning, something of which nothing becomes of a task, and an end."""


def found(form: str, data: bytes, **options: Any) -> list[Found]:
    return list(FORMS[form].read(io.BytesIO(data), Options(**options)))


def categories(form: str, name: str) -> set[str | None]:
    result = found(form, DATA[form], name=name)
    return {each.category for each in result if isinstance(each, FoundTask)}


@pytest.mark.parametrize("form", ENDINGS)
@pytest.mark.parametrize("folder", ["", "C:\\fakepath\\", "D:/a b/", "/home/ada/"])
def test_a_category_has_the_name_of_the_file_without_folders_and_ending(
    form: str, folder: str
) -> None:
    ending = ENDINGS[form]
    for name in ("Errands", f"Errands{ending}", f"Errands{ending.upper()}", "Errands.Zip"):
        assert categories(form, folder + name) == {"Errands"}


@pytest.mark.parametrize("form", ENDINGS)
@pytest.mark.parametrize("name", ["Work/Home", "a\\b", "C: Home", "v1.2", "Notes.txt", ".hidden"])
def test_nothing_else_is_taken_from_a_name(form: str, name: str) -> None:
    assert categories(form, name) == {name}


@pytest.mark.parametrize("name", ["", "/", ".csv", "C:\\", " .zip"])
def test_a_name_of_which_nothing_is_left_is_none(name: str) -> None:
    assert categories("todoist", name) == {None}


def test_only_one_ending_is_left_out() -> None:
    assert plain_name("a.csv.csv", ".csv", ".zip") == "a.csv"


@pytest.mark.parametrize("form", DATA)
@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("UTF-16", lambda data: data.decode().encode("utf-16-le")),
        ("UTF-32", lambda data: data.decode().encode("utf-32")),
        ("gzip", gzip.compress),
        ("bzip2", bz2.compress),
        ("XZ", lzma.compress),
    ],
)
def test_another_encoding_is_named(form: str, encoding: str, encode: Any) -> None:
    data = encode(DATA[form])
    with pytest.raises(NotThisFormat, match=f"^The file is {encoding}. It has to be text in UTF-8"):
        found(form, data)
    ending = ENDINGS.get(form, ".csv")
    first, *_ = found(form, zipped({f"a{ending}": data, f"b{ending}": DATA[form]}))
    assert not isinstance(first, FoundTask)
    assert first.detail.startswith(f'"a{ending}" was left out. The file is {encoding}.')


@pytest.mark.parametrize("form", DATA)
def test_utf_16_with_a_mark_is_read_of_json_alone(form: str) -> None:
    data = DATA[form].decode().encode("utf-16")
    if FORMS[form].media_types[0] == "application/json":
        assert found(form, data) == found(form, DATA[form])
    else:
        with pytest.raises(NotThisFormat, match=r"^The file is UTF-16\."):
            found(form, data)


@pytest.mark.parametrize("form", DATA)
def test_reading_ends_in_time_also_where_everything_is_skipped(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock on which each block takes a second."""
    beginning, skipped, end = SKIPPED[form]
    data = beginning + skipped * (20 * in_time.BLOCK // len(skipped)) + end
    packed = zipped({f"a{ENDINGS.get(form, '.csv')}": data})
    for sent in (data, packed):
        monkeypatch.setattr(in_time, "monotonic", itertools.count().__next__)
        with pytest.raises(TooSlow):
            found(form, sent, end=10)
    monkeypatch.undo()
    assert found(form, data) is not None


def test_reading_ends_in_time_where_losses_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.transfer.moving.found.MOST_OF_READER", 2)
    losses = found("google", b'{"items":[{"items":[1,2,3,4,5]}]}')
    assert len(losses) == 3
    with pytest.raises(TooSlow):
        list(limited([losses[0]] * 4, Options(end=0.0), "x"))


def test_a_file_is_read_and_sought_in_blocks_as_before() -> None:
    data = bytes(range(256)) * 1024
    with io.BytesIO(data) as file:
        timed = in_time.in_time(file, float("inf"))
        assert timed.seek(-3, io.SEEK_END) == timed.tell() == len(data) - 3
        assert timed.read() == data[-3:]
        timed.seek(1)
        assert timed.read(5) == data[1:6]
        assert timed.tell() == 6
        timed.seek(0)
        assert timed.readline() == data[:11]
        assert timed.read() == data[11:]
        timed.close()
        assert not file.closed


@pytest.mark.parametrize(
    ("form", "media_type", "data"),
    [
        ("todoist", "application/vnd.ms-excel", CSV),
        ("ticktick", "application/vnd.ms-excel", TICKTICK),
        ("todoist", "application/x-zip-compressed", zipped({"Home.csv": CSV})),
        ("google", "application/x-zip-compressed", zipped({"Tasks.json": takeout({"title": "a"})})),
    ],
)
def test_the_media_types_of_windows_are_taken(
    alice: Account, form: str, media_type: str, data: bytes
) -> None:
    answer = alice.post(f"/v1/import?format={form}", data=data, content_type=media_type)
    assert answer.status_code == 200, answer.text
    assert len(walk(alice)) == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_refusal_names_each_usual_media_type(alice: Account, form: str) -> None:
    answer = alice.post(f"/v1/import?format={form}", data=b"x", content_type="text/plain")
    assert answer.status_code == 415
    assert answer.json["detail"] == (
        f"Send `Content-Type: {'` or `'.join(FORMS[form].media_types)}`."
    )
    for wrong in {"application/vnd.ms-excel"} - {*FORMS[form].accepted}:
        answer = alice.post(f"/v1/import?format={form}", data=b"x", content_type=wrong)
        assert answer.status_code == 415


def test_the_projects_of_two_files_without_a_name_stay_apart(alice: Account) -> None:
    def send(data: bytes) -> Any:
        return alice.post("/v1/import?format=todoist", data=data, content_type="text/csv").json

    assert send(CSV)["created"] == 1
    other = send(CSV + b"task,Buy bread\n")
    assert (other["created"], other["updated"]) == (2, 0)
    assert [loss["field"] for loss in other["lossy"]] == ["name"]
    assert send(CSV)["unchanged"] == 1
