"""What a run has found, for a person: tables in Markdown."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.load import OPERATIONS

NAMES: Final = {
    "get": "GET one",
    "list": "list of 50",
    "post": "POST",
    "patch": "PATCH",
    "mix": "mix",
}
BEGIN: Final = "<!-- written by make bench -->\n"
END: Final = "<!-- until here -->\n"
NONE: Final = "-"

Results = dict[str, Any]
Figure = Callable[[Any], float]


def application(sample: Any) -> float:
    """Processor time of the application for each request, in microseconds."""
    return float(sample["application_us"])


def rate(sample: Any) -> float:
    """Requests answered in a second."""
    return float(sample["load"]["requests"] / sample["load"]["seconds"])


def figures(results: Results, name: str, operation: str, figure: Figure) -> list[float]:
    """A figure in each round."""
    return [
        figure(sample)
        for sample in results["samples"]
        if (sample["contestant"], sample["operation"]) == (name, operation)
    ]


def usual(results: Results, name: str, operation: str, figure: Figure) -> float:
    """The median of a figure."""
    return median(figures(results, name, operation, figure))


def ratio(results: Results, name: str, other: str, operation: str) -> float | None:
    """The application's processor time in multiples of another's: the median of the rounds', as
    what disturbs one of two neighbours disturbs both.
    """
    if other not in results["titles"]:
        return None
    one, two = (figures(results, who, operation, application) for who in (name, other))
    return median(mine / theirs for mine, theirs in zip(one, two, strict=True))


def measured(results: Results) -> list[str]:
    """The kinds of request that were sent."""
    sent = {sample["operation"] for sample in results["samples"]}
    return [operation for operation in OPERATIONS if operation in sent]


def summary(results: Results) -> str:
    """One table: what each kind of request costs, in multiples of the floor."""
    operations = measured(results)
    rows = [["processor time of the application", *(NAMES[one] for one in operations)]]
    for name, title in results["titles"].items():
        cells = []
        for operation in operations:
            time = f"{usual(results, name, operation, application):,.0f} µs"
            times = ratio(results, name, "floor", operation)
            cells.append(time if times is None else f"{times:.2f} ({time})")
        rows.append([title, *cells])
    return aligned(rows)


def against_fastapi(results: Results) -> str:
    """The same figure in parts of the peer's that this service was first planned on."""
    if not {"service", "fastapi"} <= set(results["titles"]):
        return ""
    parts = [
        f"{NAMES[one]} {ratio(results, 'service', 'fastapi', one):.2f}" for one in measured(results)
    ]
    return f"\nOf FastAPI's processor time this service takes: {', '.join(parts)}.\n"


def details(results: Results, operation: str) -> str:
    """Everything about one kind of request."""
    headings = ["requests/s", "p50, ms", "p99, ms", "application, µs", "of the floor"]
    rows = [[NAMES[operation], *headings, "PostgreSQL, µs", "flights"]]
    for name, title in results["titles"].items():
        shown = [
            (rate, ",.0f"),
            (lambda sample: sample["load"]["p50_ms"], ".1f"),
            (lambda sample: sample["load"]["p99_ms"], ".1f"),
            (application, ",.0f"),
        ]
        times = ratio(results, name, "floor", operation)
        database = usual(results, name, operation, lambda sample: sample["database_us"])
        flights = results["flights"][name].get(operation)
        rows.append(
            [
                title,
                *(f"{usual(results, name, operation, one):{form}}" for one, form in shown),
                NONE if times is None else f"{times:.2f}",
                f"{database:,.0f}",
                NONE if flights is None else f"{flights:g}",
            ]
        )
    return aligned(rows)


def stays(results: Results) -> str:
    """What each takes without any request."""
    rows = [["", "memory of a worker, MB", "start to first answer, s"]]
    for name, title in results["titles"].items():
        own = [stay for stay in results["stays"] if stay["contestant"] == name]
        megabytes = median(stay["worker_megabytes"] for stay in own)
        seconds = median(stay["start_seconds"] for stay in own)
        rows.append([title, f"{megabytes:.0f}", f"{seconds:.2f}"])
    return aligned(rows)


def provenance(results: Results) -> str:
    """When and where, and how often."""
    machine, plan, versions = results["machine"], results["plan"], results["versions"]
    return (
        f"Measured on {results['measured'][:10]}: {machine['processor']}, {machine['cores']} cores,"
        f" {machine['memory_gb']} GB, {machine['kernel']}, Python {versions['python']}, PostgreSQL"
        f" {versions['postgresql']}; medians of {plan['rounds']} rounds, twice"
        f" {plan['seconds']} s each, {plan['connections']} connections.\n"
    )


def packages(results: Results) -> str:
    """Which versions took part."""
    ours, theirs = (
        ", ".join(f"{name} {number}" for name, number in results["versions"][whose].items())
        for whose in ("packages", "peers")
    )
    return f"Here: {ours}.\n" + (f"\nPeers: {theirs}.\n" if theirs else "")


def short(results: Results) -> str:
    """For the project's README."""
    return f"{provenance(results)}\n{summary(results)}{against_fastapi(results)}"


def full(results: Results) -> str:
    """For the benchmark's own."""
    tables = [details(results, operation) for operation in measured(results)]
    return "\n".join([short(results), *tables, stays(results), packages(results)])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table; the first row holds the headings, figures stand to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        [cell.rjust(width) if place else cell.ljust(width) for place, (cell, width) in pairs]
        for pairs in (enumerate(zip(row, widths, strict=True)) for row in rows)
    ]
    rules = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "".join(f"| {' | '.join(line)} |\n" for line in [lines[0], rules, *lines[1:]])


def fill(path: Path, text: str) -> None:
    """Put the text between the marks of a file. Raises ValueError where they are missing."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} lacks the lines {BEGIN.strip()} and {END.strip()}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")
