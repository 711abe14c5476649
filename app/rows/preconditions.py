"""What a client requires of a resource before it is written."""

from typing import NamedTuple


class Preconditions(NamedTuple):
    """What a client asks of a resource before it is written (RFC 9110, section 13.1).

    `versions` are those that If-Match admits, None for any; `other_than` are those that
    If-None-Match excludes. The fields are what `statements.is_expected` is bound to.
    """

    versions: list[int] | None = None
    must_exist: bool = False
    must_be_new: bool = False
    other_than: list[int] | None = None

    def admit(self, version: int) -> bool:
        """Whether a resource that stands at this version may be written."""
        expected = self.versions is None or version in self.versions
        return expected and version not in (self.other_than or ())
