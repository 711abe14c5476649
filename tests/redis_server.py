"""A Redis of a test's own, with a password."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import redis

from tests.locks import until
from tests.rig import programs

PASSWORD = "open-sesame-redis"


class RedisServer:
    """Keeps nothing; after `stop`, `start` brings it back on the same port, empty."""

    def __init__(self, program: str) -> None:
        self.port = programs.free_port()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        self.client = redis.Redis.from_url(self.url)
        self._program = program

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """A server that ends with the block; the test is skipped where there is no Redis."""
        server = cls(programs.need("redis-server"))
        server.start()
        try:
            yield server
        finally:
            server.client.close()
            server.stop()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._directory = programs.own_directory()
        # The password is in a file, as the arguments of a program are for all to see.
        settings = programs.write(
            self._directory / "redis.conf",
            f"requirepass {PASSWORD}\nport {self.port}\nbind 127.0.0.1\nsave ''\n"
            f"appendonly no\nlogfile {self._directory / 'log'}\ndir {self._directory}\n".encode(),
        )
        self._process = programs.Program(
            [self._program, str(settings)], self._directory, **programs.account()
        )
        until(lambda: not self._process.runs or self._answers())
        assert self._process.runs, (self._directory / "log").read_text()

    def stop(self) -> None:
        """End it, and forget all that was counted."""
        self._process.end()
        shutil.rmtree(self._directory)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.exceptions.RedisError:
            return False
