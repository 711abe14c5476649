"""Detection of a file's encoding by its first bytes, to refuse what is clearly not UTF-8.

Source: The Unicode Standard, "Byte Order Mark (BOM) FAQ"; RFC 4627, section 3, on the NUL
bytes of JSON in UTF-16 and UTF-32; the magic numbers of compressed files.
"""

from typing import IO, Final

from app.core.problem_kinds import UNSUPPORTED_MEDIA_TYPE
from app.core.problems import Problem

UTF_8_MARK: Final = b"\xef\xbb\xbf"

MARKS: Final = {
    b"\xff\xfe\0\0": "UTF-32",  # before UTF-16, whose mark it begins with
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "ZIP",
    b"PK\x05\x06": "ZIP",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "XZ",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}
"""First bytes of a file, and the encoding or format that they show."""

LONGEST_MARK: Final = max(map(len, MARKS))


def begin(file: IO[bytes]) -> None:
    """Seek to the beginning of the text, after a byte order mark."""
    file.seek(0)
    if file.read(len(UTF_8_MARK)) != UTF_8_MARK:
        file.seek(0)


def require_utf_8(file: IO[bytes]) -> None:
    """Raise Problem 415 with the name of the encoding if the file is clearly in another one."""
    file.seek(0)
    head = file.read(LONGEST_MARK)
    file.seek(0)
    if encoding := other_encoding(head):
        detail = f"The body is {encoding}. Send JSON lines as text in UTF-8, not compressed."
        raise Problem(UNSUPPORTED_MEDIA_TYPE, detail)


def other_encoding(head: bytes) -> str | None:
    """Return the encoding of a file that begins like this, or None for UTF-8."""
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    nulls = head[:4].count(0)
    if not nulls:
        return None
    return "UTF-32" if nulls == 3 else "UTF-16" if nulls == 2 else "binary"
