"""Warn if the service runs with development settings but is reachable from other hosts."""

import logging
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from app.core.config import Settings
from app.core.database_url import is_here


def warn_of_development(settings: Settings, addresses: Iterable[object]) -> None:
    """Log a warning outside production if this service or its database is not on this host only."""
    reach = [f"listens on {place}" for place in map(_outside, addresses) if place]
    if settings.database_url and not is_here(urlsplit(settings.database_url)):
        reach.append("uses a database on another host")
    if reach and not settings.production:
        text = "APP_ENV is %s: the service %s; set APP_ENV=production where others are served"
        logging.getLogger("app").warning(text, settings.app_env, " and ".join(reach))


def _outside(address: object) -> str | None:
    """Return the host of gunicorn's address; None for loopback addresses and Unix sockets."""
    host = address[0] if isinstance(address, tuple) else "localhost"
    if host == "localhost":
        return None
    try:
        return None if ip_address(host).is_loopback else host
    except ValueError:
        return str(host)
