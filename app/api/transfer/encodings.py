"""Which encoding or compression the first bytes of a file show.

Source: The Unicode Standard, "Byte Order Mark (BOM) FAQ"; RFC 4627, section 3, on the NUL
bytes of JSON in UTF-16 and UTF-32; the magic numbers of compressed files.
"""

import codecs
from typing import IO, Final

UTF_16: Final = "UTF-16"
MARKS: Final = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: UTF_16,
    codecs.BOM_UTF16_BE: UTF_16,
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "ZIP",
    b"PK\x05\x06": "ZIP",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "XZ",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}
"""First bytes of a file, and the encoding or format that they show."""

NUL_BYTES: Final = {0: None, 2: UTF_16, 3: "UTF-32"}
"""How many of the first four bytes are NUL in text of ASCII without a mark."""


def encoding_of(file: IO[bytes]) -> str | None:
    """Return what the file is if that is clearly not UTF-8; it is at its beginning then."""
    file.seek(0)
    head = file.read(max(map(len, MARKS)))
    file.seek(0)
    unmarked = NUL_BYTES.get(head[:4].count(0), "binary")
    return next((MARKS[mark] for mark in MARKS if head.startswith(mark)), unmarked)
