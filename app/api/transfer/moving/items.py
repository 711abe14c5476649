"""Objects of a JSON file: their members, what of them was lost, and what identifies them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from json import JSONEncoder
from typing import Any, Final

from app.api.transfer.moving.found import MOST_OF_READER, UNTITLED, Loss, storable
from app.core.texts import is_visible

MORE_LOSSES: Final = f"More than {MOST_OF_READER:,} losses; no more are listed."

LONGEST_SHOWN: Final = 100
"""Characters of a value in a sentence."""

LONGEST_KEPT: Final = 500
"""Characters of a value in a description."""

ENCODER: Final = JSONEncoder(ensure_ascii=False)


class Unreadable(ValueError):
    """A value that could not be read. Its text is one sentence for the user."""


@dataclass
class Item:
    """An object of the file, and what of it a task cannot hold."""

    members: Mapping[str, Any]
    line: int
    """The number of the task that it is or belongs to."""
    losses: list[Loss] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Lines for the description."""

    def lose(self, name: str, detail: str, kept: str = "") -> None:
        """Report a loss, with a line for the description if the user would miss it there."""
        self.losses.append(Loss(self.line, name, detail))
        if kept:
            self.kept.append(kept)

    def text(self, name: str) -> str:
        """Return a text; one without characters if there is none, or something else."""
        value = self.members.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.lose(name, f"{shown(value)} is not a text.", f"{name}: {kept(value)}")
            return ""
        return self.storable(name, value)

    def storable(self, name: str, text: str) -> str:
        """Return the text with what cannot be stored replaced."""
        stored = storable(text)
        if stored != text:
            self.lose(name, "Characters that cannot be stored were replaced.")
        return stored

    def title(self, name: str) -> str:
        """Return a text that is not blank."""
        title = self.text(name)
        if is_visible(title):
            return title
        self.lose(name, "The title is empty.")
        return UNTITLED

    def flag(self, name: str) -> bool:
        """Whether a member is true."""
        value = self.members.get(name)
        if value is not None and not isinstance(value, bool):
            self.lose(name, f"{shown(value)} is neither true nor false.")
        return value is True

    def array(self, name: str) -> list[Any]:
        """Return a list, which may be the `value` of an object."""
        value = self.members.get(name)
        if isinstance(value, dict) and "value" in value:
            value = value["value"]
        if not value or isinstance(value, list):
            return value or []
        self.lose(name, f"{shown(value)} is not a list.", f"{name}: {kept(value)}")
        return []

    def items(self, name: str) -> Iterator["Item"]:
        """Yield the objects of a list, which report what they lose here."""
        for value in self.array(name):
            if isinstance(value, dict):
                yield Item(value, self.line, self.losses, self.kept)
            else:
                self.lose(name, f"{shown(value)} is not an object.", f"{name}: {kept(value)}")

    def described(self, text: str) -> str:
        """Return a description with the kept lines behind it."""
        return "\n".join(filter(None, (text, *self.kept)))


class Sources:
    """What identifies the tasks of a file, each unique."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.repeats: Counter[str] = Counter()

    def identify(self, item: Item, name: str, otherwise: str) -> str:
        """Return the item's identifier; `otherwise` if it has none."""
        source = item.text(name)
        if source in self.taken:
            item.lose(name, f"{shown(source)} identifies an item before this one too.")
        return self.unique(source or otherwise)

    def unique(self, source: str) -> str:
        """Return the source, with a number behind it if it was taken before."""
        unique = source
        while unique in self.taken:
            self.repeats[source] += 1
            unique = f"{source}#{self.repeats[source] + 1}"
        self.taken.add(unique)
        return unique


def shown(value: object) -> str:
    """Return a value as a short quotation within a sentence."""
    return f"'{_short(value, LONGEST_SHOWN)}'"


def kept(value: object) -> str:
    """Return a value as one line of a description."""
    return _short(value, LONGEST_KEPT)


def _short(value: object, most: int) -> str:
    """The text or JSON of a value on one line, of at most so many characters and an ellipsis."""
    chunks = [value] if isinstance(value, str) else islice(ENCODER.iterencode(value), most + 1)
    text = "".join(chunk[: most + 1] for chunk in chunks)
    line = " ".join(storable(text[:most]).split())
    return f"{line}…" if len(text) > most else line
