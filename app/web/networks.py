"""The network that a request comes from, which is what limits by address count."""

import re
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from app.web.request import Request

NO_ADDRESS: Final = "unknown"
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


@lru_cache(maxsize=1024)
def _network(node: str) -> str:
    bare = node.strip(' \t"')
    if not bare:
        return ""  # a Unix socket has no address
    bracketed = BRACKETED.fullmatch(bare)
    host = (bracketed[1] if bracketed else bare).partition("%")[0]
    for candidate in (host, host.rpartition(":")[0]):  # as it is, or without a port
        with suppress(ValueError):
            return _subscriber(ip_address(candidate))
    return NO_ADDRESS


def _subscriber(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or address.packed[:8].hex(":", 2))
