"""The client's connection, where gunicorn provides its socket."""

import select
import socket
import ssl

from app.web.request import Request


def is_closed(incoming: Request) -> bool:
    """Whether the client has closed its side of the connection.

    False where that cannot be known: under other servers, and where gunicorn terminates TLS.
    """
    client = incoming.environ.get("gunicorn.socket")
    if not isinstance(client, socket.socket) or isinstance(client, ssl.SSLSocket):
        return False
    poller = select.poll()
    poller.register(client, select.POLLIN)
    try:
        return bool(poller.poll(0)) and not client.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
