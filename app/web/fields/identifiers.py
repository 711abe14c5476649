"""UUIDs and e-mail addresses."""

from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.web.fields.strings import Longest, Matching

UUID_LENGTH: Final = 36
UUID_PATTERN: Final = (
    "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
)

LONGEST_EMAIL: Final = 254
"""RFC 5321, section 4.5.3.1.3, less the two brackets of a path."""

LONGEST_LOCAL_PART: Final = 64
"""RFC 5321, section 4.5.3.1.1."""

EMAIL_PATTERN: Final = (
    r"^[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$"
)
"""What browser forms accept (WHATWG HTML, "Valid e-mail address"), without the misplaced dots
that mail servers refuse (RFC 5321, section 4.1.2)."""


def _mailbox(value: str) -> str:
    if len(value.partition("@")[0]) > LONGEST_LOCAL_PART:
        raise PydanticCustomError("email", "must be an e-mail address")
    return value


Id = Annotated[
    str,
    AfterValidator(str.lower),
    Matching(UUID_PATTERN, "uuid", "must be a UUID with hyphens", UUID_LENGTH),
    WithJsonSchema({"type": "string", "format": "uuid", "pattern": UUID_PATTERN}),
]
Email = Annotated[
    str,
    AfterValidator(_mailbox),
    Matching(EMAIL_PATTERN, "email", "must be an e-mail address", LONGEST_EMAIL),
    Longest(LONGEST_EMAIL),
    WithJsonSchema(
        {"type": "string", "format": "email", "pattern": EMAIL_PATTERN, "maxLength": LONGEST_EMAIL}
    ),
]
