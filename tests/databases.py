"""Databases of a test's own, in the cluster of all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from apiflask import APIFlask
from flask_migrate import downgrade, upgrade
from psycopg2 import sql

from app import create_app
from app.core.ids import new_id
from tests import citus
from tests.conftest import ROOT, Account, insert_user, settings_for
from tests.connections import opened

MIGRATIONS = str(ROOT / "migrations")


@contextmanager
def own_database(cluster: str, *, owner: str | None = None, password: str = "") -> Iterator[str]:
    """The URL of a new and empty database, for its owner if there is one; dropped afterwards."""
    if citus.GIVEN:
        with citus.database(cluster) as url:
            yield url
        return
    name = f"test_{uuid4().hex}"
    parts = urlsplit(cluster)
    address = parts.netloc.rpartition("@")[2]
    netloc = f"{owner}:{password}@{address}" if owner else parts.netloc
    with opened(cluster) as cursor:
        create = sql.SQL("create database {}").format(sql.Identifier(name))
        if owner:
            create += sql.SQL(" owner {}").format(sql.Identifier(owner))
        cursor.execute(create)
        try:
            yield urlunsplit(parts._replace(netloc=netloc, path=f"/{name}"))
        finally:
            drop = sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
            cursor.execute(drop)


def user_of(url: str, **environment: str) -> Account:
    """A user of this database, and of an application of its own."""
    application, user_id = create_app(settings_for(url, **environment)), new_id()
    email = f"{user_id}@example.com"
    with opened(url) as cursor:
        insert_user(cursor, user_id, email)
    token = application.extensions["token_verifier"].issue(user_id)
    return Account(user_id, email, token, application.test_client())


@lru_cache(maxsize=1)
def migrating(url: str) -> APIFlask:
    """The application that migrates this database."""
    return create_app(settings_for(url))


def migrate(url: str, revision: str = "head", *, how: Callable[..., None] = upgrade) -> None:
    """Bring the database to the revision, as `flask db upgrade` does."""
    with migrating(url).app_context():
        how(directory=MIGRATIONS, revision=revision)
    if citus.GIVEN and revision == "head":
        citus.spread(url)


def migrate_down(url: str, revision: str = "base") -> None:
    """Take the database back to the revision, as `flask db downgrade` does."""
    migrate(url, revision, how=downgrade)
