"""What an account looks like to clients, and what they may send."""

from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo
from pydantic_core import PydanticCustomError, PydanticKnownError

from app.auth.password_rules import weakness
from app.core.texts import compatible
from app.rows import quotas
from app.web.fields.identifiers import Email, Id
from app.web.fields.inputs import Body, Patch, examples
from app.web.fields.scalars import Int64
from app.web.fields.strings import KeptLine, Line, PlainText
from app.web.fields.times import Timestamp
from app.web.fields.zones import TimeZone

SHORTEST: Final = 8
"""Characters of a password, whatever they are: NIST SP 800-63B, section 5.1.1.2."""

LONGEST: Final = 200

EMAIL: Final = "alice@example.com"
PASSWORD: Final = "correct horse battery"  # noqa: S105 an example
NEW_PASSWORD: Final = "staple battery horse correct"  # noqa: S105 an example
GUESSABLE: Final = (
    "Neither one of the commonest passwords nor the e-mail address or the part before its `@`,"
    " whatever the letter case."
)
REFRESH_TOKEN: Final = "AZgdLH86fUCKPi9rnB0OT3mC1x9Rk0vUqf3sW2b7yTn4LhQpZc5dEaJ8mXoGiKuV"  # noqa: S105


def _fitting(password: str) -> str:
    """Return the password if its length is permitted, also in the form that is hashed."""
    lengths = (len(password), len(compatible(password)))
    if min(lengths) < SHORTEST:
        raise PydanticKnownError("string_too_short", {"min_length": SHORTEST})
    if max(lengths) > LONGEST:
        raise PydanticKnownError("string_too_long", {"max_length": LONGEST})
    return password


def _not_guessable(password: str, info: ValidationInfo) -> str:
    """Return the password if the account with the address before it in the body may have it."""
    if weak := weakness(password, info.data.get("email")):
        raise PydanticCustomError(weak.code, weak.detail)
    return password


Name = Annotated[str, Line(100)]
Password = Annotated[
    str,
    AfterValidator(_fitting),
    PlainText(LONGEST),
    Field(json_schema_extra={"format": "password", "minLength": SHORTEST}),
]


class Usage(BaseModel):
    """How much the user stores, and the most that it may be; a limit is null where there is none.

    These are upper bounds: what is purged, erased or forgotten is taken off them later. Rows are
    items of every type, also deleted ones until they are purged, and answers kept for an
    `Idempotency-Key`; each counts a thousand bytes and the length of its texts in UTF-8.
    """

    rows: Int64 = Field(ge=0)
    rows_limit: Int64 | None
    bytes: Int64 = Field(ge=0)
    bytes_limit: Int64 | None


EXAMPLE: Final[dict[str, Any]] = {
    "id": "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e4f",
    "email": EMAIL,
    "email_verified": True,
    "name": "Alice",
    "time_zone": "Europe/Oslo",
    "version": 2,
    "created_at": "2026-11-21T09:30:00.123456Z",
    "updated_at": "2026-11-21T09:45:00.654321Z",
    "usage": {
        "rows": 1204,
        "rows_limit": 250_000,
        "bytes": 1_310_720,
        "bytes_limit": 536_870_912,
    },
}
REGISTERED: Final = {
    **EXAMPLE,
    "email_verified": False,
    "time_zone": "UTC",
    "version": 0,
    "updated_at": EXAMPLE["created_at"],
    "usage": {**EXAMPLE["usage"], "rows": 0, "bytes": 0},
}
"""The account of EXAMPLE when it is new."""


class User(BaseModel):
    """An account as it is answered.

    `email` is null for another issuer's users, and so are the times before their first write.
    `email_verified` says whether a link in a mail to the address was followed. The
    version, and with it the ETag, says nothing of `usage`, which every write changes.
    """

    model_config = examples(EXAMPLE)

    id: Id
    email: Email | None
    email_verified: bool
    name: Annotated[str, KeptLine(100)] | None
    time_zone: TimeZone
    version: Int64 = Field(ge=0)
    created_at: Timestamp | None
    updated_at: Timestamp | None
    usage: Usage


FIELDS: Final = tuple(name for name in User.model_fields if name != "usage")


class Registration(Body):
    """A new account."""

    model_config = examples({"email": EMAIL, "password": PASSWORD, "name": "Alice"})

    absent: ClassVar = {"name": None}

    email: Email
    password: Annotated[Password, AfterValidator(_not_guessable), Field(description=GUESSABLE)]
    name: Name | None = None


class Credentials(Body):
    """What a user signs in with."""

    model_config = examples({"email": EMAIL, "password": PASSWORD})

    email: Email
    password: Annotated[str, PlainText(LONGEST)]


class RefreshRequest(Body):
    """A refresh token, to be exchanged or to be revoked."""

    model_config = examples({"refresh_token": REFRESH_TOKEN})

    refresh_token: Annotated[str, PlainText(200)]


class TokenPair(BaseModel):
    """An access token, its validity in seconds, and a refresh token (RFC 6749, section 5.1)."""

    model_config = examples(
        {
            "access_token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMTk4In0.c2lnbmF0dXJl",
            "token_type": "Bearer",
            "expires_in": 900,
            "refresh_token": REFRESH_TOKEN,
        }
    )

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str


class PasswordChange(Body):
    """A new password, and the present one."""

    model_config = examples({"current_password": PASSWORD, "new_password": NEW_PASSWORD})

    current_password: Annotated[str, PlainText(LONGEST)]
    new_password: Annotated[Password, Field(description=GUESSABLE)]


class Erasure(Body):
    """The present password; another issuer's users have none."""

    model_config = examples({"current_password": PASSWORD})

    current_password: Annotated[str, PlainText(LONGEST)] | None = None


class UserPatch(Patch):
    """A JSON merge patch (RFC 7396): what is absent stays, null clears."""

    model_config = examples({"name": "Alice", "time_zone": "Europe/Oslo"})

    name: Name | None = None
    time_zone: TimeZone = "UTC"


def represent(row: Any) -> dict[str, Any]:
    """Return the account that its user sees. The row's first columns are FIELDS."""
    account = dict(zip(FIELDS, row, strict=False))
    account["email_verified"] = bool(row.email_verified)  # null in answers kept by earlier releases
    account["usage"] = _usage(row.used_rows or 0, row.used_bytes or 0)
    return account


def unwritten(user_id: str) -> dict[str, Any]:
    """Return the account of an external user who never wrote and so has no row."""
    account: dict[str, Any] = dict.fromkeys(FIELDS)
    return account | {
        "id": user_id,
        "email_verified": False,
        "time_zone": "UTC",
        "version": 0,
        "usage": _usage(0, 0),
    }


def _usage(rows: int, size: int) -> dict[str, int | None]:
    return {
        "rows": rows,
        "rows_limit": quotas.limit("rows"),
        "bytes": size,
        "bytes_limit": quotas.limit("bytes"),
    }
