"""The URLs of webhooks: https, or http to networks that the operator admits; no tricks.

The host is a name, an IPv4 address in four decimal parts, or an IPv6 address. Other spellings of
addresses, which some resolvers read, are refused, and so are user and password, and fragments. What
a name resolves to is checked when the webhook is called (app/ops/hooks/connecting.py).
"""

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple, Self

import idna

from app.core.public_addresses import is_among, is_public, parsed

LONGEST: Final = 2000

URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[^\x00-\x20\x7f/?#@:\\\[\]%]+)"
    r"(?P<port>:[0-9]{1,5})?(?P<target>[/?][!-~]*)?",
    re.IGNORECASE,
)

NAME: Final = re.compile(r"([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_-]{1,63}\.?")
LONGEST_NAME: Final = 253

NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label that makes a host an address (WHATWG URL, "ends in a number checker")."""

PORTS: Final = {"https": 443, "http": 80}

LEAST_PORT: Final = 1024
"""Lower ports are those of other services, except the scheme's own."""

HIGHEST_PORT: Final = 65535


class WebhookUrl(NamedTuple):
    """A URL in parts; `host` is a name in ASCII or an address without brackets."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URL. Raises ValueError, whose text completes "the URL …"."""
        if len(text) > LONGEST:
            raise ValueError(f"must have at most {LONGEST} characters")
        found = URL.fullmatch(text)
        if found is None or "#" in text or "\\" in text:
            raise ValueError("must be https:// with a host, and no user, password or fragment")
        scheme = found["scheme"].lower()
        port = int((found["port"] or f":{PORTS[scheme]}")[1:])
        if port > HIGHEST_PORT or (port < LEAST_PORT and port != PORTS[scheme]):
            raise ValueError(f"must have port {PORTS[scheme]}, or one from {LEAST_PORT} on")
        target = found["target"] or "/"
        return cls(scheme, _host(found["host"]), port, target if target[0] == "/" else f"/{target}")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"

    def require_allowed(self, networks: tuple[str, ...]) -> None:
        """Raise ValueError if this can be no webhook's URL, whatever its name resolves to."""
        if self.scheme == "http" and not networks:
            raise ValueError("must be https")
        try:
            address = parsed(self.host)
        except ValueError:
            return
        among = is_among(address, networks)
        if not among and self.scheme == "http":
            raise ValueError("must be https")
        if not among and not is_public(address):
            raise ValueError("must not lead to a private or reserved address")


def _host(text: str) -> str:
    if len(text) > LONGEST_NAME + 1:
        raise ValueError("must have a host name of at most 253 characters")
    try:
        return IPv6Address(text[1:-1]).compressed if text[0] == "[" else _name(text.lower())
    except idna.IDNAError:
        raise ValueError("must have a valid host name") from None
    except ValueError:
        raise ValueError("must have a host that is a name or an address") from None


def _name(text: str) -> str:
    """Return a name in ASCII, or an IPv4 address. Raises ValueError, whose text is a library's."""
    name = text if text.isascii() else idna.encode(text, uts46=True).decode()
    if not NAME.fullmatch(name) or len(name.rstrip(".")) > LONGEST_NAME:
        raise ValueError(name)
    name = name.removesuffix(".")
    return str(IPv4Address(name)) if NUMBER.fullmatch(name.rpartition(".")[2]) else name
