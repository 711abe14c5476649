"""Where Pushpin is told of news, and the key it signs requests with: GRIP_URL."""

from typing import Final, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

from app.core.setting_fields import secret

PORT: Final = 5561
"""Where Pushpin takes what is published, unless its configuration names another port."""

ISSUER: Final = "pushpin"

ENCODED: Final = "base64:"
"""How Pushpin marks a key in Base64, which is not taken: both sides have to have the same text."""


class Grip(NamedTuple):
    """Pushpin's control port, and how its signatures are verified."""

    host: str
    port: int
    key: str
    issuer: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `http://host:port/?key=…&iss=…`. Raises ValueError for anything else."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.path not in {"", "/"}:
            raise ValueError("address")
        if parts.fragment or "@" in parts.netloc or parts.port == 0:
            raise ValueError("address")
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
        values = dict(pairs)
        if len(values) < len(pairs) or not {"key"} <= values.keys() <= {"key", "iss"}:
            raise ValueError("parameters")
        key, issuer = secret(values["key"]), values.get("iss", ISSUER)
        if key.startswith(ENCODED) or not issuer:
            raise ValueError("parameters")
        return cls(parts.hostname, parts.port or PORT, key, issuer)

    def __repr__(self) -> str:
        return f"Grip({self.host}:{self.port})"


def grip_url(text: str) -> str:
    """Return the URL as it is, if it is one. Raises ValueError."""
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("characters")
    Grip.parse(text)
    return text
