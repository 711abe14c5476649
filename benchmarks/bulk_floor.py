"""The floor of bulk requests: their statements on a bare cursor, behind the floor's token and WSGI.

A file that BULK_FLIGHTS names has for each kind of request what is sent to the database, flight by
flight. Where ids of the request belong, there are their places: `{"id": 0}` is the first.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import jwt
import orjson
import psycopg2

from benchmarks import floor

FLIGHTS: Final[dict[str, list[list[tuple[str, Any]]]]] = orjson.loads(
    Path(os.environ["BULK_FLIGHTS"]).read_bytes()
)


def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """The WSGI callable."""
    kind = kind_of(environ)
    if kind not in FLIGHTS:
        return floor.application(environ, start)
    try:
        floor.caller(environ)
        status, content = "200 OK", send(FLIGHTS[kind], ids_of(environ))
    except jwt.PyJWTError:
        status, content = "401 Unauthorized", []
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def kind_of(environ: dict[str, Any]) -> str:
    """The path without ids, and the query."""
    parts = [part for part in environ["PATH_INFO"].split("/") if len(part) != 36]
    return "/".join(parts) + "?" + environ["QUERY_STRING"]


def ids_of(environ: dict[str, Any]) -> list[str]:
    """The ids in the path, or those in the body."""
    if environ["PATH_INFO"] == "/v1/batch":
        operations = orjson.loads(environ["wsgi.input"].read())["operations"]
        return [operation["id"] for operation in operations]
    return environ["PATH_INFO"].split("/")[3:4]


def send(flights: Sequence[Sequence[tuple[str, Any]]], ids: Sequence[str]) -> list[dict[str, Any]]:
    """The rows that the flights answer with, one after the other."""
    if not hasattr(floor.threads, "connection"):
        floor.threads.connection = psycopg2.connect(floor.DATABASE_URL, options="-c timezone=UTC")
        floor.threads.connection.autocommit = True
    rows: list[dict[str, Any]] = []
    with floor.threads.connection.cursor() as cursor:
        for flight in flights:
            cursor.execute(
                b"; ".join(cursor.mogrify(sql, bound(given, ids)) for sql, given in flight)
            )
            if cursor.description:
                names = [column.name for column in cursor.description]
                rows += [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return rows


def bound(given: dict[str, Any] | None, ids: Sequence[str]) -> dict[str, Any] | None:
    """The parameters, with these ids in their places."""
    if given is None:
        return None
    return {k: ids[v["id"]] if type(v) is dict else v for k, v in given.items()}
