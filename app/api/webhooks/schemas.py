"""What a webhook looks like to clients, and what they may send."""

from typing import Annotated, Any, Final, Literal, get_args

from flask import current_app
from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from app.core.config import Settings
from app.core.webhook_urls import LONGEST, WebhookUrl
from app.web.fields.identifiers import Id
from app.web.fields.inputs import Body, Patch, examples
from app.web.fields.scalars import Int64
from app.web.fields.strings import KeptLine, Line, Longest
from app.web.fields.times import Timestamp

Kind = Literal["changes", "reminder"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

EXAMPLE: Final[dict[str, Any]] = {
    "id": "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e53",
    "user_id": "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e4f",
    "url": "https://hooks.example.com/tasks",
    "events": ["changes", "reminder"],
    "description": "Calendar bridge",
    "disabled_at": None,
    "last_attempt_at": None,
    "last_status": None,
    "last_error": None,
    "next_attempt_at": None,
    "version": 5,
    "created_at": "2026-11-21T09:30:00.123456Z",
    "updated_at": "2026-11-21T09:30:00.123456Z",
}

CHANGES_ALONE: Final[dict[str, Any]] = {
    **EXAMPLE,
    "events": ["changes"],
    "version": 9,
    "updated_at": "2026-11-22T17:05:00.654321Z",
}
"""The webhook of EXAMPLE after the change that WebhookPatch shows."""

SECRET: Final = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDH01afJ4rbY8="  # noqa: S105 an example

DESCRIPTIONS: Final = {
    "disabled_at": "Since when it is not called any more: ten attempts failed, or the answer was"
    " 410. `POST …/resume` has it called again.",
    "last_status": "The status of the last answer; null if there was none.",
    "last_error": "Why the last attempt failed; null if it succeeded.",
    "next_attempt_at": "When the attempt that failed is repeated.",
}


def _url(text: str) -> str:
    settings: Settings = current_app.config["SETTINGS"]
    try:
        url = WebhookUrl.parse(text)
        url.require_allowed(settings.webhook_allow_networks)
    except ValueError as error:
        raise PydanticCustomError("webhook_url", str(error)) from None
    return str(url)


def _each_once(events: list[Kind]) -> list[Kind]:
    if len(set(events)) < len(events):
        raise PydanticCustomError("events_repeated", "must name each event once")
    return [kind for kind in KINDS if kind in events]


Url = Annotated[
    str,
    AfterValidator(_url),
    Longest(LONGEST),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": "^[hH][tT][tT][pP]"}
    ),
]
WebhookEvent = TypeAliasType(
    "WebhookEvent",
    Annotated[
        Kind,
        Field(
            title="WebhookEvent",
            description="`changes`: something of the user's was written. `reminder`: a task"
            " reminds now.",
        ),
    ],
)
Events = Annotated[
    list[WebhookEvent],
    Field(min_length=1, max_length=len(KINDS), json_schema_extra={"uniqueItems": True}),
    AfterValidator(_each_once),
]


class Webhook(BaseModel):
    """A webhook as it is answered; its secret is not shown again."""

    model_config = examples(EXAMPLE)

    id: Id
    user_id: Id
    url: str
    events: Events
    description: Annotated[str, KeptLine(200)] | None
    disabled_at: Timestamp | None = Field(description=DESCRIPTIONS["disabled_at"])
    last_attempt_at: Timestamp | None
    last_status: int | None = Field(description=DESCRIPTIONS["last_status"])
    last_error: str | None = Field(description=DESCRIPTIONS["last_error"])
    next_attempt_at: Timestamp | None = Field(description=DESCRIPTIONS["next_attempt_at"])
    version: Int64 = Field(ge=1)
    created_at: Timestamp
    updated_at: Timestamp


FIELDS: Final = tuple(Webhook.model_fields)


class IssuedWebhook(Webhook):
    """A webhook with the secret that its messages are signed with."""

    model_config = examples({**EXAMPLE, "secret": SECRET})

    secret: str


class WebhookPage(BaseModel):
    """One page of the webhooks, oldest first; `next_cursor` is null on the last."""

    model_config = examples({"items": [EXAMPLE], "next_cursor": None})

    items: list[Webhook]
    next_cursor: str | None


class WebhookCreate(Body):
    """A new webhook."""

    model_config = examples(
        {
            "url": EXAMPLE["url"],
            "events": EXAMPLE["events"],
            "description": EXAMPLE["description"],
        }
    )

    url: Url
    events: Events
    description: Annotated[str, Line(200)] | None = None


class WebhookPatch(Patch, WebhookCreate):
    """A JSON merge patch (RFC 7396): what is absent stays, null clears."""

    model_config = examples({"events": ["changes"]})

    url: Url = ""
    events: Events = Field(default_factory=list)


def represent(row: Any) -> dict[str, Any]:
    """Return the webhook that clients see. The row's first columns are FIELDS."""
    return dict(zip(FIELDS, row, strict=False))
