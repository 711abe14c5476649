"""Find environment variables that look like a misspelt setting and would silently be ignored."""

from collections.abc import Collection, Iterable
from difflib import SequenceMatcher
from typing import Final

OTHERS: Final = frozenset({"DATABASE_URL_POOLED", "LOG_LEVELS", "SECRET_KEY"})
"""Settings of other programs whose names are almost the same as one of ours."""

PREFIXES: Final = ("FLASK_", "GUNICORN_", "OTEL_", "PG", "POSTGRES", "_")

SHORTEST: Final = 6
"""Characters: names shorter than this, such as PORT, resemble too many others."""

LONGEST: Final = 64
MOST: Final = 10_000
"""Names that are compared."""

LEAST_ALIKE: Final = 0.88
"""Lowest similarity that counts, from 0 to 1 for equal names (difflib)."""


def misspelt(names: Iterable[str], settings: Collection[str]) -> dict[str, str]:
    """Return the misspelt names and the setting that each most likely means."""
    found = {}
    for name in sorted(names)[:MOST]:
        if SHORTEST <= len(name) <= LONGEST and (meant := _meant(name, settings)):
            found[name] = meant
    return found


def warnings(names: Iterable[str], settings: Collection[str]) -> list[str]:
    """Return a line for each misspelt name; values are not shown."""
    return [
        f"{name} is not a setting and has no effect: is {meant} meant?"
        for name, meant in misspelt(names, settings).items()
    ]


def _meant(name: str, settings: Collection[str]) -> str | None:
    upper = name.upper().replace("-", "_")
    if upper in settings:
        return None if name == upper else upper
    if upper in OTHERS or upper.startswith(PREFIXES) or upper.rstrip("0123456789") in settings:
        return None
    alike = {each: _similarity(upper, each) for each in settings if len(each) >= SHORTEST}
    best = max(alike, key=alike.__getitem__)
    return best if alike[best] >= LEAST_ALIKE and not _extends(upper, best) else None


def _extends(name: str, setting: str) -> bool:
    """Whether the name is that of the setting with another word before or after it."""
    return name.startswith(f"{setting}_") or name.endswith(f"_{setting}")


def _similarity(name: str, setting: str) -> float:
    if sorted(name) == sorted(setting):  # transposed letters
        return 1.0
    matcher = SequenceMatcher(None, name, setting, autojunk=False)
    if matcher.real_quick_ratio() < LEAST_ALIKE or matcher.quick_ratio() < LEAST_ALIKE:
        return 0.0
    return matcher.ratio()
