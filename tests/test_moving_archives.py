"""Zips that users send, with hostile ones."""

import io
import struct
import tracemalloc
import zipfile
import zlib
from typing import IO, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.transfer.moving import archives
from app.api.transfer.moving.archives import entries
from app.api.transfer.moving.refused import NotThisFormat

MIB: Final = 1024 * 1024
DIRECTORY_ENTRY: Final = b"PK\x01\x02"


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def contents(data: bytes, suffix: str = ".csv") -> list[tuple[str, bytes]]:
    return [(name, file.read()) for name, file in entries(io.BytesIO(data), suffix)]


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    """The zip with other bytes at an offset of its first entry in the directory."""
    place = data.index(DIRECTORY_ENTRY) + offset
    return data[:place] + value + data[place + len(value) :]


def refusal(data: bytes) -> str:
    with pytest.raises(NotThisFormat) as caught:
        contents(data)
    return str(caught.value)


def test_files_of_the_suffix_come_in_order() -> None:
    files = {"b.csv": b"1", "a.csv": b"", "c.CSV": b"3", "d.txt": b"4", "csv": b"5"}
    assert contents(zipped(files)) == [("b.csv", b"1"), ("a.csv", b""), ("c.CSV", b"3")]
    assert contents(zipped(files), ".txt") == [("d.txt", b"4")]


def test_stored_entries_are_read_as_well() -> None:
    assert contents(zipped({"a.csv": b"x" * 100_000}, zipfile.ZIP_STORED))[0][1] == b"x" * 100_000


def test_only_the_last_part_of_a_name_is_given() -> None:
    names = ["../../etc/a.csv", "/root/b.csv", "C:\\c.csv", "x\\..\\d.csv", "e/.csv/f.csv"]
    data = zipped(dict.fromkeys(names, b""))
    assert [name for name, _ in contents(data)] == [f"{name}.csv" for name in "abcdf"]


def test_directories_and_hidden_files_are_left_out() -> None:
    names = ["dir.csv/", "__MACOSX/._a.csv", ".hidden.csv", ".csv", "a.csv"]
    assert [name for name, _ in contents(zipped(dict.fromkeys(names, b"")))] == ["a.csv"]


def test_files_of_one_name_in_two_directories_are_both_given() -> None:
    data = zipped({"x/a.csv": b"1", "y/a.csv": b"2"})
    assert contents(data) == [("a.csv", b"1"), ("a.csv", b"2")]


def test_zips_in_the_zip_are_not_opened() -> None:
    inner = zipped({"a.csv": b"x"})
    assert contents(zipped({"b.zip": inner})) == []
    assert contents(zipped({"b.csv": inner})) == [("b.csv", inner)]


def test_a_content_is_read_in_pieces_and_lines() -> None:
    text = b"one\ntwo\n" * 10_000
    ((_, file),) = [(name, file.read(10)) for name, file in entries(open_zip(text), ".csv")]
    assert file == text[:10]
    for _, content in entries(open_zip(text), ".csv"):
        assert [*content] == [b"one\n", b"two\n"] * 10_000


def open_zip(text: bytes) -> IO[bytes]:
    return io.BytesIO(zipped({"a.csv": text}))


def test_a_content_that_was_passed_cannot_be_read() -> None:
    files = [file for _, file in entries(io.BytesIO(zipped({"a.csv": b"1", "b.csv": b"2"})), "csv")]
    with pytest.raises(NotThisFormat):
        files[0].read()


def test_an_empty_zip_has_no_files() -> None:
    assert contents(zipped({})) == []


def test_a_zip_may_follow_other_bytes_and_have_a_comment() -> None:
    data = io.BytesIO(b"#!/bin/sh\n")
    data.seek(0, io.SEEK_END)
    with zipfile.ZipFile(data, "a") as archive:
        archive.comment = b"x" * 65_535
        archive.writestr("a.csv", b"1")
    assert contents(data.getvalue()) == [("a.csv", b"1")]


def test_500_entries_are_taken_and_no_more() -> None:
    assert len(contents(zipped({f"{n}.csv": b"" for n in range(500)}))) == 500
    assert refusal(zipped({f"{n}.csv": b"" for n in range(501)})) == archives.TOO_MANY
    assert refusal(zipped({f"{n}.txt": b"" for n in range(501)})) == archives.TOO_MANY


def test_a_long_directory_is_not_read() -> None:
    data = io.BytesIO(zipped({f"{n}.csv": b"" for n in range(30_000)}))
    tracemalloc.start()
    try:
        with pytest.raises(NotThisFormat, match="too many entries"):
            next(entries(data, ".csv"))
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


def test_10_000_entries_are_refused() -> None:
    assert refusal(zipped({f"{n}.csv": b"" for n in range(10_000)})) == archives.TOO_MANY


def test_a_number_of_entries_that_is_too_small_hides_none() -> None:
    data = zipped({f"{n}.csv": b"" for n in range(501)})
    end = data.rindex(b"PK\x05\x06")
    assert refusal(data[: end + 8] + struct.pack("<HH", 1, 1) + data[end + 12 :]) == (
        archives.TOO_MANY
    )


def test_a_bomb_is_refused_after_little_of_it() -> None:
    data = zipped({"a.csv": bytes(40 * MIB)})
    assert len(data) < 50_000
    read = 0
    with pytest.raises(NotThisFormat, match="compressed too much"):  # noqa: PT012
        for _, file in entries(io.BytesIO(data), ".csv"):
            while piece := file.read(100_000):
                read += len(piece)
    assert read <= archives.FREE_CONTENT + archives.LARGEST_RATIO * len(data)


def test_a_small_file_may_be_dense() -> None:
    assert contents(zipped({"a.csv": bytes(MIB)})) == [("a.csv", bytes(MIB))]


def test_the_content_of_all_entries_is_bounded() -> None:
    parts = {f"{n}.csv": bytes(16 * MIB) for n in range(5)}
    files = entries(io.BytesIO(zipped(parts, zipfile.ZIP_STORED)), ".csv")
    for _ in range(4):
        assert len(next(files)[1].read()) == 16 * MIB
    _, fifth = next(files)
    with pytest.raises(NotThisFormat, match="too large"):
        fifth.read()


def test_what_is_not_read_costs_nothing() -> None:
    data = zipped({"a.csv": bytes(40 * MIB), "b.csv": b"1"})
    assert [name for name, _ in entries(io.BytesIO(data), ".csv")] == ["a.csv", "b.csv"]


@pytest.mark.parametrize("size", [0, 1, 2**31, 2**32 - 2])
def test_a_wrong_size_is_not_believed(size: int) -> None:
    text = b"".join(b"%d\n" % n for n in range(10_000))
    data = patched(zipped({"a.csv": text}), 24, struct.pack("<I", size))
    if size < len(text):
        assert refusal(data) == archives.DAMAGED
    else:
        assert contents(data) == [("a.csv", text)]


@pytest.mark.parametrize("size", [0, 1, 2**31, 2**32 - 2])
def test_a_wrong_compressed_size_is_not_believed(size: int) -> None:
    text = b"".join(b"%d\n" % n for n in range(10_000))
    data = patched(zipped({"a.csv": text}), 20, struct.pack("<I", size))
    try:
        assert contents(data) == [("a.csv", text)]
    except NotThisFormat as error:
        assert str(error) == archives.DAMAGED  # noqa: PT017


def test_an_entry_that_begins_outside_of_the_file_is_refused() -> None:
    data = zipped({"a.csv": b"1"})
    for offset in (5, 1000, 2**31, 2**32 - 2):
        assert refusal(patched(data, 42, struct.pack("<I", offset))) == archives.DAMAGED


def test_a_checksum_that_does_not_fit_is_refused() -> None:
    data = zipped({"a.csv": b"one,two"})
    wrong = struct.pack("<I", zlib.crc32(b"other"))
    assert refusal(patched(data, 16, wrong)) == archives.DAMAGED


def test_encrypted_entries_are_refused() -> None:
    data = zipped({"a.csv": b"1"})
    assert refusal(patched(data, 8, b"\x01\x00")) == archives.LOCKED
    assert refusal(patched(data, 8, b"\x41\x00")) == archives.LOCKED


@pytest.mark.parametrize("method", [1, 9, 12, 14, 93, 99, 65_535])
def test_uncommon_compression_is_refused(method: int) -> None:
    data = patched(zipped({"a.csv": b"1"}), 10, struct.pack("<H", method))
    assert refusal(data) == archives.METHOD


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_needs_much_memory_is_refused(method: int) -> None:
    assert refusal(zipped({"a.csv": b"1"}, method)) == archives.METHOD


def test_a_name_that_comes_twice_is_refused() -> None:
    data = zipped({"a.csv": b"1", "b.csv": b"2"}).replace(b"b.csv", b"a.csv")
    assert refusal(data) == archives.TWICE


def test_a_name_in_broken_utf_8_is_refused() -> None:
    data = zipped({"\u20ac.csv": b"1"}).replace("\u20ac".encode(), b"\xed\xa0\x80")
    assert refusal(data) == archives.DAMAGED


def test_a_name_ends_at_a_nul() -> None:
    data = zipped({"a.txt#.csv": b"1"}).replace(b"a.txt#", b"a.txt\0")
    assert contents(data) == []


def test_a_truncated_zip_is_refused() -> None:
    data = zipped({"a.csv": b"one,two\n" * 100, "b.csv": b"three"})
    for length in range(len(data)):
        assert refusal(data[:length]) == archives.DAMAGED


@pytest.mark.parametrize("data", [b"", b"TYPE,CONTENT\n", bytes(1000), b"PK\x05\x06" * 20])
def test_what_is_no_zip_is_refused(data: bytes) -> None:
    assert refusal(data) == archives.DAMAGED


SAMPLE: Final = zipped({"a.csv": b"one,two\n" * 50, "x/b.csv": b"three"})


@given(st.data())
def test_mutated_zips_raise_nothing_else(data: st.DataObject) -> None:
    content = SAMPLE
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        piece = data.draw(st.binary(max_size=8))
        content = content[:start] + piece + content[start + data.draw(st.integers(0, 8)) :]
    try:
        for name, text in contents(content):
            assert "/" not in name
            assert len(text) <= archives.LARGEST_CONTENT
    except NotThisFormat:
        pass
