"""An import takes UTF-8 however an editor saved it, and refuses what is no UTF-8 as a whole."""

import bz2
import gzip
import io
import lzma
import zipfile

import pytest

from tests.conftest import Account
from tests.lines import category, counts, exported, jsonl, parsed, send, task, without_account

UTF_8_MARK = b"\xef\xbb\xbf"


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("tasks.jsonl", data)
    return file.getvalue()


def test_an_export_that_was_given_a_byte_order_mark_is_taken(alice: Account, bob: Account) -> None:
    home = alice.create_category(name="Caf\u00e9")["id"]
    alice.create_task(title="Buy milk", category_id=home)
    data = exported(alice)
    report = send(bob, UTF_8_MARK + data).json
    assert (counts(report), report["complete"]) == ((2, 0, 1, 0), True)
    assert without_account(exported(bob)) == without_account(data)


def test_only_the_first_mark_of_a_file_is_no_part_of_a_line(alice: Account) -> None:
    report = send(alice, UTF_8_MARK + jsonl(task()) + UTF_8_MARK + jsonl(task())).json
    assert counts(report) == (1, 0, 0, 1)
    assert report["refusals"][0]["line"] == 2


@pytest.mark.parametrize("mark", [b"", UTF_8_MARK], ids=["plain", "with a mark"])
def test_lines_may_end_as_those_of_windows_do(alice: Account, bob: Account, mark: bytes) -> None:
    alice.create_task(title="Buy milk", description="Two\r\nlitres")
    data = exported(alice)
    report = send(bob, mark + data.replace(b"\n", b"\r\n") + b"\r\n").json
    assert (counts(report), report["complete"]) == ((1, 0, 1, 0), True)
    assert without_account(exported(bob)) == without_account(data)


ENCODINGS = {
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
    "utf-32-le": "UTF-32",
    "utf-32-be": "UTF-32",
}


def refused_as_a_whole(account: Account, data: bytes, encoding: str) -> None:
    """One answer that names the encoding; nothing is written, and the key can be used."""
    before = exported(account)
    response = send(account, data, **{"Idempotency-Key": "once"})
    assert (response.status_code, response.mimetype) == (415, "application/problem+json")
    assert encoding in response.json["detail"]
    assert "UTF-8" in response.json["detail"]
    assert exported(account) == before
    kept = send(account, jsonl(task()), **{"Idempotency-Key": "once"})
    assert kept.status_code == 200


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_another_encoding_is_one_refusal_that_names_it(alice: Account, encoding: str) -> None:
    text = jsonl(category(), *(task() for _ in range(3))).decode()
    refused_as_a_whole(alice, text.encode(encoding), ENCODINGS[encoding])


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("gzip", gzip.compress),
        ("ZIP", zipped),
        ("bzip2", bz2.compress),
        ("XZ", lzma.compress),
    ],
)
def test_a_compressed_file_is_one_refusal_that_names_it(
    alice: Account, name: str, packed: object
) -> None:
    assert callable(packed)
    refused_as_a_whole(alice, packed(jsonl(*(task() for _ in range(3)))), name)


@pytest.mark.parametrize("data", [b"", b"\n", UTF_8_MARK, UTF_8_MARK + b"\r\n"])
def test_a_file_of_nothing_is_an_import_of_nothing(alice: Account, data: bytes) -> None:
    response = send(alice, data)
    assert (response.status_code, counts(response.json)) == (200, (0, 0, 0, 0))
    assert len(parsed(exported(alice))) == 2
