"""The order in which found tasks are written: parents first, siblings as in the other app."""

from array import array
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from app.api.tasks.subtrees import MOST_LEVELS
from app.api.transfer.moving.found import FoundTask, Loss, Losses

MOST_TASKS: Final = 100_000
"""Tasks of a file; their places are in memory while they are put in order."""

NOBODY: Final = -1

TWICE: Final = "The task comes again later in the file, and is taken from there."


class Place(NamedTuple):
    """Where a task comes: its number in the file, and its parent's, or NOBODY."""

    number: int
    parent: int


class Trees:
    """The places of the tasks of a file, which are added in the order of the file."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.sources: list[str] = []
        self.lines = array("L")
        self.parents: list[str | None] = []
        self.keys: list[tuple[int, float, str]] = []
        self.lists: dict[str | None, int] = {}

    def add(self, task: FoundTask) -> None:
        """Note a task."""
        number = len(self.lines)
        self.numbers[task.source] = number
        self.sources.append(task.source)
        self.lines.append(task.line)
        self.parents.append(task.parent)
        place = self.lists.setdefault(task.category, len(self.lists))
        self.keys.append((place, *_sorted_by(task.order)))

    def in_order(self, losses: Losses) -> Iterator[Place]:
        """Yield the place of each task, a parent before its children.

        What is deeper than a task may be goes up to the deepest level that there is, a circle is
        cut, and of two tasks with the same source the first is left out; all are added to the
        losses.
        """
        children: defaultdict[int, list[int]] = defaultdict(list)
        placed = bytearray(len(self.lines))
        for number, source in enumerate(self.sources):
            if self.numbers[source] == number:
                children[self._parent(number, losses)].append(number)
            else:
                placed[number] = 1
                losses.append(Loss(self.lines[number], "", TWICE))
        for siblings in children.values():
            siblings.sort(key=lambda number: (self.keys[number], number))
        yield from self._below(NOBODY, children, placed, losses)
        for number, done in enumerate(placed):
            if not done:  # in a circle, of which no member has been reached
                losses.append(Loss(self.lines[number], "parent", "The tasks are a circle."))
                children[NOBODY] = [number]
                yield from self._below(NOBODY, children, placed, losses)

    def _parent(self, number: int, losses: Losses) -> int:
        source = self.parents[number]
        if source is None:
            return NOBODY
        parent = self.numbers.get(source, NOBODY)
        if parent in {NOBODY, number}:
            losses.append(Loss(self.lines[number], "parent", "The parent is not in the file."))
            return NOBODY
        return parent

    def _below(
        self,
        root: int,
        children: dict[int, list[int]],
        placed: bytearray,
        losses: Losses,
    ) -> Iterator[Place]:
        """Yield what is below a task, depth first, without recursion."""
        waiting = [(each, NOBODY, 1) for each in reversed(children.get(root, []))]
        while waiting:
            number, parent, level = waiting.pop()
            if placed[number]:
                continue
            placed[number] = 1
            yield Place(number, parent)
            below = number
            if level == MOST_LEVELS and number in children:
                detail = f"Its subtasks are deeper than {MOST_LEVELS} levels, and come beside it."
                losses.append(Loss(self.lines[number], "parent", detail))
                below = parent
            deeper = level if level == MOST_LEVELS else level + 1
            waiting += [(each, below, deeper) for each in reversed(children.get(number, []))]


def _sorted_by(order: float | str | None) -> tuple[float, str]:
    if isinstance(order, str):
        return 0.0, order
    return (0.0 if order is None else float(order)), ""
