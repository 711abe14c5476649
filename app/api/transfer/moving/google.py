"""Tasks of Google, as Takeout exports them: `Tasks.json`."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Any, Final

from app.api.transfer.moving.found import Found, FoundTask, Loss, Options, limited
from app.api.transfer.moving.items import MORE_LOSSES, Item, Sources, Unreadable, kept, shown
from app.api.transfer.moving.json_file import load
from app.api.transfer.moving.moments import day, in_utc, local_time
from app.api.transfer.moving.refused import NotThisFormat

LISTS: Final = "tasks#taskLists"
LIST: Final = ("tasks#taskList", "tasks#tasks")
TASK: Final = "tasks#task"

KNOWN: Final = {
    *("kind", "id", "etag", "selfLink", "webViewLink", "title", "notes", "status", "due"),
    *("completed", "created", "updated", "deleted", "hidden", "parent", "position", "links"),
    *("assignmentInfo", "task_type"),
}
"""Members of tasks that are read, or say nothing that a user would miss."""

MOST_UNKNOWN: Final = 20
"""Names of other members that are told apart."""

LONGEST_POSITION: Final = 100
"""Characters of the text that sorts a task among its siblings; they have twenty."""


def read(file: IO[bytes], options: Options) -> Iterator[Found]:
    """Yield the tasks of all lists. Their lines are their numbers in the file.

    Members that are not read, such as those of newer files, are reported.

    Raises NotThisFormat if the file is of something else.
    """
    yield from limited(_found(_lists(load(file)), options), options, MORE_LOSSES)


def _lists(root: Any) -> list[Any]:
    """The lists of a file, which may also be a single list."""
    if isinstance(root, list) and root and all(_kind(each) in LIST for each in root):
        return root
    if _kind(root) in LIST:
        return [root]
    items = _members(root) if isinstance(root, dict) else None
    if items is None and _kind(root) == LISTS:
        return []
    if not isinstance(items, list):
        raise NotThisFormat("The file is not a Tasks.json of Google Takeout.")
    return [root] if any(_kind(each) == TASK for each in items) else items


def _members(part: dict[str, Any]) -> Any:
    """What a part of the file consists of."""
    return part["items"] if part.get("items") is not None else part.get("tasks")


def _kind(value: Any) -> Any:
    return value.get("kind") if isinstance(value, dict) else None


class Others:
    """What tasks have beside what is read, each name of it reported once."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.lines: dict[str, int] = {}

    def add(self, item: Item) -> None:
        """Count the members of a task that are unknown and not empty."""
        for member, value in item.members.items():
            if member in KNOWN or value is None or value is False or value in ("", [], {}):
                continue
            name = kept(member)
            if name not in self.counts and len(self.counts) >= MOST_UNKNOWN:
                name = "others"
            self.counts[name] += 1
            self.lines.setdefault(name, item.line)

    def losses(self) -> Iterator[Loss]:
        """Yield how many tasks have each."""
        for name, count in self.counts.items():
            detail = f"Tasks of this service have nothing of that name; it was left out: {count}."
            yield Loss(self.lines[name], name, detail)


def _found(lists: list[Any], options: Options) -> Iterator[Found]:
    sources, others, line = Sources(), Others(), 1
    for each in lists:
        if not isinstance(each, dict):
            yield Loss(line, "items", f"{shown(each)} is not a list of tasks.")
            line += 1
            continue
        tasks = Item({**each, "items": _members(each)}, line)
        category = tasks.text("title") or (options.name if len(lists) == 1 else None)
        values = tasks.array("items")
        yield from tasks.losses
        yield from _of_list(values, line, category, sources, others)
        line += len(values)
    yield from others.losses()


def _of_list(
    values: list[Any], first: int, category: str | None, sources: Sources, others: Others
) -> Iterator[Found]:
    """The tasks of a list, of which the deleted ones are counted."""
    deleted = []
    for line, value in enumerate(values, first):
        if not isinstance(value, dict):
            yield Loss(line, "items", f"{shown(value)} is not a task.")
        elif (value.get("kind") or TASK) != TASK:
            yield Loss(line, "kind", f"{shown(value['kind'])} is not a kind of task.")
        elif value.get("deleted") is True:
            deleted.append(line)
        else:
            item = Item(value, line)
            yield _task(item, category, sources)
            yield from item.losses
            others.add(item)
    if deleted:
        name = shown(category) if category else "this list"
        detail = f"Deleted tasks of {name} are left out: {len(deleted)}."
        yield Loss(deleted[0], "deleted", detail)


def _task(item: Item, category: str | None, sources: Sources) -> FoundTask:
    item.flag("deleted")
    title = item.title("title")
    otherwise = f"{category or ''}/{kept(item.members.get('created'))}/{title}"
    task = FoundTask(
        line=item.line,
        source=sources.identify(item, "id", otherwise),
        title=title,
        created_at=_instant(item, "created"),
        due_date=_day(item),
        parent=item.text("parent") or None,
        order=_position(item),
        category=category,
    )
    task.complete = _is_complete(item)
    if task.complete:
        task.completed_at = _instant(item, "completed")
    _origins(item)
    task.description = item.described(item.text("notes"))
    return task


def _day(item: Item) -> Any:
    """The day that the task is due on, whatever time is with it."""
    text = item.text("due")
    try:
        return day(text) if text else None
    except Unreadable as error:
        item.lose("due", str(error), f"Due: {kept(text)}")
        return None


def _instant(item: Item, name: str) -> datetime | None:
    text = item.text(name)
    try:
        return in_utc(local_time(text), UTC) if text else None
    except Unreadable as error:
        item.lose(name, str(error), f"{name.capitalize()}: {kept(text)}")
        return None


def _is_complete(item: Item) -> bool:
    """Whether the task is complete; one without a status is if it has been completed."""
    status = item.text("status")
    if status not in ("", "completed", "needsAction"):
        item.lose("status", f"{shown(status)} is not a status.", f"Status: {kept(status)}")
    return status == "completed" or (not status and bool(item.members.get("completed")))


def _position(item: Item) -> str | None:
    position = item.text("position")
    if len(position) <= LONGEST_POSITION:
        return position or None
    item.lose("position", f"{shown(position)} is too long.")
    return None


def _origins(item: Item) -> None:
    """Keep what the task links to, and report the document or room that it was assigned from."""
    for link in item.items("links"):
        item.kept.append(": ".join(filter(None, map(link.text, ("description", "link")))))
    if assigned := item.members.get("assignmentInfo"):
        address = assigned.get("linkToTask") if isinstance(assigned, dict) else None
        detail = "Who assigned the task, and where, is in the description alone."
        item.lose("assignmentInfo", detail, f"Assigned from: {kept(address or assigned)}")
