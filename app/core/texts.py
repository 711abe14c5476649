"""Forms of text: what is trimmed, what can be seen, and the normal forms that texts are kept in.

The code points are written out, so that they are the same in every release, whatever version of
Unicode its Python has, and in the contract, whatever a client's regular expressions call a space.
"""

import re
from typing import Final
from unicodedata import combining, normalize

WHITE_SPACE: Final = (
    (0x09, 0x0D),
    (0x1C, 0x20),
    (0x85, 0x85),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
)
"""What is taken off both ends of a line: Unicode's White_Space, and the separators of information
U+001C to U+001F, which every release has taken off. First and last code points.
"""

INVISIBLE: Final = (
    (0x0000, 0x0020),
    (0x007F, 0x00A0),
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x1680, 0x1680),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x2000, 0x200F),
    (0x2028, 0x202F),
    (0x205F, 0x206F),
    (0x2800, 0x2800),
    (0x3000, 0x3000),
    (0x3164, 0x3164),
    (0xD800, 0xDFFF),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFC),
    (0x13430, 0x1343F),
    (0x1BCA0, 0x1BCA3),
    (0x1D159, 0x1D159),
    (0x1D173, 0x1D17A),
    (0xE0001, 0xE0001),
    (0xE0020, 0xE007F),
)
"""What shows nothing by itself: controls, formats, separators, surrogates, what Unicode calls
Default_Ignorable, and three signs that are empty: Braille, a note's head, a replaced object.

Beyond U+FFFF a pattern has to name each code point (see `visible`). So the variation selectors and
what is unassigned there count as visible.
"""

LONGEST_RUN: Final = 30
"""Combining marks in a row that no language exceeds: UAX #15, "Stream-Safe Text Format"."""

LONG_RUN: Final = re.compile(rb"[^\0]{%d,}" % (LONGEST_RUN + 1))

DECOMPOSED: Final = {mark: normalize("NFD", mark) for mark in "\u0f73\u0f75\u0f81"}
"""The code points that are no combining marks and consist of such alone."""


def visible() -> str:
    """A part of a regular expression that matches a code point which shows something.

    It reads alike in ECMAScript, RE2, Rust, Go, Java and Python. They share no escape for a code
    point from U+0100 on, so these stand as they are, and ranges end with what can be seen. Engines
    that see UTF-16 code units, as .NET does and ECMAScript without the flag `u`, cannot read a
    range between two code points beyond U+FFFF; there, what shows nothing is named one by one.
    """
    short = [(first, last) for first, last in INVISIBLE if last <= 0xFFFF]
    starts = [last + 1 for _, last in short]
    ends = [*(first - 1 for first, _ in short[1:]), starts[-1]]
    seen = "".join(f"{chr(a)}-{chr(b)}" for a, b in zip(starts, ends, strict=True))
    unseen = "".join(chr(c) for a, b in INVISIBLE if b > 0xFFFF for c in range(a, b + 1))
    return f"(?:[{seen}]|[^\\x00-\ud7ff\ue000-{chr(starts[-1])}{unseen}])"


def trimmed_pattern() -> str:
    """A regular expression of PostgreSQL that texts match which are trimmed and not empty."""
    ranges = (f"\\u{a:04x}" + f"-\\u{b:04x}" * (a < b) for a, b in WHITE_SPACE)
    other = f"[^{''.join(ranges)}]"
    return f"^({other}.*)?{other}$"


SEEN: Final = re.compile(visible())
TRIMMED: Final = "".join(chr(c) for first, last in WHITE_SPACE for c in range(first, last + 1))


def is_visible(text: str) -> bool:
    """Whether there is something to see in the text."""
    return SEEN.search(text) is not None


def trimmed(text: str) -> str:
    """The text without white space at its ends."""
    return text.strip(TRIMMED)


def composed(text: str) -> str:
    """The text in NFC (UAX #15), in which texts are kept and compared.

    Python sorts a run of combining marks by insertion, in a time that grows with the square of its
    length; long runs are sorted here before it looks.
    """
    if text.isascii():
        return text
    for mark, marks in DECOMPOSED.items():
        text = text.replace(mark, marks)
    classes = bytes(map(combining, text))
    pieces, end = [], 0
    for run in LONG_RUN.finditer(classes):
        pieces += [text[end : run.start()], *sorted(text[run.start() : run.end()], key=combining)]
        end = run.end()
    return normalize("NFC", "".join(pieces) + text[end:])


def compatible(text: str) -> str:
    """The text in NFKC, in which passwords are hashed: NIST SP 800-63B, section 5.1.1.2."""
    return normalize("NFKC", text)
