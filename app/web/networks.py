"""The network that a request comes from, which is what limits by address count."""

import re
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from app.web.request import Request

NO_ADDRESS: Final = "unknown"
BLANK: Final = ' \t"'
LONGEST_NODE: Final = 128
"""Characters; an IPv6 address with zone, port and quotation marks has half as many."""
BRACKETED: Final = re.compile(r"\[([^\[\]]*)\](?::[^:]*)?")


def caller_address(incoming: Request) -> str:
    """The network that the request comes from."""
    return network(incoming.remote_addr or "")


def network(node: str) -> str:
    """The client behind a node of X-Forwarded-For: an IPv4 address or the /64 of an IPv6 address.

    A single subscriber has a whole /64 (RFC 6177). Nodes may have a port, brackets, quotation marks
    or a zone (RFC 7239, section 6). All that are no addresses (`unknown`, `_hidden`, anything else)
    are one client: who can choose such a name would otherwise meet no limit.
    """
    return _network(node) if len(node) <= LONGEST_NODE else NO_ADDRESS


def shortened(node: str) -> str | None:
    """The network that is shown of an address: the /24 of IPv4, the /48 of IPv6; None without one.

    That shows roughly where a session is used; no more of an address is stored with it.
    """
    address = _address(node) if len(node) <= LONGEST_NODE else None
    if address is None:
        return None
    size = 24 if isinstance(address, IPv4Address) else 48
    return str(ip_network((address, size), strict=False))


@lru_cache(maxsize=1024)
def _network(node: str) -> str:
    if not node.strip(BLANK):
        return ""  # a Unix socket has no address
    address = _address(node)
    if address is None:
        return NO_ADDRESS
    if isinstance(address, IPv4Address):
        return str(address)
    return address.packed[:8].hex(":", 2)


def _address(node: str) -> IPv4Address | IPv6Address | None:
    """The address of a node, if it has one; of an IPv4 address in IPv6 the former."""
    bare = node.strip(BLANK)
    bracketed = BRACKETED.fullmatch(bare)
    host = (bracketed[1] if bracketed else bare).partition("%")[0]
    for candidate in (host, host.rpartition(":")[0]):  # as it is, or without a port
        with suppress(ValueError):
            address = ip_address(candidate)
            return getattr(address, "ipv4_mapped", None) or address
    return None
