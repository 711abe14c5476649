"""Names in the environment that look like a misspelt setting, which would be ignored in silence."""

from collections.abc import Collection, Iterable
from difflib import SequenceMatcher
from typing import Final

OTHERS: Final = frozenset({"DATABASE_URL_POOLED", "LOG_LEVELS", "SECRET_KEY"})
"""Settings of other programs that are spelled almost like one of ours."""

PREFIXES: Final = ("FLASK_", "GUNICORN_", "OTEL_", "PG", "POSTGRES", "_")

SHORTEST: Final = 6
"""Letters of a setting: a shorter one, as PORT, is like too many others."""

LONGEST: Final = 64
MOST: Final = 10_000
"""Names that are looked at."""

LEAST_ALIKE: Final = 0.88
"""Of 1 for the same letters in the same order."""


def misspelt(names: Iterable[str], settings: Collection[str]) -> dict[str, str]:
    """The setting that each of these names is probably meant to be."""
    found = {}
    for name in sorted(names)[:MOST]:
        if SHORTEST <= len(name) <= LONGEST and (meant := _meant(name, settings)):
            found[name] = meant
    return found


def warnings(names: Iterable[str], settings: Collection[str]) -> list[str]:
    """A line for each of them; what the variables hold is not shown."""
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
    alike = {each: _likeness(upper, each) for each in settings if len(each) >= SHORTEST}
    best = max(alike, key=alike.__getitem__)
    return best if alike[best] >= LEAST_ALIKE and not _extends(upper, best) else None


def _extends(name: str, setting: str) -> bool:
    """Whether the name is the setting's with a word before or after it, on purpose."""
    return name.startswith(f"{setting}_") or name.endswith(f"_{setting}")


def _likeness(name: str, setting: str) -> float:
    if sorted(name) == sorted(setting):  # letters that changed places
        return 1.0
    matcher = SequenceMatcher(None, name, setting, autojunk=False)
    if matcher.real_quick_ratio() < LEAST_ALIKE or matcher.quick_ratio() < LEAST_ALIKE:
        return 0.0
    return matcher.ratio()
