"""Validate Host headers and compare them with TRUSTED_HOSTS; read the origins of CORS_ORIGINS."""

import re
from collections.abc import Collection
from ipaddress import IPv6Address
from typing import Final

LONGEST: Final = 261
"""Characters: a name of 255 (RFC 3986, section 3.2.2), a colon and the five digits of a port."""

HIGHEST_PORT: Final = 65535

HOST: Final = re.compile(
    r"((?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+|\[[^\[\]]+\])(?::0*([0-9]{0,5}))?"
)
"""A registered name, an IPv4 address or an address in brackets, and a port, which may be empty.

RFC 9110, section 7.2; RFC 3986, section 3.2.2. Commas are refused although the latter allows them:
servers join two Host headers with one, which is an error (RFC 9112, section 3.2).
"""

FUTURE_ADDRESS: Final = re.compile(r"[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+")

TRUSTED: Final = re.compile(r"\.?[A-Za-z0-9_~-][A-Za-z0-9._~-]*")
"""A name in TRUSTED_HOSTS; a leading dot also admits its subdomains."""

ORIGIN: Final = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[!$&'()+.0-9;=_a-z|~-]+)(?::0*([1-9][0-9]{0,4}))?/?"
)
"""Scheme, host and port of a page or app, in lower case (RFC 6454, section 6.2).

The host has the ASCII characters that browsers accept, without `*`, which would mean a wildcard.
"""

LONGEST_ORIGIN: Final = 300

DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
"""Ports that browsers leave out of origins."""


def host_of(header: str) -> str | None:
    """Return the host of a Host header without the port; None if the header is not valid.

    The result can be compared: it is in lower case, IPv6 addresses in their shortest form.
    """
    found = HOST.fullmatch(header) if len(header) <= LONGEST else None
    if found is None or int(found[2] or 0) > HIGHEST_PORT:
        return None
    name = found[1].lower()
    return _address(name[1:-1]) if name[0] == "[" else name


def trusted_host(text: str) -> str:
    """Return an entry of TRUSTED_HOSTS in the form that `is_trusted` compares. Raises ValueError.

    Brackets around an IPv6 address are optional; a port is not allowed.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if bare != text or ":" in text:
        return _ipv6(bare)
    if not TRUSTED.fullmatch(text):
        raise ValueError(text)
    return text.lower()


def is_trusted(host: str, trusted: Collection[str]) -> bool:
    """Whether the host is one of these, or a subdomain of an entry with a leading dot."""
    return any(
        host == name or (name.startswith(".") and (host == name[1:] or host.endswith(name)))
        for name in trusted
    )


def origin(text: str) -> str:
    """Return the origin as browsers send it: in lower case, without default port and slash.

    Raises ValueError for text that no browser sends, as one with a path or letters beyond ASCII.
    """
    found = ORIGIN.fullmatch(text.lower()) if len(text) <= LONGEST_ORIGIN else None
    if found is None or int(found[3] or 0) > HIGHEST_PORT:
        raise ValueError(text)
    scheme, host, port = found.groups()
    name = _ipv6(host[1:-1]) if host[0] == "[" else host
    return f"{scheme}://{name}" + (f":{port}" if port and port != DEFAULT_PORTS.get(scheme) else "")


def _address(text: str) -> str | None:
    """Return the address in brackets, in its shortest form; None if it is not valid."""
    if FUTURE_ADDRESS.fullmatch(text):
        return f"[{text}]"
    try:
        return _ipv6(text)
    except ValueError:
        return None


def _ipv6(text: str) -> str:
    """Return the address in brackets, in its shortest form.

    Raises ValueError, also for a zone, which only this machine knows (RFC 6874).
    """
    if "%" in text:
        raise ValueError(text)
    return f"[{IPv6Address(text).compressed}]"
