"""The least that answers these requests, to tell what all the rest costs.

A bare WSGI callable: psycopg2 in autocommit on a connection for each thread, one statement, orjson,
and PyJWT for each request. No framework, no isolation, no validation, no limits, no logs.
"""

import os
from collections.abc import Callable, Iterable
from threading import local
from typing import Any, Final

import jwt
import orjson
import psycopg2
from uuid_utils import uuid7

SECRET: Final = os.environ["JWT_SECRET"]
DATABASE_URL: Final = os.environ["DATABASE_URL"]
ISSUER: Final = "tasks-api"
PREFIX: Final = "/v1/tasks"
PRIORITIES: Final = ("none", "low", "medium", "high")

FIELDS: Final = (
    "id",
    "user_id",
    "title",
    "description",
    "complete",
    "completed_at",
    "priority",
    "due_date",
    "due_at",
    "category_id",
    "version",
    "created_at",
    "updated_at",
)
COLUMNS: Final = ", ".join(FIELDS)
MINE: Final = "user_id = %(user_id)s and deleted_at is null"
COMPLETED_AT: Final = "case when %(complete)s then now() end"

GET: Final = f"select {COLUMNS} from tasks where {MINE} and id = %(id)s"
LIST: Final = f"select {COLUMNS} from tasks where {MINE} order by created_at desc, id desc limit 51"
INSERT: Final = f"""
insert into tasks ({COLUMNS})
values (%(id)s, %(user_id)s, %(title)s, %(description)s, %(complete)s, {COMPLETED_AT},
    %(priority)s, %(due_date)s, %(due_at)s, %(category_id)s, 1, now(), now())
returning {COLUMNS}
"""
WRITABLE: Final = {
    "title": None,
    "description": None,
    "complete": False,
    "priority": 0,
    "due_date": None,
    "due_at": None,
    "category_id": None,
}
"""What a client may send, and what it is without that."""

threads: Final = local()

Answer = tuple[str, Any]


def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """The WSGI callable."""
    try:
        status, content = respond(environ, caller(environ))
    except jwt.PyJWTError:
        status, content = "401 Unauthorized", None
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def caller(environ: dict[str, Any]) -> str:
    """Whom the token speaks for. Raises jwt.PyJWTError."""
    token = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
    claims = jwt.decode(token, SECRET, ["HS256"], issuer=ISSUER, audience=ISSUER)
    subject: str = claims["sub"]
    return subject


def respond(environ: dict[str, Any], user_id: str) -> Answer:
    """The answer to one request."""
    method, task_id = environ["REQUEST_METHOD"], environ["PATH_INFO"][len(PREFIX) + 1 :]
    if method == "GET" and not task_id:
        return listing(query(LIST, {"user_id": user_id}))
    if method == "GET":
        return one("200 OK", query(GET, {"user_id": user_id, "id": task_id}))
    values = orjson.loads(environ["wsgi.input"].read())
    if "priority" in values:
        values["priority"] = PRIORITIES.index(values["priority"])
    if method == "POST":
        values = WRITABLE | values | {"user_id": user_id, "id": str(uuid7())}
        return one("201 Created", query(INSERT, values))
    return one("200 OK", query(update(values), values | {"user_id": user_id, "id": task_id}))


def update(values: dict[str, Any]) -> str:
    """The statement that writes these fields."""
    settings = [f"{name} = %({name})s" for name in values if name in WRITABLE]
    settings += [f"completed_at = {COMPLETED_AT}"] if "complete" in values else []
    settings += ["version = version + 1", "updated_at = now()"]
    return (
        f"update tasks set {', '.join(settings)} where {MINE} and id = %(id)s returning {COLUMNS}"
    )


def query(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows, on this thread's connection."""
    if not hasattr(threads, "connection"):
        threads.connection = psycopg2.connect(DATABASE_URL, options="-c timezone=UTC")
        threads.connection.autocommit = True
    with threads.connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def one(status: str, rows: list[tuple[Any, ...]]) -> Answer:
    """A single task, or 404."""
    return (status, represent(rows[0])) if rows else ("404 Not Found", None)


def listing(rows: list[tuple[Any, ...]]) -> Answer:
    """The first page, and where the next one begins."""
    items = [represent(row) for row in rows[:50]]
    after = f"{items[-1]['created_at']}/{items[-1]['id']}" if len(rows) > 50 else None
    return "200 OK", {"items": items, "next_cursor": after}


def represent(row: tuple[Any, ...]) -> dict[str, Any]:
    """A row as the task that clients see."""
    task = dict(zip(FIELDS, row, strict=True))
    task["priority"] = PRIORITIES[task["priority"]]
    return task
