"""Tasks of Microsoft To Do, as Microsoft Graph writes them in JSON.

Microsoft To Do exports nothing itself: what users have are answers of Graph, and files that scripts
made of them.
"""

from collections.abc import Iterator
from typing import IO, Any, Final

from app.api.transfer.moving.found import Found, Loss, Options, limited
from app.api.transfer.moving.items import MORE_LOSSES, Item, Sources, shown
from app.api.transfer.moving.json_file import load
from app.api.transfer.moving.microsoft.task import tasks_of
from app.api.transfer.moving.refused import NotThisFormat

MORE: Final = "@odata.nextLink"
"""The address of the next page, in an answer that is not all there is."""


def read(file: IO[bytes], options: Options) -> Iterator[Found]:
    """Yield the tasks of all lists. Their lines are their numbers in the file.

    The file is `{"value": […]}`, `{"lists": […]}` or an array, of tasks or of lists with `tasks`;
    or `{"lists": […], "tasks": {…}}` with the tasks by the id of their list; or one list.

    Raises NotThisFormat if the file is of something else.
    """
    yield from limited(_found(load(file), options), options, MORE_LOSSES)


def _found(root: Any, options: Options) -> Iterator[Found]:
    walk = _Walk(options)
    elements = _elements(root)
    if isinstance(root, dict):
        yield from walk.rest(Item(root, walk.line), MORE)
    for element in elements:
        if _is_list(element):
            yield from walk.tasks_of_list(element)
        else:
            yield from walk.task(element, options.name)


def _elements(root: Any) -> list[Any]:
    """The tasks or lists of a file."""
    elements: Any = root
    if isinstance(root, dict):
        names = [name for name in ("lists", "value") if isinstance(root.get(name), list)]
        elements = root[names[0]] if names else [root] if _is_list(root) else None
        if isinstance(root.get("tasks"), dict) and names == ["lists"]:
            elements = _joined(elements, root["tasks"])
    if not isinstance(elements, list) or (elements and not any(map(_is_known, elements))):
        raise NotThisFormat("The file is not of tasks of Microsoft To Do.")
    return elements


def _joined(lists: list[Any], tasks: dict[str, Any]) -> list[Any]:
    """Lists with the tasks that the file has by ids of lists, and those of ids that no list has."""
    left = dict(tasks)
    known = [
        {**each, "tasks": left.pop(str(each.get("id")), None)}
        if isinstance(each, dict) and each.get("tasks") is None
        else each
        for each in lists
    ]
    return [*known, *({"tasks": others} for others in left.values())]


def _is_list(element: Any) -> bool:
    return isinstance(element, dict) and (
        "tasks" in element or ("displayName" in element and "title" not in element)
    )


def _is_known(element: Any) -> bool:
    """Whether an element is a list or a task, and of no file of Google."""
    if not isinstance(element, dict) or str(element.get("kind")).startswith("tasks#"):
        return False
    return _is_list(element) or "title" in element or "status" in element


class _Walk:
    """A way through the file, in its order."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.sources = Sources()
        self.line = 1
        """The number of the next task."""

    def tasks_of_list(self, members: dict[str, Any]) -> Iterator[Found]:
        """Yield the tasks of a list, under its name."""
        item = Item(members, self.line)
        category = item.text("displayName") or None
        values = item.array("tasks")
        if members.get("tasks") is None:
            item.lose("tasks", f"The tasks of the list {shown(category)} are not in the file.")
        yield from item.losses
        yield from self.rest(item, f"tasks{MORE}")
        for value in values:
            yield from self.task(value, category)

    def task(self, value: Any, category: str | None) -> Iterator[Found]:
        """Yield a task with its checklist, and what of it is lost."""
        if isinstance(value, dict):
            item = Item(value, self.line)
            yield from tasks_of(item, category, self.sources, self.options)
            yield from item.losses
            yield from self.rest(item, f"checklistItems{MORE}")
        else:
            yield Loss(self.line, "tasks", f"{shown(value)} is not a task.")
        self.line += 1

    def rest(self, item: Item, name: str) -> Iterator[Loss]:
        """Report that the file is only the first page of something."""
        if item.members.get(name):
            yield Loss(item.line, name, "There is more that is not in the file.")
