"""Properties of a component of iCalendar, and what of them is lost (RFC 5545, section 3.1)."""

import codecs
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from app.api.transfer.moving.calendar.lines import LONGEST_LINE, Block, Line
from app.api.transfer.moving.found import Loss

NAME: Final = re.compile(rb"([A-Za-z0-9_.-]{1,60})[ \t]*(?=[;:])")

QUOTED: Final = 60
"""Characters of a value that a loss quotes."""


class Property(NamedTuple):
    """A property with its parameters, and its value with and without escapes."""

    name: str
    parameters: Mapping[str, Any]
    raw: str
    text: str
    line: int

    def parameter(self, name: str) -> str:
        """Return a parameter, empty if there is none. An unquoted comma is part of it."""
        value = self.parameters.get(name, "")
        return (",".join(value) if isinstance(value, list) else str(value)).strip()

    def values(self) -> list[str]:
        """Return the values of a list, each without escapes."""
        from icalendar.parser import split_on_unescaped_comma

        return split_on_unescaped_comma(self.raw)


def name_of(line: Line) -> str:
    """Return the name of the property in upper case, empty if the line has none."""
    name = NAME.match(line.data)
    return name[1].decode().upper() if name else ""


def decoded(line: Line) -> tuple[str, list[str]]:
    """Return the line as text, and what is wrong with it."""
    decoder = codecs.getincrementaldecoder("utf-8")
    defects = [f"is longer than {LONGEST_LINE} bytes; the rest was cut off"] if line.is_cut else []
    try:
        text = decoder("strict").decode(line.data, final=not line.is_cut)
    except UnicodeDecodeError:
        text = decoder("replace").decode(line.data, final=not line.is_cut)
        defects.append("has bytes that are not UTF-8; they were replaced")
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
        defects.append("has characters U+0000; they were replaced")
    return text, defects


def parsed(name: str, text: str, line: int) -> Property:
    """Parse a line. Raises ValueError if it is no property."""
    # Imported on first use: the library takes about as long to load as the rest of the service.
    from icalendar.parser import Contentline, unescape_backslash

    line_of_content: Any = Contentline  # which has no types
    _, parameters, raw = line_of_content(text).raw_parts()
    return Property(name, parameters, raw, unescape_backslash(raw), line)


class Component:
    """The known properties of a component, what is lost of it, and what its task then describes."""

    def __init__(self, block: Block, known: Iterable[str]) -> None:
        self.line = block.line
        self.properties: dict[str, list[Property]] = {}
        self.losses: list[Loss] = []
        self.notes: list[str] = []
        for line in block.lines:
            name = name_of(line)
            if not name or name in known or "SNOOZE" in name:
                self.add(line, name)

    def add(self, line: Line, name: str) -> None:
        """Take a property with a value. What is none is a note: it may be a text's next line."""
        text, defects = decoded(line)
        self.losses += [Loss(line.number, name, f"The value {defect}.") for defect in defects]
        try:
            if not name:
                raise ValueError
            found = parsed(name, text, line.number)
        except ValueError:
            detail = f"The line is not a property: {quoted(text)}"
            self.losses.append(Loss(line.number, name, detail))
            self.notes.append(text)
            return
        if found.raw.strip():
            self.properties.setdefault(name, []).append(found)

    def all(self, name: str) -> list[Property]:
        """Return the properties of this name."""
        return self.properties.get(name, [])

    def take(self, name: str) -> Property | None:
        """Return the first property of this name; further ones are lost."""
        found = self.properties.pop(name, [])
        if not found:
            return None
        first, *others = found
        for other in others:
            if (other.raw, other.parameters) != (first.raw, first.parameters):
                self.lose(other, "There is more than one; the first was taken.", is_noted=True)
        self.properties[name] = [first]
        return first

    def lose(self, lost: Property, detail: str, *, is_noted: bool = False) -> None:
        """Report what could not be taken over; if a user would miss it, describe it as well."""
        self.losses.append(Loss(lost.line, lost.name, detail))
        if is_noted:
            zone = lost.parameter("TZID")
            self.notes.append(f"{lost.name}: {lost.text}" + (f" ({zone})" if zone else ""))


def quoted(text: str) -> str:
    """Return the beginning of a value, to be quoted."""
    return text if len(text) <= QUOTED else text[:QUOTED] + "…"
