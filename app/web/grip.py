"""GRIP: which requests come through Pushpin, and how a response has it hold the client.

Source: Pushpin, "GRIP" (https://pushpin.org/docs/protocols/grip/).
"""

from typing import Final

import jwt
from flask import Flask, current_app

from app.core.config import Settings
from app.core.grip_url import Grip
from app.web.request import Request

EXTENSION: Final = "grip"
ALGORITHM: Final = "HS256"
LEEWAY_SECONDS: Final = 30
KEEP_ALIVE_SECONDS: Final = 20

LEAST_SECONDS: Final = 5
"""Pushpin holds a response for no less."""

LONGEST_SIGNATURE: Final = 1024
"""Characters; one of Pushpin has some 110."""

KEEP_ALIVE: Final = rf": keep-alive\n\n; format=cstring; timeout={KEEP_ALIVE_SECONDS}"

Headers = dict[str, str]


def can_hold(incoming: Request) -> bool:
    """Whether Pushpin asks, and can hold the client: a GET with a signature of Pushpin that counts.

    All others get no Grip headers, whatever Grip headers they have themselves.
    """
    grip: Grip | None = current_app.extensions[EXTENSION]
    signature: str = incoming.environ.get("HTTP_GRIP_SIG", "")
    if grip is None or not 0 < len(signature) <= LONGEST_SIGNATURE or incoming.method != "GET":
        return False
    try:
        jwt.decode(
            signature,
            grip.key,
            algorithms=[ALGORITHM],
            issuer=grip.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss"]},
        )
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        return False
    return True


def held_response(user_id: str, seconds: int) -> Headers:
    """Hold the client until the user has news, when the request is sent again.

    After so many seconds the client gets the response as it is.
    """
    return {"Grip-Hold": "response", "Grip-Channel": user_id, "Grip-Timeout": str(seconds)}


def held_stream(user_id: str, target: str, seconds: int) -> Headers:
    """Go on with a stream by a request for the target: on news, or after so many seconds."""
    return {
        "Grip-Hold": "stream",
        "Grip-Channel": user_id,
        "Grip-Keep-Alive": KEEP_ALIVE,
        "Grip-Link": f"<{target}>; rel=next; timeout={seconds}",
    }


def next_page(target: str) -> Headers:
    """Go on with a stream by a request for the target, at once."""
    return {"Grip-Link": f"<{target}>; rel=next"}


def init_app(app: Flask, settings: Settings) -> None:
    """Set up the verification of signatures, if there is a Pushpin."""
    app.extensions[EXTENSION] = Grip.parse(settings.grip_url) if settings.grip_url else None
