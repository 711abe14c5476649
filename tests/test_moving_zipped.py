"""Files of other apps in zips, as their downloads are."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from app.api.transfer.moving.forms import FORMS
from app.api.transfer.moving.found import Found, FoundTask, Loss, Options
from app.api.transfer.moving.refused import NotThisFormat
from tests.assertions import refused
from tests.conftest import Account
from tests.test_moving_archives import zipped
from tests.walking import walk

SAMPLES = Path(__file__).parent / "moving"
SUFFIXES = {"ticktick": "csv", "google": "json", "microsoft": "json", "ics": "ics"}


def found(form: str, data: bytes, **options: Any) -> list[Found]:
    return list(FORMS[form].read(io.BytesIO(data), Options(**options)))


def sample(form: str) -> bytes:
    """The longest file of a format."""
    files = [path.read_bytes() for path in (SAMPLES / form).glob(f"*.{SUFFIXES[form]}")]
    return max(files, key=len)


def takeout(task: str, **of_list: str) -> bytes:
    items = [{"id": task, "title": task, "status": "needsAction"}]
    return json.dumps({"kind": "tasks#taskList", "items": items, **of_list}).encode()


@pytest.mark.parametrize("form", SUFFIXES)
def test_a_file_in_a_zip_is_read_as_if_it_came_alone(form: str) -> None:
    data = sample(form)
    alone = found(form, data, name="a")
    packed = found(form, zipped({f"b/c.{SUFFIXES[form]}": data, "index.html": b""}), name="a")
    assert alone
    assert [each for each in packed if isinstance(each, FoundTask)] == [
        each for each in alone if isinstance(each, FoundTask)
    ]
    assert [each for each in packed if isinstance(each, Loss)] == [
        each._replace(detail=f'In "c.{SUFFIXES[form]}": {each.detail}')
        for each in alone
        if isinstance(each, Loss)
    ]


def test_the_name_of_a_file_in_a_zip_is_its_category_where_none_is_sent() -> None:
    data = zipped({"Errands.json": takeout("a"), "Home.JSON": takeout("b")})
    [a, b] = found("google", data)
    assert isinstance(a, FoundTask)
    assert isinstance(b, FoundTask)
    assert (a.category, b.category) == ("Errands", "Home")
    assert {each.category for each in found("google", data, name="x")} == {"x"}  # type: ignore[union-attr]


def test_files_of_another_kind_are_named_and_left_out() -> None:
    data = zipped({"a.json": b"{}", "b.json": b"[", "Tasks.json": takeout("c")})
    first, second, task = found("google", data)
    assert isinstance(first, Loss)
    assert isinstance(second, Loss)
    assert isinstance(task, FoundTask)
    assert first.detail == (
        '"a.json" was left out. The file is not a Tasks.json of Google Takeout.'
    )
    assert (second.line, second.field, second.detail[:22]) == (2, "file", '"b.json" was left out.')


@pytest.mark.parametrize("files", [{}, {"a.txt": b"a"}, {"a.json": b"{}"}, {".json": b"{}"}])
def test_a_zip_without_a_file_of_the_format_is_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(NotThisFormat, match="The zip file has no file of this format"):
        found("google", zipped(files))


def test_a_zip_in_a_zip_is_not_opened() -> None:
    inner = zipped({"Tasks.json": takeout("a")})
    with pytest.raises(NotThisFormat, match="The zip file has no file of this format"):
        found("google", zipped({"inner.json": inner, "inner.zip": inner}))


def test_the_download_of_takeout_is_imported_as_it_is(alice: Account) -> None:
    def send(data: bytes) -> Any:
        path = "/v1/import?format=google"
        return alice.post(path, data=data, content_type="application/zip")

    tasks = takeout("a", title="Errands")
    data = zipped({"Takeout/archive_browser.html": b"<p>", "Takeout/Tasks/Tasks.json": tasks})
    report = send(data)
    assert (report.status_code, report.json["created"]) == (200, 2)
    assert [task["title"] for task in walk(alice)] == ["a"]
    assert send(tasks).json["unchanged"] == 1  # whatever it was sent as
    assert refused(send(data[:-30]), "format", parameter="format")
