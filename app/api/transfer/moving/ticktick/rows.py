"""The rows of a CSV file of TickTick, read one by one.

The file begins with a preamble of a few records, one of which has several lines, before the header.
Lines end in LF, CRLF or CR. Every cell that may contain a quote or a line end is quoted.
"""

import csv
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import TextIOWrapper
from itertools import islice
from typing import IO, Final

from app.api.transfer.moving.found import UNSTORABLE, Loss, storable
from app.api.transfer.moving.refused import NotThisFormat

COLUMNS: Final = (
    *("Folder Name", "List Name", "Title", "Kind", "Tags", "Content", "Is Check list"),
    *("Start Date", "Due Date", "Reminder", "Repeat", "Repeat From", "Priority", "Status"),
    *("Created Time", "Completed Time", "Order", "Timezone", "Is All Day", "Is Floating"),
    *("Column Name", "taskId", "parentId"),
)
FEWEST_COLUMNS: Final = 4
"""Of these names a header has at least so many, the title among them."""

LONGEST_PREAMBLE: Final = 20
"""Records before the header; TickTick writes three or four."""

MOST_ROWS: Final = 200_000
"""The ids of so many are held, to find those on several rows."""

LONGEST_RECORD: Final = 1024 * 1024
"""Characters; the csv module allows 131,072 for each cell."""

LONGEST_SKIPPED: Final = 4 * LONGEST_RECORD
"""After so many characters a quote is missing rather than a cell long, and reading ends."""

PIECE: Final = 64 * 1024
QUOTED: Final = 60
"""Characters of a value that a detail quotes."""

TRUE: Final = ("true", "yes", "y", "1")
FALSE: Final = ("false", "no", "n", "0", "")
COMPLETE: Final = ("1", "2")
ABANDONED: Final = "-1"


@dataclass
class Row:
    """A row by the names of its columns, and what of it could not be taken over so far."""

    line: int
    cells: dict[str, str]
    losses: list[Loss] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Lines for the description of the task."""

    def __getitem__(self, column: str) -> str:
        """The cell without white space at its ends; empty if the file has no such column."""
        return self.cells.get(column, "").strip()

    @property
    def task_id(self) -> str:
        """The id without white space, so that a space can part it from what is added to it."""
        return "".join(self["taskId"].split())

    @property
    def kind(self) -> str:
        """TEXT, CHECKLIST or NOTE; older files lack it."""
        return self["Kind"].upper()

    @property
    def is_complete(self) -> bool:
        """Whether it is a task that is completed, archived or abandoned."""
        return self["Status"] in (*COMPLETE, ABANDONED)

    def flag(self, column: str) -> bool:
        """Whether the cell says yes; reports it if it says neither yes nor no."""
        value = self[column].casefold()
        if value not in TRUE + FALSE:
            self.keep(column, f"It is neither true nor false: {quoted(self[column])}.")
        return value in TRUE

    def report(self, column: str, detail: str) -> None:
        """Report something that the user need not look up in the task."""
        self.losses.append(Loss(self.line, column, detail))

    def keep(self, column: str, detail: str, value: str | None = None) -> None:
        """Report something, and put the cell or this value into the description."""
        self.report(column, detail)
        self.note(column, self[column] if value is None else value)

    def note(self, column: str, value: str) -> None:
        """Put a line into the description."""
        self.notes.append(f"{column}: {value}")


def quoted(value: str) -> str:
    """The beginning of a value in quotes, on one line."""
    line = " ".join(value[: 2 * QUOTED].split())
    return f'"{line[:QUOTED]}…"' if len(line) > QUOTED else f'"{line}"'


def rows(file: IO[bytes]) -> Iterator[Row | Loss]:
    """Yield the rows of the file from its beginning, and a loss for each that cannot be read.

    Raises NotThisFormat if it has no header.
    """
    found = _records(file)
    places, width = _header(found)
    for number, (line, record) in enumerate(found):
        if number == MOST_ROWS:
            yield Loss(line, "", f"Rows after the first {MOST_ROWS:,} were left out.")
            return
        if isinstance(record, str):
            yield Loss(line, "", record)
        elif any(map(str.strip, record)):
            yield _row(line, record, places, width)


def _header(records: Iterator[tuple[int, list[str] | str]]) -> tuple[dict[str, int], int]:
    """Read up to the header; return where it has each of COLUMNS, and how many names it has."""
    known = {column.casefold(): column for column in COLUMNS}
    for _, record in islice(records, LONGEST_PREAMBLE + 1):
        cells = record if isinstance(record, list) else []
        places: dict[str, int] = {}
        for place, name in enumerate(cells):
            if column := known.get(name.strip().casefold()):
                places.setdefault(column, place)
        if "Title" in places and len(places) >= FEWEST_COLUMNS:
            return places, len(cells)
    raise NotThisFormat("The file is no backup of TickTick: it has no row with the column names.")


def _row(line: int, record: list[str], places: dict[str, int], width: int) -> Row:
    """The row of a record, whose last cells may be missing."""
    row = Row(line, {name: record[at] for name, at in places.items() if at < len(record)})
    for name, cell in row.cells.items():
        if UNSTORABLE.search(cell):
            row.cells[name] = storable(cell)
            row.report(name, "Characters that are no text were replaced by \ufffd.")
    if any(record[width:]):
        row.report("", "The row has more cells than the header; those were left out.")
    return row


def _records(file: IO[bytes]) -> Iterator[tuple[int, list[str] | str]]:
    """Yield each record with the number of its first line: its cells, or why it is unreadable.

    A record ends with the first line end that has an even number of quotes before it. So the next
    one is found after a record that is too long to be held, up to LONGEST_SKIPPED.
    """
    first, pieces, size, quotes = 1, [], 0, 0
    for line, piece in _pieces(file):
        first = first if size else line
        pieces += [piece] * (size <= LONGEST_RECORD)
        size += len(piece)
        quotes += piece.count('"')
        if quotes % 2 == 0 and piece.endswith(("\n", "\r")):
            yield first, _cells(pieces, size)
            pieces, size, quotes = [], 0, 0
        elif size > LONGEST_SKIPPED:
            yield first, "The file was read up to here: this row has no end."
            return
    if size:
        yield first, "The file ends within this row." if quotes % 2 else _cells(pieces, size)


def _cells(pieces: list[str], size: int) -> list[str] | str:
    """The cells of a record, or why it is unreadable."""
    if size > LONGEST_RECORD:
        return f"The row was left out: it has over {LONGEST_RECORD:,} characters."
    try:
        return next(csv.reader(["".join(pieces)], strict=True), [])
    except csv.Error:
        longest = csv.field_size_limit()
        return f"The row was left out: it is no CSV, or a cell has over {longest:,} characters."


def _pieces(file: IO[bytes]) -> Iterator[tuple[int, str]]:
    """Yield the text in lines, with their numbers, and long lines in pieces."""
    file.seek(0)
    text = TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
    try:
        line = 1
        for piece in iter(lambda: text.readline(PIECE), ""):
            yield line, piece.lstrip("\ufeff") if line == 1 else piece
            line += piece.endswith(("\n", "\r"))
    finally:
        with suppress(ValueError):  # the file was closed before the last row was read
            text.detach()  # or the file would be closed with it
