"""Cutting a file of iCalendar into lines and components, each of bounded size (RFC 5545).

What is broken ends where the next component begins, so that the rest of the file can be read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Final, NamedTuple

LONGEST_LINE: Final = 512 * 1024
"""Bytes of an unfolded line; what is behind them is cut off."""

LARGEST: Final = 2 * 1024 * 1024
"""Bytes of a component."""

MOST_LINES: Final = 5000
"""Lines of a component."""

DEEPEST: Final = 20
"""Components in each other."""

CHUNK: Final = 64 * 1024
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
CALENDAR: Final = "VCALENDAR"

COMPONENTS: Final = {
    *("VTODO", "VEVENT", "VJOURNAL", "VFREEBUSY", "VTIMEZONE"),
    *("VAVAILABILITY", "VPOLL"),  # RFC 7953 and draft-york-vpoll
}
"""What is in a calendar and never in another component."""

BULKY: Final = re.compile(rb"(ATTACH|IMAGE|X-ALT-DESC)[;:]", re.IGNORECASE)
"""Properties of which nothing but the beginning is needed."""

BULKY_LENGTH: Final = 200
MARK: Final = re.compile(r"(BEGIN|END):([!-~]{1,40})")


class Line(NamedTuple):
    """An unfolded line, with the number of the first line of the file that it is from."""

    number: int
    data: bytes
    is_cut: bool = False


@dataclass
class Block:
    """A component, or a single property of a calendar, with the number of its calendar."""

    name: str
    line: int
    calendar: int
    lines: list[Line] = field(default_factory=list)
    parts: list["Block"] = field(default_factory=list)
    defect: str = ""
    """What is wrong with it, as the end of a sentence."""


def lines(file: IO[bytes]) -> Iterator[Line]:
    """Yield the lines of the whole file that are not empty, unfolded.

    Bytes are unfolded, as some programs fold within a character.
    """
    number, at, data, is_cut = 0, 0, bytearray(), False
    begins = True
    for piece, ends in pieces(file):
        text = piece.rstrip(b"\r\n") if ends else piece
        if begins:
            at += 1
            if text[:1] in (b" ", b"\t") and data:
                text = text[1:]
            elif text:
                if data:
                    yield Line(number, bytes(data), is_cut)
                number, data, is_cut = at, bytearray(), False
        begins = ends
        room = LONGEST_LINE - len(data)
        is_cut = is_cut or len(text) > room
        data += text[:room]
    if data:
        yield Line(number, bytes(data), is_cut)


def pieces(file: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each line of the file in one piece or more, and whether the line ends with it.

    Lines end in LF, CRLF, or CR if there is no LF at the beginning of the file.
    """
    file.seek(0)
    head = file.read(CHUNK)
    file.seek(len(BYTE_ORDER_MARK) if head.startswith(BYTE_ORDER_MARK) else 0)
    if b"\n" in head:
        for piece in iter(partial(file.readline, LONGEST_LINE), b""):
            yield piece, piece.endswith(b"\n")
        return
    rest = b""
    for chunk in iter(partial(file.read, CHUNK), b""):
        *whole, rest = (rest + chunk.replace(b"\n", b"\r")).split(b"\r")
        yield from ((piece, True) for piece in whole)
        if len(rest) > LONGEST_LINE:
            yield rest, False
            rest = b""
    yield rest, True


def blocks(file: IO[bytes], wanted: str) -> Iterator[Block]:
    """Yield the components of each calendar, and its own properties one by one.

    Only the wanted ones have lines. What is outside of a calendar is a block without a name.
    """
    cutter = Cutter(wanted)
    for line in lines(file):
        yield from cutter.feed(line)
    yield from cutter.end()


class Cutter:
    """The components that the last line is in."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        self.opened: list[Block] = []
        self.calendar = -1
        self.is_in_calendar = False
        self.last = 0
        self.bytes = self.count = 0

    def feed(self, line: Line) -> Iterator[Block]:
        """Take the next line; yield what it ends."""
        self.last = line.number
        is_mark = line.data[:4].upper() in (b"BEGI", b"END:")
        mark = is_mark and MARK.fullmatch(line.data[:100].decode("latin-1").strip().upper())
        if mark and mark[1] == "BEGIN":
            yield from self.begin(line, mark[2])
        elif mark:
            yield from self.finish(line, mark[2])
        elif self.opened:
            self.add(line)
        else:
            name = CALENDAR if self.is_in_calendar else ""
            yield Block(name, line.number, self.calendar, [line])

    def begin(self, line: Line, name: str) -> Iterator[Block]:
        """Open a component; what a component cannot be in was never closed."""
        if name in COMPONENTS or name == CALENDAR:
            yield from self.broken("has no end")
        if name == CALENDAR:
            self.calendar += 1
            self.is_in_calendar = True
        elif not self.is_in_calendar:
            yield Block("", line.number, self.calendar, [line])
        elif len(self.opened) >= DEEPEST:
            self.opened[0].defect = "has too many components in each other"
        else:
            block = Block(name, line.number, self.calendar)
            if not self.opened:
                self.bytes = self.count = 0
            elif self.has_room_for(0):
                self.opened[-1].parts.append(block)
            self.opened.append(block)

    def finish(self, line: Line, name: str) -> Iterator[Block]:
        """Close a component."""
        if name == CALENDAR:
            yield from self.broken("has no end")
            self.is_in_calendar = False
            return
        names = [block.name for block in self.opened]
        if name not in names:
            if self.opened:
                self.opened[0].defect = self.opened[0].defect or f"has END:{name} without a BEGIN"
            else:
                yield Block("", line.number, self.calendar, [line])
            return
        place = len(names) - 1 - names[::-1].index(name)
        if place < len(names) - 1:
            defect = f"has BEGIN:{names[place + 1]} without an END"
            self.opened[0].defect = self.opened[0].defect or defect
        closed = self.opened[place]
        del self.opened[place:]
        if not self.opened:
            yield closed

    def add(self, line: Line) -> None:
        """Take a property of the innermost component."""
        if BULKY.match(line.data):
            line = Line(line.number, line.data[:BULKY_LENGTH])
        if self.has_room_for(len(line.data)):
            self.opened[-1].lines.append(line)

    def has_room_for(self, size: int) -> bool:
        """Whether the outermost component is a wanted one, and not too large with one line more."""
        if self.opened[0].name != self.wanted:
            return False
        self.bytes += size
        self.count += 1
        if self.bytes <= LARGEST and self.count <= MOST_LINES:
            return True
        self.opened[0].defect = "is too large"
        return False

    def broken(self, defect: str) -> Iterator[Block]:
        """Yield the component that is open, if any."""
        if self.opened:
            self.opened[0].defect = self.opened[0].defect or defect
            yield self.opened[0]
            self.opened.clear()

    def end(self) -> Iterator[Block]:
        """Yield what the end of the file leaves open."""
        yield from self.broken("ends with the file, before its own end")
        if self.is_in_calendar:
            yield Block(CALENDAR, self.last, self.calendar, defect="has no end")
