"""UUIDs and e-mail addresses."""

from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.core.sender import ADDRESS, LONGEST_ADDRESS
from app.web.fields.strings import Longest, Matching

UUID_LENGTH: Final = 36
UUID_PATTERN: Final = (
    "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
)

LONGEST_LOCAL_PART: Final = 64
"""RFC 5321, section 4.5.3.1.1."""

EMAIL_PATTERN: Final = f"^{ADDRESS.pattern}$"


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
    Matching(EMAIL_PATTERN, "email", "must be an e-mail address", LONGEST_ADDRESS),
    Longest(LONGEST_ADDRESS),
    WithJsonSchema(
        {
            "type": "string",
            "format": "email",
            "pattern": EMAIL_PATTERN,
            "maxLength": LONGEST_ADDRESS,
        }
    ),
]
