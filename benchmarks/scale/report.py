"""What a run has found, for a person: tables in Markdown, and the plans."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.scale.data import EACH
from benchmarks.scale.due import TOLD, Due
from benchmarks.scale.measure import Key, Times
from benchmarks.scale.plans import Plan
from benchmarks.scale.requests import FIRST, REQUESTS

BENCHMARKS: Final = Path(__file__).parent.parent
BEGIN: Final = "<!-- written by make bench-scale -->\n"
END: Final = "<!-- until here -->\n"

Plans = Mapping[tuple[int, str, str], Plan]


def tables(times: Mapping[Key, Times], plans: Plans, sizes: Sequence[int]) -> str:
    """Both kinds of users, a table each."""
    titles = {"ordinary": f"A user with {EACH} tasks", "big": big_title(sizes)}
    return "\n".join(
        f"### {title}\n\n{table(times, plans, sizes, kind)}" for kind, title in titles.items()
    )


def due_table(found: Mapping[int, Due]) -> str:
    """A line for each size: what it takes to find the next reminders of all users."""
    lines = ["| rows | milliseconds | buffers |", "| ---: | ---: | ---: |"]
    lines += [
        f"| {size:,} | {each.milliseconds:.2f} | {each.buffers} |" for size, each in found.items()
    ]
    return (
        f"### The next {TOLD} reminders of all users, in the database\n\n" + "\n".join(lines) + "\n"
    )


def big_title(sizes: Sequence[int]) -> str:
    """What the big user has."""
    return "A user with 100,000 tasks" + (
        " (with 10,000 rows: 5,000)" if sizes[0] == 10_000 else ""
    )


def table(times: Mapping[Key, Times], plans: Plans, sizes: Sequence[int], kind: str) -> str:
    """A line for each request: the medians at each size, their ratio, and buffers touched."""
    names = [f"{size:,}" for size in sizes]
    head = [
        "request",
        *names,
        "last ÷ first",
        "÷ first page",
        *(f"buffers at {name}" for name in names),
    ]
    lines = [" | ".join(head), " | ".join(["---", *["---:"] * (len(head) - 1)])]
    for request in REQUESTS:
        found = [times[size, kind, request.title] for size in sizes]
        page = times[sizes[-1], kind, FIRST.title]
        cells = [
            request.title,
            *(f"{each.request:.2f} ({each.database:.2f})" for each in found),
            ratio(found[-1], found[0]),
            ratio(found[-1], page),
            *(f"{plans[size, kind, request.title].buffers:,}" for size in sizes),
        ]
        lines.append(" | ".join(cells))
    return "".join(f"| {line} |\n" for line in lines)


def ratio(one: Times, other: Times) -> str:
    """How many times as long the one took."""
    return f"{one.request / other.request:.2f} ({one.database / other.database:.2f})"


def write(report: str, plans: Plans, sizes: Sequence[int]) -> None:
    """Put the tables into the page, and the plans of each size into a file."""
    page = BENCHMARKS / "scale.md"
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{report}\n{END}{rest.partition(END)[2]}")
    directory = BENCHMARKS / "results" / "plans"
    directory.mkdir(parents=True, exist_ok=True)
    for size in sizes:
        chapters = [
            f"## {title}, of the {kind} user\n\n{plan.text}"
            for (of, kind, title), plan in plans.items()
            if of == size
        ]
        (directory / f"{size}.txt").write_text("\n".join(chapters))
