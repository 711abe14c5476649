"""The connection of a request's client, where the server shows it; our own worker does."""

import time

from app.exchange import Request
from app.server.client import Client


def is_closed(incoming: Request) -> bool:
    """Whether the client has hung up; False where that cannot be known without waiting."""
    client = _client(incoming)
    return client is not None and client.is_closed()


def give_time(incoming: Request, seconds: float) -> None:
    """Wait for what the client sends next for so many seconds from now."""
    if client := _client(incoming):
        client.deadline = time.monotonic() + seconds


def _client(incoming: Request) -> Client | None:
    client = incoming.environ.get("gunicorn.socket")
    return client if isinstance(client, Client) else None
