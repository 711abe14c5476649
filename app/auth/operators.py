"""Recognise requests of the operator: with METRICS_TOKEN, or from this host."""

import hmac
from ipaddress import ip_address
from typing import Final

from flask import current_app

from app.core.config import Settings
from app.web.request import Request

FORWARDED: Final = (
    "HTTP_FORWARDED",
    "HTTP_VIA",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REAL_IP",
)
"""Headers that proxies add: a request from this host that has one may be anyone's."""


def is_operator(incoming: Request) -> bool:
    """Whether the request has METRICS_TOKEN, or came from this host without a proxy."""
    return bears_metrics_token(incoming) or _from_this_host(incoming)


def bears_metrics_token(incoming: Request) -> bool:
    """Whether METRICS_TOKEN is set and is the request's bearer token."""
    settings: Settings = current_app.config["SETTINGS"]
    expected = settings.metrics_token or ""
    scheme, _, given = incoming.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    right = hmac.compare_digest(given.strip().encode(), expected.encode())
    return bool(expected) and right and scheme.lower() == "bearer"


def _from_this_host(incoming: Request) -> bool:
    if any(name in incoming.environ for name in FORWARDED):
        return False
    try:
        address = ip_address(incoming.remote_addr or "")
    except ValueError:  # a Unix socket has no address
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
