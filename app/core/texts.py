"""Trimming, visible characters and Unicode normalisation of texts.

Code points are listed explicitly: they must not change with the Unicode version of Python, nor
depend on what a client's regular expressions regard as a space.
"""

import re
from typing import Final
from unicodedata import combining, normalize


def _ranges(texts: str) -> tuple[tuple[int, int], ...]:
    """Read ranges of code points, as in `0009-000D 0085`."""
    ends = (text.split("-") for text in texts.split())
    return tuple((int(found[0], 16), int(found[-1], 16)) for found in ends)


WHITE_SPACE: Final = _ranges(
    "0009-000D 001C-0020 0085 00A0 1680 2000-200A 2028-2029 202F 205F 3000"
)
"""Ranges of code points that are trimmed from both ends of a line.

Unicode's White_Space, and the information separators U+001C to U+001F, as in every release so far.
"""

INVISIBLE: Final = _ranges(
    "0000-0020 007F-00A0 00AD 034F 061C 115F-1160 1680 17B4-17B5 180B-180F 2000-200F 2028-202F "
    "205F-206F 2800 3000 3164 D800-DFFF FE00-FE0F FEFF FFA0 FFF0-FFFC 13430-1343F 1BCA0-1BCA3 "
    "1D159 1D173-1D17A E0001 E0020-E007F"
)
"""Ranges of code points that show nothing by themselves.

Controls, formats, separators, surrogates, Unicode's Default_Ignorable, and three empty signs: the
Braille pattern, the note head and the object replacement. Variation selectors and unassigned code
points beyond U+FFFF count as visible, because a pattern has to list each of them (see `visible`).
"""

LONGEST_RUN: Final = 30
"""Consecutive combining marks; no language needs more (UAX #15, "Stream-Safe Text Format")."""

LONG_RUN: Final = re.compile(rb"[^\0]{%d,}" % (LONGEST_RUN + 1))

DECOMPOSED: Final = {mark: normalize("NFD", mark) for mark in "\u0f73\u0f75\u0f81"}
"""Code points that are not combining marks but decompose into combining marks only."""


def visible() -> str:
    """Return a regular expression that matches one visible code point.

    It means the same in ECMAScript, RE2, Rust, Go, Java and Python. They share no escape for code
    points from U+0100 on, so these are literal, and ranges end with visible ones. Engines on UTF-16
    code units (.NET, ECMAScript without the flag `u`) cannot read a range between code points
    beyond U+FFFF, so invisible ones are listed one by one there.
    """
    short = [(first, last) for first, last in INVISIBLE if last <= 0xFFFF]
    starts = [last + 1 for _, last in short]
    ends = [*(first - 1 for first, _ in short[1:]), starts[-1]]
    seen = "".join(f"{chr(a)}-{chr(b)}" for a, b in zip(starts, ends, strict=True))
    unseen = "".join(chr(c) for a, b in INVISIBLE if b > 0xFFFF for c in range(a, b + 1))
    return f"(?:[{seen}]|[^\\x00-\ud7ff\ue000-{chr(starts[-1])}{unseen}])"


def trimmed_pattern() -> str:
    """Return a PostgreSQL regular expression that matches texts that are trimmed and not empty."""
    ranges = (f"\\u{a:04x}" + f"-\\u{b:04x}" * (a < b) for a, b in WHITE_SPACE)
    other = f"[^{''.join(ranges)}]"
    return f"^({other}.*)?{other}$"


SEEN: Final = re.compile(visible())
TRIMMED: Final = "".join(chr(c) for first, last in WHITE_SPACE for c in range(first, last + 1))


def is_visible(text: str) -> bool:
    """Whether the text has a visible character."""
    return SEEN.search(text) is not None


def trimmed(text: str) -> str:
    """Return the text without white space at its ends."""
    return text.strip(TRIMMED)


def composed(text: str) -> str:
    """Return the text in NFC (UAX #15), the form that is stored and compared.

    Long runs of combining marks are sorted here first, because Python sorts them in quadratic time.
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
    """Return the text in NFKC, which passwords are hashed in: NIST SP 800-63B, section 5.1.1.2."""
    return normalize("NFKC", text)
