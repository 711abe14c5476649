"""A warning where unsafe settings of development meet the outside world."""

import logging
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from app.core.config import Settings
from app.core.database_url import is_here


def warn_of_development(settings: Settings, addresses: Iterable[object]) -> None:
    """Log that unsafe settings are let through, where others may reach this service or its data."""
    reach = [f"listens on {place}" for place in map(_outside, addresses) if place]
    if settings.database_url and not is_here(urlsplit(settings.database_url)):
        reach.append("uses a database on another host")
    if reach and not settings.production:
        text = "APP_ENV is %s: the service %s; set APP_ENV=production where others are served"
        logging.getLogger("app").warning(text, settings.app_env, " and ".join(reach))


def _outside(address: object) -> str | None:
    """The host of an address of gunicorn's that is not this host alone; paths of sockets are."""
    host = address[0] if isinstance(address, tuple) else "localhost"
    if host == "localhost":
        return None
    try:
        return None if ip_address(host).is_loopback else host
    except ValueError:
        return str(host)
