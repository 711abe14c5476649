"""Connecting to a webhook's host: resolved, checked, and connected to by the address checked.

A name is resolved for each call. If one of its addresses is not allowed, none is used, so that a
name which sometimes leads inside leads nowhere.
"""

import socket
import ssl
import time
from collections.abc import Callable
from threading import Thread
from typing import Any, Final

from app.core.public_addresses import is_among, is_public, parsed
from app.core.webhook_urls import WebhookUrl

MOST_ADDRESSES: Final = 3
"""Addresses of a host that are tried."""

Resolved = list[tuple[Any, ...]]


class Refused(Exception):
    """A call that did not come about; `reason` is a word for its user."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def addresses_of(url: WebhookUrl, networks: tuple[str, ...], seconds: float) -> Resolved:
    """Resolve the host within these seconds, and check all its addresses. Raises Refused."""
    found = _resolved(url.host, url.port, seconds)
    for *_, where in found:
        address = parsed(where[0])
        if is_among(address, networks):
            continue
        if not is_public(address):
            raise Refused("ForbiddenAddress")
        if url.scheme != "https":
            raise Refused("NotHttps")
    return found[:MOST_ADDRESSES]


def connect(
    addresses: Resolved, left: Callable[[], float], watch: Callable[[socket.socket], None]
) -> socket.socket:
    """Connect to the first address that answers, in the time that is left. Raises OSError.

    `watch` is given each connection before it is opened.
    """
    failure: OSError = TimeoutError()
    for family, kind, protocol, _, where in addresses:
        connection = socket.socket(family, kind, protocol)
        try:
            watch(connection)
            connection.settimeout(max(0.001, left()))
            connection.connect(where)
            return connection
        except OSError as error:
            connection.close()
            failure = error
    raise failure


def encrypted(
    connection: socket.socket,
    host: str,
    context: ssl.SSLContext,
    watch: Callable[[socket.socket], None],
) -> socket.socket:
    """Return the connection in TLS, with the certificate of this host. Raises OSError.

    `watch` is given what takes the connection's place, before anything is sent on it.
    """
    wrapped = context.wrap_socket(connection, server_hostname=host, do_handshake_on_connect=False)
    try:
        watch(wrapped)
        wrapped.do_handshake()
    except BaseException:
        wrapped.close()
        raise
    return wrapped


def _resolved(host: str, port: int, seconds: float) -> Resolved:
    """Ask the system's resolver, which has no limit of its own, in a thread that may outlast us."""
    found: Resolved = []

    def ask() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            return

    asking = Thread(target=ask, name="resolve", daemon=True)
    begun = time.monotonic()
    asking.start()
    asking.join(seconds)
    if not found:
        late = time.monotonic() - begun >= seconds
        raise Refused("Timeout" if late else "UnknownHost")
    return list(found)
