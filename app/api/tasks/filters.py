"""Which tasks a listing shows, in which order and how many at a time."""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from app.api.tasks.schemas import Priority
from app.web.cursors import PageQuery
from app.web.fields.identifiers import UUID_LENGTH, UUID_PATTERN
from app.web.fields.scalars import Flag
from app.web.fields.strings import Line, Matching
from app.web.fields.times import DayOrInstant, Timestamp
from app.web.fields.zones import TimeZone

SortKey = Literal[
    "created_at",
    "-created_at",
    "updated_at",
    "-updated_at",
    "due",
    "-due",
    "priority",
    "-priority",
    "position",
    "-position",
    "title",
    "-title",
]
TaskOrder = TypeAliasType(
    "TaskOrder",
    Annotated[
        SortKey,
        Field(
            title="TaskOrder",
            description="What tasks are sorted by; with `-` from the greatest on.",
        ),
    ],
)

IdOrNone = Annotated[
    str,
    AfterValidator(str.lower),
    Matching(f"^none$|{UUID_PATTERN}", "uuid", "must be a UUID with hyphens, or none", UUID_LENGTH),
]


SORT: Final = """
The field to sort by, then the id; `-` sorts in descending order. With `due`, tasks without a due
date come last in both directions.
"""
DUE_BEFORE: Final = """
Only tasks that are due before this day or instant, for example `2027-03-02` or
`2027-03-02T12:00:00Z`. A day counts as the instant when it begins.
"""
DUE_AFTER: Final = """
Only tasks that are due after this day or instant, for example `2027-03-02` or
`2027-03-02T12:00:00Z`. A day counts as the instant when it begins.
"""
TIME_ZONE: Final = """
The IANA name of the time zone in which days begin, for `sort=due`, `due_before` and `due_after`.
Without it, the account's `time_zone` counts.
"""


LABEL_ID: Final = """
Only tasks that have this label; given several times, only tasks that have all of them. `none`: only
tasks without any label.
"""


def none_alone(values: list[str]) -> list[str]:
    """Accept `none` only by itself; labels sorted, each once."""
    if "none" in values and len(values) > 1:
        raise PydanticCustomError("none_alone", "none does not go with labels")
    return sorted(set(values))


LabelFilter = Annotated[
    list[IdOrNone],
    AfterValidator(none_alone),
    Field(
        max_length=10,
        json_schema_extra={"not": {"contains": {"const": "none"}, "minItems": 2}},
    ),
]


class TaskFilters(PageQuery):
    """Which tasks to list, in which order, and how many at a time."""

    repeatable: ClassVar = frozenset({"label_id"})

    sort: Annotated[TaskOrder, Field(description=SORT)] = "-created_at"
    complete: Annotated[
        Flag | None, Field(description="`true`: only complete tasks; `false`: only open ones.")
    ] = None
    priority: Annotated[Priority | None, Field(description="Only tasks with this priority.")] = None
    category_id: Annotated[
        IdOrNone | None,
        Field(description="Only tasks of this category; `none`: only tasks without a category."),
    ] = None
    parent_id: Annotated[
        IdOrNone | None,
        Field(description="Only subtasks of this task; `none`: only tasks without a parent."),
    ] = None
    label_id: Annotated[LabelFilter | None, Field(description=LABEL_ID)] = None
    due_before: Annotated[DayOrInstant | None, Field(description=DUE_BEFORE)] = None
    due_after: Annotated[DayOrInstant | None, Field(description=DUE_AFTER)] = None
    time_zone: Annotated[TimeZone | None, Field(description=TIME_ZONE)] = None
    updated_after: Annotated[
        Timestamp | None, Field(description="Only tasks that were changed after this instant.")
    ] = None
    q: Annotated[
        Annotated[str, Line(200)] | None,
        Field(
            description="Only tasks with this text in title or description; letter case is ignored."
        ),
    ] = None

    @property
    def by_due(self) -> bool:
        """Whether tasks are sorted by due time."""
        return self.sort.removeprefix("-") == "due"

    @property
    def descending(self) -> bool:
        """Whether the greatest comes first."""
        return self.sort.startswith("-")

    def criteria(self) -> dict[str, Any]:
        """Return what identifies the listing, for the signature of its cursors.

        It has to stay as in the previous release, whose cursors are still in use.
        """
        found = {name: value for name, value in self if name not in {"limit", "cursor"}}
        for name in ("time_zone", "label_id", "parent_id"):
            if found[name] is None:
                del found[name]
        return found | ({"sort": f"{self.sort}, each kind apart"} if self.by_due else {})
