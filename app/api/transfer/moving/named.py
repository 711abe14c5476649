"""The names of a file's lists or tags, and the categories or labels here that they mean."""

from collections.abc import Iterator
from typing import Final

from app.api.transfer.formats import line
from app.api.transfer.moving import known
from app.api.transfer.moving.identity import id_of
from app.api.transfer.moving.refused import NotThisFormat

MOST_NAMES: Final = 10_000
"""Different names of categories, and of labels: they are in memory."""


class Named:
    """The names of one kind, which are added first, then looked up, then asked for."""

    def __init__(self, user_id: str, form: str, kind: str) -> None:
        self.user_id = user_id
        self.form = form
        self.kind = kind
        self.keys: dict[str, str] = {}
        """The form in which a name is compared, by the name."""
        self.ids: dict[str, str] = {}
        """By key."""
        self.new: dict[str, str] = {}
        """The names, as first written, of rows that are to be made if a task needs them."""
        self.needed: dict[str, str] = {}
        """The names of those that a task needs, by id."""

    def add(self, name: str) -> None:
        """Note a name. Raises NotThisFormat for too many."""
        self.keys.setdefault(name, "")
        if len(self.keys) > MOST_NAMES:
            kinds = {"category": "categories", "label": "labels"}[self.kind]
            raise NotThisFormat(f"The file has more than {MOST_NAMES:,} different {kinds}.")

    def look_up(self) -> None:
        """Find the rows that have these names, or had them. Raises Problem 503, psycopg2.Error."""
        for row in known.named(self.user_id, self.kind, self.keys):
            self.keys[row.name] = row.key
            if row.id:
                self.ids[row.key] = row.id
        first: dict[str, str] = {}
        for name, key in self.keys.items():
            first.setdefault(key, name)
        unknown = [key for key in first if key not in self.ids]
        own, again = ({key: self._id(key, way) for key in unknown} for way in ("", "\nagain"))
        had = known.had(self.user_id, self.kind, [*own.values(), *again.values()])
        for key in unknown:
            # One that was renamed here stays so, and one that was deleted is made under another id.
            row_id = again[key] if had.get(own[key]) is False else own[key]
            self.ids[key] = row_id
            if not had.get(row_id):
                self.new[key] = first[key]

    def need(self, name: str) -> str:
        """Return the id of the row for a name; if there is none yet, it is to be made."""
        key = self.keys[name]
        row_id = self.ids[key]
        if key in self.new:
            self.needed[row_id] = self.new[key]
        return row_id

    def lines(self) -> Iterator[bytes]:
        """Yield a line for each row that is to be made."""
        for row_id, name in self.needed.items():
            yield line(self.kind, {"id": row_id, "name": name})

    def _id(self, key: str, way: str) -> str:
        return id_of(self.form, self.kind, f"{key}{way}")
