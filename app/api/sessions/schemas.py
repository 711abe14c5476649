"""What a session looks like to clients."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from app.web.fields.identifiers import Id
from app.web.fields.inputs import examples
from app.web.fields.times import Timestamp

EXAMPLE: Final[dict[str, Any]] = {
    "id": "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e54",
    "created_at": "2026-11-21T09:30:00.123456Z",
    "last_used_at": "2026-11-22T17:05:00.654321Z",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0",
    "address": "203.0.113.0/24",
    "current": True,
}

LAST_USED: Final = "When its tokens were last refreshed."
USER_AGENT: Final = "The program that did so, as it calls itself."
ADDRESS: Final = "The network that it did so from: the /24 of IPv4, the /48 of IPv6."


class Session(BaseModel):
    """A sign-in that goes on."""

    model_config = examples(EXAMPLE)

    id: Id
    created_at: Timestamp
    last_used_at: Annotated[Timestamp, Field(description=LAST_USED)]
    user_agent: Annotated[str | None, Field(description=USER_AGENT)]
    address: Annotated[str | None, Field(description=ADDRESS)]
    current: Annotated[bool, Field(description="Whether the request comes from it.")]


class SessionList(BaseModel):
    """All sessions, the one that was used last first; at most a hundred."""

    model_config = examples({"items": [EXAMPLE]})

    items: list[Session]
