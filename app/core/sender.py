"""Who mails are from: MAIL_FROM."""

import re
from typing import Final, NamedTuple, Self

ADDRESS: Final = re.compile(
    r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
)
"""What browser forms accept (WHATWG HTML, "Valid e-mail address"), without the misplaced dots
that mail servers refuse (RFC 5321, section 4.1.2)."""

LONGEST_ADDRESS: Final = 254
"""RFC 5321, section 4.5.3.1.3, less the two brackets of a path."""

LONGEST_NAME: Final = 100

NAMED: Final = re.compile(r"(?P<quote>\"?)(?P<name>[^\"<>]+)(?P=quote)\s*<(?P<address>[^<>]+)>")


class Sender(NamedTuple):
    """An address, and the name that is shown with it, which may be empty."""

    name: str
    address: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `address` or `name <address>`. Raises ValueError for anything else."""
        if len(text) > LONGEST_NAME + LONGEST_ADDRESS or not text.isprintable():
            raise ValueError(text)
        named = NAMED.fullmatch(text)
        name, address = (named["name"].strip(), named["address"]) if named else ("", text)
        if len(name) > LONGEST_NAME or not is_address(address):
            raise ValueError(text)
        return cls(name, address)

    @property
    def domain(self) -> str:
        """The part of the address after its @."""
        return self.address.rpartition("@")[2]


def is_address(text: str) -> bool:
    """Whether the text is one e-mail address, which fits into a header and a command of SMTP."""
    return len(text) <= LONGEST_ADDRESS and ADDRESS.fullmatch(text) is not None


def mail_from(text: str) -> str:
    """Return the text as it is, if it is one address. Raises ValueError."""
    Sender.parse(text)
    return text
