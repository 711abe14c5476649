"""Normalise origins to the form in which browsers and web views send them in `Origin`.

Source: RFC 6454, section 6.2; the URL Standard (WHATWG), "host parsing" and "default port".
"""

import ipaddress
import re
from typing import Final

import idna

LONGEST: Final = 300
"""Characters: a host name has at most 253."""
DEFAULT_PORTS: Final = {"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21"}

PARTS: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]\\]+)(?::(?P<port>[0-9]{1,5}))?(?P<slash>/?)"
)
HOST: Final = re.compile(r"[!$&'()+,.0-9;=_a-z|~-]+")
"""ASCII that browsers accept in hosts, without `*`, by which operators would mean a wildcard."""
NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
IPV4: Final = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(?:\.(?!$)|$)){4}")

OPAQUE: Final = ("about:", "blob:", "data:", "file:", "javascript:")
"""Schemes whose pages have no origin: browsers send `null` for them."""


class NotAnOrigin(ValueError):
    """No browser sends this; the message completes "expects …" and shows no value."""


def origin(text: str) -> str:
    """Return the origin as browsers send it: lower case, ASCII host, no default port, no slash.

    Raises NotAnOrigin for text that no browser could send.
    """
    if text.lower().startswith(OPAQUE):
        raise NotAnOrigin("no such scheme, as browsers send null for all of its pages")
    found = PARTS.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        raise NotAnOrigin(_reason(text[:LONGEST]))
    scheme, port = found["scheme"].lower(), (found["port"] or "").lstrip("0")
    if found["port"] is not None and not 0 < int(port or 0) < 65536:
        raise NotAnOrigin("ports from 1 to 65535")
    suffix = f":{port}" if port and port != DEFAULT_PORTS.get(scheme) else ""
    return f"{scheme}://{_host(found['host'])}{suffix}"


def origins(text: str) -> tuple[str, ...]:
    """Return the distinct origins of a comma-separated list. Raises NotAnOrigin."""
    words = [word.strip() for word in text.split(",")]
    return tuple(dict.fromkeys(origin(word) for word in words if word))


def _host(text: str) -> str:
    """Return the host as browsers write it. Raises NotAnOrigin."""
    if text.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(text[1:-1]).compressed}]"
        except ValueError:
            raise NotAnOrigin("an IPv6 address between brackets") from None
    if "*" in text:
        raise NotAnOrigin("each origin by its name, as there are no wildcards")
    host = text.lower()
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError:
            raise NotAnOrigin("host names that IDNA allows, best in their form with xn--") from None
    if NUMBER.fullmatch(host.rsplit(".", 1)[-1]) and not IPV4.fullmatch(host):
        raise NotAnOrigin("an IPv4 address of four numbers")
    if not HOST.fullmatch(host):
        raise NotAnOrigin(
            "host names that browsers know, usually letters, digits, dots and hyphens"
        )
    return host


def _reason(text: str) -> str:
    """Explain why the text is not an origin."""
    if text == "*":
        return "each origin by its name, as there are no wildcards"
    if text.lower() == "null":
        return "no null, which any page can send"
    if re.match(r"[A-Za-z0-9+.-]+://[^/?#]*[/?#]", text):
        return "scheme, host and port alone: remove the path or query"
    if "@" in text:
        return "scheme, host and port alone: remove user and password"
    return "comma-separated origins such as https://app.example.com"
