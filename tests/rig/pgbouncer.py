"""PgBouncer as Neon runs it: transaction mode, TLS and SCRAM, in front of a PostgreSQL."""

import shutil
import signal
import time
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import psycopg2

from tests.rig.certificates import LOCAL, Authority
from tests.rig.programs import Program, account, answers, free_port, need, own_directory, write

ADMIN, ADMIN_PASSWORD = "rig_admin", "console"

# What Neon sets and leaves (its documentation, "Connection pooling"): passwords are asked of the
# database, so that any role may log in, and the pool is one for each user and database.
CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {directory}/users
auth_user = {auth_user}
auth_query = select usename, passwd from pg_shadow where usename = $1
admin_users = {admin}
pool_mode = {pool_mode}
max_client_conn = 10000
default_pool_size = {pool_size}
query_wait_timeout = {query_wait_timeout}
server_login_retry = {server_login_retry}
client_tls_sslmode = require
client_tls_cert_file = {directory}/certificate.pem
client_tls_key_file = {directory}/key.pem
"""


class PgBouncer:
    """A pooler before the PostgreSQL of a superuser's URL; `bundle` is a file of its authority.

    The certificate is for `names`; durations are in seconds.
    """

    def __init__(
        self,
        superuser_url: str,
        *,
        authority: Authority | None = None,
        names: tuple[str, ...] = LOCAL,
        pool_size: int = 10,
        query_wait_timeout: int = 120,
        server_login_retry: int = 15,
        pool_mode: str = "transaction",
    ) -> None:
        self._binary = need("pgbouncer")
        self.port = free_port()
        self._directory = own_directory()
        self._program: Program | None = None
        self.log = self._directory / "log"
        authority = authority or Authority()
        self.bundle = write(self._directory / "authority.pem", authority.certificate, 0o644)
        identity = authority.issue(*names)
        write(self._directory / "certificate.pem", identity.certificate)
        write(self._directory / "key.pem", identity.key)
        server = urlsplit(superuser_url)
        users = ((ADMIN, ADMIN_PASSWORD), (server.username, server.password))
        lines = "".join(f'"{user}" "{password}"\n' for user, password in users)
        write(self._directory / "users", lines.encode())
        configuration = CONFIGURATION.format(
            host=server.hostname,
            port=server.port,
            listen_port=self.port,
            directory=self._directory,
            auth_user=server.username,
            admin=ADMIN,
            pool_size=pool_size,
            query_wait_timeout=query_wait_timeout,
            server_login_retry=server_login_retry,
            pool_mode=pool_mode,
        )
        write(self._directory / "pgbouncer.ini", configuration.encode())

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        return self._program.pid if self._program and self._program.runs else None

    def start(self) -> None:
        """Run it, again on the same port. Raises AssertionError if it does not within a minute."""
        deadline = time.monotonic() + 60
        while True:
            self._launch()
            while self.pid and time.monotonic() < deadline:
                if answers(self.port):
                    return
                time.sleep(0.02)
            self.kill()
            # A client's connection may have been given the port meanwhile.
            if time.monotonic() > deadline or "in use" not in self.log.read_text():
                raise AssertionError(f"PgBouncer did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.2)

    def _launch(self) -> None:
        command = [self._binary, str(self._directory / "pgbouncer.ini")]
        with self.log.open("w") as output:
            self._program = Program(
                command, self._directory, stdout=output, stderr=output, **account()
            )

    def kill(self) -> None:
        """End it at once, as `kill -9` does."""
        if self._program:
            self._program.end(signal.SIGKILL)
            self._program = None

    def freeze(self) -> None:
        """Stop the process where it is."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the frozen process go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._program:
            self._program.send(number)

    def pause(self) -> None:
        """Let go of the servers once they are idle, and let every client wait."""
        self.admin("pause")

    def resume(self) -> None:
        """Serve those that wait."""
        self.admin("resume")

    def admin(self, sql: str) -> list[dict[str, Any]]:
        """What the console answers to a command."""
        connection = psycopg2.connect(self.console)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                names = [column.name for column in cursor.description or ()]
                rows = cursor.fetchall() if cursor.description else []
                return [dict(zip(names, row, strict=True)) for row in rows]
        finally:
            connection.close()

    @property
    def console(self) -> str:
        """The URL of the console, for pause, resume, `show pools` and the like."""
        return (
            f"postgresql://{ADMIN}:{ADMIN_PASSWORD}@127.0.0.1:{self.port}/pgbouncer?sslmode=require"
        )

    def url_for(self, user: str, password: str, database: str, **options: str) -> str:
        """The URL of a database through the pooler, by default with verify-full."""
        tls = {"sslmode": "verify-full", "sslrootcert": str(self.bundle)}
        query = urlencode(tls | options, safe="/")
        return f"postgresql://{user}:{password}@localhost:{self.port}/{database}?{query}"

    def through(self, url: str, **options: str) -> str:
        """The same database and user as a direct URL's, through the pooler."""
        parts = urlsplit(url)
        user, password = str(parts.username), str(parts.password)
        return self.url_for(user, password, parts.path[1:], **options)
