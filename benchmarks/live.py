"""Clients that wait for changes behind Pushpin: how many are held, what they cost, when they learn.

Run as `python -m benchmarks.live`; it needs the packages pushpin and zurl, and a few minutes.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

import psycopg2
from flask_migrate import upgrade

from app import create_app
from app.core.ids import new_id
from app.dev.embedded import throwaway
from tests.conftest import ROOT, settings_for
from tests.rig.programs import free_port
from tests.rig.pushpin import Pushpin
from tests.rig.service import served

IDLE_SECONDS: Final = 60
WRITES: Final = 100
AT_ONCE: Final = 50
"""Connections that are being made at a time."""


class Client:
    """One that waits, by a stream or by long polls, and notes when its user's news come."""

    def __init__(self, port: int, user_id: str, token: str, number: int, *, streams: bool) -> None:
        self.port, self.user_id, self.token, self.streams = port, user_id, token, streams
        # A source address has some 28,000 ports.
        self.source = f"127.0.0.{2 + number % 4}"
        self.held = False
        self.ends: Counter[str] = Counter()
        """Why it had to begin again."""
        self.heard: list[float] = []
        self.since = ""

    async def run(self, gate: asyncio.Semaphore) -> None:
        """Wait, again and again."""
        while True:
            try:
                await (self._stream(gate) if self.streams else self._poll(gate))
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                self.held = False
                self.ends[f"{type(error).__name__} {error}".splitlines()[0][:80]] += 1
                await asyncio.sleep(random.uniform(1, 5))

    async def _open(self, path: str, accept: str) -> tuple[Any, Any]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(self.source, 0), limit=2**20
        )
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n"
        writer.write(f"{head}Authorization: Bearer {self.token}\r\n\r\n".encode())
        return reader, writer

    async def _stream(self, gate: asyncio.Semaphore) -> None:
        async with gate:
            reader, writer = await self._open("/v1/changes", "text/event-stream")
            status = await reader.readline()
            if b" 200 " not in status:
                raise ValueError(status)
            await reader.readuntil(b"\r\n\r\n")
            while not (await reader.readline()).startswith(b"id:"):
                pass
        self.held = True
        try:
            while line := await reader.readline():
                if line.startswith(b"data:"):
                    self.heard.append(time.monotonic())
            raise ValueError("the stream has ended")
        finally:
            writer.close()

    async def _poll(self, gate: asyncio.Semaphore) -> None:
        """Long polls on one connection, as long as that lasts."""
        async with gate:
            reader, writer = await self._open("/v1/changes", "application/json")
            self.since = (await self._answer(reader))["next_token"]
        self.held = True
        try:
            while True:
                path = f"/v1/changes?wait=25&since={self.since}"
                head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n"
                writer.write(f"{head}Authorization: Bearer {self.token}\r\n\r\n".encode())
                page = await self._answer(reader)
                self.since = page["next_token"]
                if page["items"]:
                    self.heard.append(time.monotonic())
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if " 200 " not in head.splitlines()[0]:
            raise ValueError(head)
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        return json.loads(await reader.readexactly(length))


def write(base: str, token: str) -> float:
    """Create a task of the user; when its response was there."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urlopen(Request(f"{base}/v1/tasks", b'{"title": "Buy milk"}', headers), timeout=60):
        return time.monotonic()


def processes(pid: int) -> list[int]:
    """The process and all below it."""
    shown = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = [tuple(map(int, line.split())) for line in shown.stdout.splitlines()]
    found = [pid]
    for each in found:
        found += [child for child, parent in parents if parent == each]
    return found


def memory(*pids: int) -> float:
    """Their proportional share of memory, in megabytes."""
    kilobytes = 0
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        kilobytes += int(rollup.partition("\nPss:")[2].split()[0])
    return kilobytes / 1024


def cpu(*pids: int) -> float:
    """The seconds of processor time that they have used."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split() for pid in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def part(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def accounts(url: str, count: int) -> list[tuple[str, str]]:
    """So many users, each with an access token of a day."""
    application = create_app(settings_for(url))
    with application.app_context():
        upgrade(directory=str(ROOT / "migrations"))
    ids = [new_id() for _ in range(count)]
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("insert into users (id) select unnest(%s::uuid[])", (ids,))
    verifier = application.extensions["token_verifier"]
    return [(user_id, verifier.issue(user_id, seconds=86_000)) for user_id in ids]


async def measure(options: argparse.Namespace, base: str, pushpin: Pushpin, service: int) -> None:
    """Hold the clients, let nothing happen for a while, write, and print all of it."""
    users = options.accounts
    clients = [
        Client(pushpin.port, *users[n % len(users)], n, streams=n % 100 < options.streams)
        for n in range(options.clients)
    ]
    gate = asyncio.Semaphore(AT_ONCE)
    started = time.monotonic()
    tasks = [asyncio.create_task(client.run(gate)) for client in clients]
    while sum(client.held for client in clients) < len(clients):
        await asyncio.sleep(1)
        if time.monotonic() - started > options.patience:
            break
    print(f"{sum(c.held for c in clients)} of {len(clients)} clients of {len(users)} users held")
    print(f"  after {time.monotonic() - started:.0f} s", flush=True)
    await asyncio.sleep(options.settle)
    pids = [pid for each in pushpin.programs for pid in processes(each.pid)]
    own = processes(service)
    before = cpu(*own), cpu(*pids)
    await asyncio.sleep(IDLE_SECONDS)
    spent = cpu(*own) - before[0], cpu(*pids) - before[1]
    print(
        f"{IDLE_SECONDS} s without a write: service {spent[0]:.2f} s of CPU, Pushpin {spent[1]:.2f}"
    )
    print(
        f"memory: service {memory(*own):.0f} MB, Pushpin and zurl {memory(*pids):.0f} MB",
        flush=True,
    )
    held = sum(client.held for client in clients)
    latencies: dict[bool, list[float]] = {True: [], False: []}
    missed = 0
    for user_id, token in random.sample(users, WRITES):
        theirs = [client for client in clients if client.user_id == user_id and client.held]
        counts = [len(client.heard) for client in theirs]
        at = await asyncio.to_thread(write, base, token)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and any(
            len(client.heard) == count for client, count in zip(theirs, counts, strict=True)
        ):
            await asyncio.sleep(0.005)
        for client, count in zip(theirs, counts, strict=True):
            if len(client.heard) == count:
                missed += 1
            else:
                latencies[client.streams].append((client.heard[count] - at) * 1000)
    print(f"{WRITES} writes, {held} clients held, {missed} of those told of were not in 30 s")
    for streams, times in latencies.items():
        kind = "streams" if streams else "long polls"
        figures = (
            "-"
            if not times
            else " / ".join(f"{part(times, share):.0f}" for share in (0.5, 0.99, 1))
        )
        print(f"  {kind}: {len(times)} told, p50 / p99 / last {figures} ms after the response")
    ends = sum((client.ends for client in clients), Counter())
    print(f"clients that had to begin again: {ends.total()} {dict(ends) or ''}")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--streams", type=int, default=50, help="percent; the rest are long polls")
    parser.add_argument("--patience", type=float, default=180)
    parser.add_argument("--settle", type=float, default=30)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    port = free_port()
    with throwaway("-c max_connections=200") as url, tempfile.TemporaryDirectory() as directory:
        options.accounts = accounts(url, options.users)
        with Pushpin(port, log_level=1) as pushpin:
            settings = {"DATABASE_URL": url, "GRIP_URL": pushpin.grip_url, "LOG_LEVEL": "WARNING"}
            with served(Path(directory) / "log", port, **settings) as (base, program):
                asyncio.run(measure(options, base, pushpin, program.pid))


if __name__ == "__main__":
    sys.exit(main())
