"""The rows of a CSV of Todoist, one at a time and within bounds."""

import csv
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import TextIOWrapper
from typing import IO, Final, NamedTuple

from app.api.transfer.moving.found import UNSTORABLE, Loss
from app.api.transfer.moving.plain_text import MOST_LINES, require_utf_8
from app.api.transfer.moving.refused import NotThisFormat

COLUMNS: Final = {
    *("TYPE", "CONTENT", "DESCRIPTION", "PRIORITY", "INDENT", "AUTHOR", "RESPONSIBLE"),
    *("DATE", "DATE_LANG", "TIMEZONE", "DURATION", "DURATION_UNIT", "DEADLINE"),
}
"""The columns that are read. DATE_LANG is that of DEADLINE, too, which stays as it is."""

NEEDED: Final = {"TYPE", "CONTENT"}

LONGEST_ROW: Final = 1_000_000
"""Characters of a row: tasks of Todoist have some 20,000."""

NO_HEADER: Final = "This is no CSV of Todoist: its first row lacks the columns TYPE and CONTENT."
UNREADABLE: Final = "The row is too long or malformed, and was left out."
MARKED: Final = "A quotation mark in this row is not written as in a CSV: look at its texts."
TOO_MANY: Final = f"Lines after the first {MOST_LINES:,} were left out."
CUT: Final = "The file ends within this row, which may be incomplete."
REPLACED: Final = "Bytes or characters that are no text were replaced."
UNNAMED: Final = "The row has more cells than the file has columns; these were left out."


class NoHeader(NotThisFormat):
    """A file has no header of Todoist."""


class Row(NamedTuple):
    """A row that is not empty."""

    line: int
    cells: Mapping[str, str]
    """The text of each of COLUMNS; empty for those that the file lacks."""


def rows(file: IO[bytes]) -> Iterator[Row | Loss]:
    """Yield the rows after the header, and what of them cannot be read.

    Raises NotThisFormat.
    """
    require_utf_8(file)
    columns: dict[str, int] = {}
    width = 0
    for read in _records(file):
        if columns:
            yield from [read] if isinstance(read, Loss) else _row(*read, columns, width)
        elif isinstance(read, Loss):
            break
        else:
            names = [cell.strip().upper() for cell in read[1]]
            width = len(names)
            columns = {name: names.index(name) for name in names if name in COLUMNS}
            if not columns.keys() >= NEEDED:
                break
    else:
        if columns:
            return
    raise NoHeader(NO_HEADER)


def _row(
    line: int, cells: list[str], columns: Mapping[str, int], width: int
) -> Iterator[Row | Loss]:
    """Yield what of a row cannot be read, and the row."""
    if any(cells[width:]):
        yield Loss(line, "row", UNNAMED)
    texts = dict.fromkeys(COLUMNS, "")
    for name, place in columns.items():
        text = cells[place] if place < len(cells) else ""
        texts[name], count = UNSTORABLE.subn("\ufffd", text)
        if count:
            yield Loss(line, name, REPLACED)
    yield Row(line, texts)


def _records(file: IO[bytes]) -> Iterator[tuple[int, list[str]] | Loss]:
    """Yield the cells of each row that is not empty, with the number of its first line."""
    text = TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
    lines = _Lines(text)
    reader = csv.reader(lines)
    try:
        while (line := lines.begin()) <= MOST_LINES:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                lines.skip_row()
                yield Loss(line, "row", UNREADABLE)
                continue
            if lines.ended:  # only an open quotation mark makes the reader ask for more lines
                yield Loss(line, "row", CUT)
            elif lines.marks and _is_malformed(lines.row):
                yield Loss(line, "row", MARKED)
            if any(cell.strip() for cell in cells):
                yield line, cells
        if lines.take():
            yield Loss(line, "row", TOO_MANY)
    finally:
        with suppress(ValueError):  # if the file was closed meanwhile
            text.detach()  # which is not ours to close


def _is_malformed(row: list[str]) -> bool:
    """Whether the lines of a row have a quotation mark where a CSV cannot have one."""
    try:
        next(csv.reader(row, strict=True))
    except csv.Error:
        return True
    return False


class _Lines:
    """The lines of a text, as the reader asks for them."""

    def __init__(self, text: TextIOWrapper) -> None:
        self.text = text
        self.number = 0
        self.row: list[str] = []
        self.length = 0
        self.marks = 0
        """The quotation marks of the row so far: an odd number if a cell is open."""
        self.ended = False

    def begin(self) -> int:
        """Begin a row, and return the number of its first line."""
        self.row = []
        self.length = self.marks = 0
        return self.number + 1

    def skip_row(self) -> None:
        """Skip the rest of a row, to its last line."""
        while self.marks % 2 and self.number < MOST_LINES and self.take():
            pass

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        """Return the next line. Raises csv.Error if the row becomes too long."""
        line = self.take()
        if not line:
            self.ended = True
            raise StopIteration
        if self.length >= LONGEST_ROW:
            raise csv.Error("The row is too long.")
        self.row.append(line)
        return line

    def take(self) -> str:
        """Return the next line, or the first LONGEST_ROW characters of it; empty after the last."""
        line = piece = self.text.readline(LONGEST_ROW)
        self.number += bool(line)
        while piece:
            self.length += len(piece)
            self.marks += piece.count('"')
            is_whole = len(piece) < LONGEST_ROW or piece[-1] in "\r\n"
            piece = "" if is_whole else self.text.readline(LONGEST_ROW)
        return line
