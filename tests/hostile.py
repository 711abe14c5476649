"""Texts that take patterns and parsers long to refuse, each of 200,000 characters."""

from typing import Final

LENGTH: Final = 200_000


def repeated(text: str, end: str = "") -> str:
    """The text as often as there is room, and an end."""
    return text * (LENGTH // len(text)) + end


TEXTS: Final = {
    "a word and NUL": repeated("a", "\0"),
    "spaces and NUL": repeated(" ", "\0"),
    "spaces": repeated(" "),
    "tabs and line feeds": repeated("\t\n"),
    "at signs": repeated("@"),
    "an address without an end": "a@" + repeated("a."),
    "dots": repeated("."),
    "words and dots": repeated("a.", "@"),
    "opening brackets": repeated("["),
    "combining marks": "e" + repeated("\u0301"),
    "commas": repeated(","),
    "entity tags": repeated('"",'),
    "digits": repeated("9"),
    "quotes": repeated('"'),
    "backslashes": repeated("\\"),
    "hyphens": repeated("-"),
    "colons": repeated(":"),
    "slashes": repeated("/"),
    "parameters of a media type": "a/b;" + repeated("a=b;"),
    "percent signs": repeated("%25"),
    "heads of tokens": repeated("eyJ-"),
}
