"""What the clients were told is done, compared with what the database holds."""

from collections import Counter
from typing import NamedTuple
from uuid import uuid4

from tests.databases import opened


class Verdict(NamedTuple):
    """Rows that were acknowledged, those of them that are not there, and those there twice."""

    acknowledged: int
    lost: int
    doubled: int


class Ledger:
    """Each write has a title of its own, by which its rows are found again."""

    def __init__(self) -> None:
        self.run = uuid4().hex
        self.written = 0
        self.acknowledged: dict[str, str] = {}

    def title(self) -> str:
        """The title of the next write."""
        self.written += 1
        return f"{self.run} {self.written}"

    def acknowledge(self, title: str, task_id: str) -> None:
        """Note that the write was answered with this task."""
        self.acknowledged[title] = task_id

    def compare(self, database_url: str) -> Verdict:
        """Look into the database, past the service."""
        with opened(database_url) as cursor:
            cursor.execute(
                "select title, id::text from tasks where title like %s", (f"{self.run}%",)
            )
            rows = cursor.fetchall()
        counts = Counter(title for title, _ in rows)
        lost = set(self.acknowledged.items()) - set(rows)
        doubled = [title for title, count in counts.items() if count > 1]
        return Verdict(len(self.acknowledged), len(lost), len(doubled))
