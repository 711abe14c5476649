"""A project like Neon's on a cluster of ours: its roles, its database, this release's schema."""

import secrets
import subprocess
import sys
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from tests.databases import opened
from tests.rig.service import ROOT, environment

OWNER, SERVICE, DATABASE = "neon_owner", "tasks_service", "tasks"


@dataclass(frozen=True)
class Neon:
    """What its console shows; all URLs are direct ones. A cluster can only hold one project, as
    the tasks_* roles belong to the owner who migrates first.
    """

    superuser_url: str
    owner_url: str
    service_url: str

    @classmethod
    def create(cls, cluster_url: str) -> Self:
        """An owner, who is no superuser, with an empty database; the schema and login come next."""
        project = cls.of(cluster_url)
        with opened(cluster_url) as cursor:
            cursor.execute(
                f"create role {OWNER} login nosuperuser createdb createrole bypassrls"
                f" password '{urlsplit(project.owner_url).password}'"
            )
            cursor.execute(f"create database {DATABASE} owner {OWNER}")
        return project

    @classmethod
    def of(cls, cluster_url: str) -> Self:
        """The project's URLs, with passwords that nobody has used yet."""
        parts = urlsplit(cluster_url)

        def url(user: str | None, password: str | None) -> str:
            netloc = f"{user}:{password}@{parts.hostname}:{parts.port}"
            return parts._replace(netloc=netloc, path=f"/{DATABASE}").geturl()

        return cls(
            url(parts.username, parts.password),
            url(OWNER, secrets.token_hex(16)),
            url(SERVICE, secrets.token_hex(16)),
        )

    def migrate(self, pooled_url: str) -> None:
        """What the release step does: `flask db upgrade`, as the owner on the direct URL."""
        done = upgrade(DATABASE_URL=pooled_url, DATABASE_URL_UNPOOLED=self.owner_url)
        assert done.returncode == 0, done.stderr

    def add_service(self) -> None:
        """The README's login with the least rights."""
        password = urlsplit(self.service_url).password
        with opened(self.owner_url) as cursor:
            cursor.execute(f"create role {SERVICE} login noinherit password '{password}'")
            cursor.execute(
                "grant tasks_app, tasks_auth, tasks_links, tasks_maintenance, tasks_worker"
                f" to {SERVICE}"
            )


def upgrade(**variables: str) -> "subprocess.CompletedProcess[str]":
    """`flask db upgrade` with production's settings and these variables."""
    return subprocess.run(
        [sys.executable, "-m", "flask", "db", "upgrade"],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
    )
