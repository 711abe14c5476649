"""The responses of the health checks."""

from typing import Literal

from pydantic import BaseModel

from app.web.fields.inputs import examples


class Health(BaseModel):
    """The process takes requests, or is about to end."""

    model_config = examples({"status": "ok"})

    status: Literal["ok", "draining"]


class PoolUse(BaseModel):
    """Connections of this process: kept open, in use, and the most there may be.

    All are 0 where they are not shown.
    """

    open: int
    in_use: int
    limit: int


class Servers(BaseModel):
    """Servers of the database: one, or those of a cluster, and how many of them are away.

    Requests of users whose rows are on a server that is away get 503, and others are served. Both
    are 0 where they are not shown.
    """

    known: int
    away: int


class Revision(BaseModel):
    """The schema the database has and the one this release was written for.

    Both are null where they are not shown.
    """

    current: str | None
    head: str | None
    up_to_date: bool


class DatabaseHealth(BaseModel):
    """Whether the database answers; milliseconds, of connecting and of one query."""

    model_config = examples(
        {
            "status": "ok",
            "connect_ms": 4.21,
            "latency_ms": 0.87,
            "pool": {"open": 2, "in_use": 1, "limit": 20},
            "servers": {"known": 1, "away": 0},
            "revision": {"current": "0001", "head": "0001", "up_to_date": True},
        }
    )

    status: Literal["ok", "unmigrated", "unavailable"]
    connect_ms: float | None
    latency_ms: float | None
    pool: PoolUse
    servers: Servers
    revision: Revision
