"""What identifies the to-dos of a file, and what the file says of its calendars as such."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Final

from app.api.transfer.moving.calendar.lines import CALENDAR, Block, Line, blocks
from app.api.transfer.moving.calendar.properties import Component, decoded, name_of, parsed
from app.api.transfer.moving.calendar.times import iana_name
from app.api.transfer.moving.calendar.zones import OwnZone, Unreadable, of_name
from app.api.transfer.moving.found import Loss

OUR_PRODUCT: Final = "-//Tasks API//EN"
MOST_SAID: Final = 20_000
"""Properties of calendars, and onsets of time zones, that are kept of a file."""

IDENTIFIERS: Final = {"UID", "RECURRENCE-ID"}


@dataclass
class Calendar:
    """A calendar's name, whether it is an export of this service, and its own time zones."""

    name: str = ""
    is_own: bool = False
    zones: dict[str, OwnZone] = field(default_factory=dict)


class Survey:
    """What the file says of its calendars; a to-do may come before what it needs of them."""

    def __init__(self, file: IO[bytes]) -> None:
        self.calendars: dict[int, Calendar] = {}
        self.losses: list[Loss] = []
        self.room = MOST_SAID
        for block in blocks(file, "VTIMEZONE"):
            if block.name == "VTIMEZONE" and not block.defect:
                self.define(block)
            elif block.name == CALENDAR and block.lines:
                self.describe(block.lines[0], block.calendar)

    def calendar(self, number: int) -> Calendar:
        """Return a calendar by its place in the file."""
        return self.calendars.get(number) or Calendar()

    def has_room(self, line: int, name: str, size: int = 1) -> bool:
        """Whether so much more can be kept; reported once."""
        if self.room > 0:
            self.room -= size
            return True
        if self.room == 0:
            self.room = -1
            detail = "The file has too many calendars and time zones; the last ones were not read."
            self.losses.append(Loss(line, name, detail))
        return False

    def describe(self, line: Line, number: int) -> None:
        """Take over a property of a calendar."""
        name = name_of(line)
        if name not in ("X-WR-CALNAME", "NAME", "PRODID") or not self.has_room(line.number, name):
            return
        text, defects = decoded(line)
        try:
            value = parsed(name, text, line.number).text.strip()
        except ValueError:
            value, defects = "", ["could not be read"]
        if name == "PRODID":
            self.known(number).is_own = value == OUR_PRODUCT
            return
        self.losses += [Loss(line.number, name, f"The value {defect}.") for defect in defects]
        if name == "X-WR-CALNAME" or not self.calendar(number).name:
            self.known(number).name = value

    def define(self, block: Block) -> None:
        """Keep a time zone that has no name by which it is known; else its use is reported."""
        try:
            zone_id = next((each.text.strip() for each in of_name(block, "TZID")), "")
            if not zone_id or iana_name(zone_id) or zone_id in self.calendar(block.calendar).zones:
                return
            zone = OwnZone(block)
        except (ValueError, Unreadable):
            return
        if self.has_room(block.line, block.name, len(zone.onsets) + len(zone.rules)):
            self.known(block.calendar).zones[zone_id] = zone

    def known(self, number: int) -> Calendar:
        """Return a calendar of which there is something to keep."""
        return self.calendars.setdefault(number, Calendar())


class Sources:
    """The sources of a file's to-dos: their UIDs, or else hashes of what they contain.

    Two hashes of eight bytes are kept of each, to find those that come again.
    """

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.nameless: Counter[int] = Counter()

    def source_of(self, todo: Component, alarms: list[Component]) -> str | None:
        """Return the source of a to-do; None if the same to-do came before, which is reported."""
        uid, recurrence = todo.take("UID"), todo.take("RECURRENCE-ID")
        digest = hash_of([todo, *alarms])
        if not uid:
            self.nameless[key(digest)] += 1
            number = self.nameless[key(digest)]
            return digest if number == 1 else f"{digest} {number}"
        source = uid.text.strip()
        if recurrence:
            source += f" {recurrence.text.strip()}"
        exact = f"{source} {digest}"
        if key(exact) in self.seen:
            todo.lose(uid, "The same to-do came before; it is taken over once.")
            return None
        is_first = key(source) not in self.seen
        self.seen |= {key(source), key(exact)}
        if not is_first:
            todo.lose(uid, "Another to-do has the same UID; both are taken over.")
        return source if is_first else exact


def hash_of(components: list[Component]) -> str:
    """Return a hash of the properties, whatever their order."""
    texts = [
        repr((each.name, sorted(each.parameters.items(), key=repr), each.raw))
        for component in components
        for found in component.properties.values()
        for each in found
        if each.name not in IDENTIFIERS
    ]
    text = "\n".join(sorted(texts)).encode()
    return hashlib.sha256(text).hexdigest()[:32]


def key(text: str) -> int:
    """Return eight bytes of a hash."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


class Others:
    """What a file has beside to-dos, each kind of it reported once."""

    MOST: Final = 20
    """Kinds that are named."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.lines: dict[str, int] = {}

    def add(self, block: Block) -> None:
        """Count a component, or a line outside of a calendar."""
        name = block.name
        if name not in self.counts and len(self.counts) >= self.MOST:
            name = "others"
        self.counts[name] += 1
        self.lines.setdefault(name, block.line)

    def losses(self) -> Iterator[Loss]:
        """Yield how many there are of each kind."""
        for name, count in self.counts.items():
            kind = "Components that are not to-dos" if name else "Lines outside of a component"
            yield Loss(self.lines[name], name, f"{kind}, which were not taken over: {count}")
