"""Which addresses webhooks may be sent to: public ones, and those of WEBHOOK_ALLOW_NETWORKS.

What is refused are the special-purpose addresses of IANA's registries (RFC 6890), whether they are
forwarded or not, and multicast. The ranges are listed here, so that they do not change with Python.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

SPECIAL: Final = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",  # shared by providers, and a cloud's metadata
            "127.0.0.0/8",
            "168.63.129.16/32",  # a cloud's metadata
            "169.254.0.0/16",  # link-local, and the metadata of most clouds
            "172.16.0.0/12",
            "192.0.0.0/24",  # also a cloud's metadata
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
"""Everything of IPv4 that is not public."""

GLOBAL: Final = ip_network("2000::/3")
"""All of IPv6 that is public. What maps or embeds IPv4 elsewhere is not in it."""

SPECIAL_GLOBAL: Final = tuple(
    map(ip_network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"))
)
"""What is not public of that: protocols, examples, and addresses that embed IPv4."""


def network(text: str) -> str:
    """Return a network of WEBHOOK_ALLOW_NETWORKS in its shortest form. Raises ValueError."""
    return str(ip_network(text))


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in each for each in SPECIAL)
    return address in GLOBAL and not any(address in each for each in SPECIAL_GLOBAL)


def is_among(address: IPv4Address | IPv6Address, networks: Iterable[str]) -> bool:
    """Whether an address is in one of these networks."""
    return any(address in ip_network(each) for each in networks)


def parsed(text: str) -> IPv4Address | IPv6Address:
    """Return the address that getaddrinfo wrote so, without its zone. Raises ValueError."""
    return ip_address(text.partition("%")[0])
