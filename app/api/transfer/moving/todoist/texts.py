"""Titles with labels, and texts of several lines."""

import re
from typing import Final

LABEL: Final = re.compile(r'@[^\s@"()|&!,]+')
"""A label; Todoist's names cannot have the other characters."""

SPACE: Final = re.compile(r"(\s+)")


def labelled(text: str) -> tuple[str, list[str]]:
    """Return a title without its labels, and these, each once."""
    pieces = SPACE.split(text)
    labels: dict[str, None] = {}
    rest = []
    for space, word in zip(["", *pieces[1::2]], pieces[::2], strict=True):
        if LABEL.fullmatch(word):
            labels[word[1:]] = None
        else:
            rest += [space, word]
    return "".join(rest).strip(), [*labels]


def lines(text: str) -> str:
    """Return a text with plain line feeds, without space around it."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()
