"""What was seen, for a person: a table in Markdown."""

from tests.faults.run import Result

HEADINGS = [
    "fault",
    "sent",
    "2xx",
    "503",
    "other",
    "cut",
    "slowest, s",
    "back after, s",
    "last failure after, s",
    "acknowledged",
    "lost",
    "doubled",
    "/health, s",
    "/health/db, s",
    "same workers",
    "promises",
]


def row(result: Result) -> list[str]:
    """One fault's line."""
    tally, verdict = result.tally, result.verdict
    back = "never" if result.back_after is None else f"{result.back_after:.2f}"
    figures = [tally.sent, tally.succeeded, tally.unavailable, result.others]
    return [
        result.fault.name,
        *map(str, figures),
        str(tally.cut if result.fault.cuts_clients else 0),
        f"{tally.slowest:.2f}",
        "-" if result.fault.ends_service else back,
        f"{result.calm_after:.2f}",
        *map(str, verdict),
        f"{result.health.slowest:.3f}",
        f"{result.database_health.slowest:.3f}",
        "yes" if result.same_workers else "no",
        f"{len(result.broken)} broken" if result.broken else "kept",
    ]


def table(results: list[Result]) -> str:
    """All of them, aligned."""
    rows = [HEADINGS, *map(row, results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(r, widths, strict=True)] for r in rows]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
