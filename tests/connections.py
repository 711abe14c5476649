"""Connections to databases, as tests look into them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2


@contextmanager
def opened(url: str) -> Iterator[Any]:
    """A cursor on a connection that commits each statement."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()
