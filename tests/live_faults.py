"""Followers of changes while everything fails: `python -m tests.live_faults` for two minutes.

A user writes without a pause. One follower is called by a webhook and reads what is new; another
has a stream behind Pushpin. The worker, Pushpin, the database and the receiver of the webhook are
killed and started again at random. In the end both have what the database has, and each version
came to them in its order.
"""

import argparse
import json
import logging
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from app.core.ids import new_id
from tests.conftest import Account
from tests.databases import migrate
from tests.hooks import HERE, Hooks, hook
from tests.live import TOGETHER
from tests.rig.cluster import Cluster
from tests.rig.programs import free_port
from tests.rig.pushpin import Pushpin
from tests.rig.receiver import Received, Receiver, Reply
from tests.rig.service import served

PACE_SECONDS = 0.05
CALM_SECONDS = (0.5, 2.0)
"""Between two faults."""

AWAY_SECONDS = (0.2, 1.5)
"""How long something stays away."""

DRAIN_SECONDS = 60

FAULTS = ("worker", "pushpin", "database", "receiver")


@dataclass
class Follower:
    """What somebody knows of the user's tasks, by the items of the feed."""

    view: dict[str, int] = field(default_factory=dict)
    """The version of each task that exists."""
    token: str = ""
    last: int = 0
    out_of_order: list[int] = field(default_factory=list)

    def take(self, page: dict[str, Any]) -> None:
        """Take over the changes of a page."""
        for item in page["items"]:
            if item["version"] <= self.last:
                self.out_of_order.append(item["version"])
            self.last = max(self.last, item["version"])
            if item["deleted"]:
                self.view.pop(item["id"], None)
            else:
                self.view[item["id"]] = item["version"]
        self.token = page["next_token"]


class Threads:
    """Work in threads, until they are told to stop."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.errors: list[BaseException] = []

    @contextmanager
    def running(self, *works: Any) -> Iterator[None]:
        """Run them while entered; each returns soon after `stopped` is set."""
        threads = [threading.Thread(target=self._guard, args=(each,)) for each in works]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopped.set()
            for thread in threads:
                thread.join(60)

    def _guard(self, work: Any) -> None:
        try:
            work()
        except BaseException as error:
            self.errors.append(error)


class Campaign:
    """The service with all that belongs to it, its followers, and faults."""

    def __init__(self, cluster: Cluster, directory: Path, stack: ExitStack) -> None:
        self.cluster, self.directory, self.stack = cluster, directory, stack
        self.hooks = Hooks(cluster.url)
        self.user: Account = self.hooks.alice
        port = free_port()
        self.pushpin = stack.enter_context(Pushpin(port))
        environment = {"DATABASE_URL": cluster.url, "GRIP_URL": self.pushpin.grip_url, **HERE}
        service = served(directory / "service.log", port, **{**TOGETHER, **environment})
        self.base, _ = stack.enter_context(service)
        self.receiver = Receiver()
        self.receiver.__enter__()
        self.called, self.streamed = Follower(), Follower()
        self.faults: Counter[str] = Counter()
        self.threads = Threads()
        self.statuses: Counter[int] = Counter()
        self.receiver.reply = self.follow_hint
        hook(self.user, self.receiver.url("/hook"))
        self.worker = self._worker()

    def run(self, seconds: float) -> None:
        """Let it all happen for so long; then let it calm down."""
        chaos = Threads()
        with self.threads.running(self.follow_stream):
            writing = Threads()
            with (
                writing.running(lambda: self.write(writing)),
                chaos.running(lambda: self.disturb(chaos)),
            ):
                time.sleep(seconds)
            self.errors = [*writing.errors, *chaos.errors]
            self._drain()
            self.stored_at_last = self.stored()
        self.errors += self.threads.errors
        self.worker.__exit__(None, None, None)
        self.receiver.__exit__()

    def _drain(self) -> None:
        """Wait until both followers know all. Raises AssertionError after a while."""
        ends = time.monotonic() + DRAIN_SECONDS
        while not self.have_all():
            what = [len(each) for each in (self.called.view, self.streamed.view, self.stored())]
            last = (self.called.last, self.streamed.last)
            webhook = self.hooks.ask("select to_jsonb(webhooks)::text from webhooks")
            assert time.monotonic() < ends, (what, last, webhook, self.threads.errors)
            time.sleep(0.2)

    # Who writes

    def write(self, threads: Threads) -> None:
        """Create, change and delete tasks; what is refused is not tried again."""
        known: list[str] = []
        with httpx.Client(base_url=self.base, headers=self._headers(), timeout=30) as client:
            while not threads.stopped.wait(PACE_SECONDS):
                with suppress(httpx.TransportError):
                    answer = self._write_one(client, known)
                    self.statuses[answer.status_code] += 1

    def _write_one(self, client: httpx.Client, known: list[str]) -> httpx.Response:
        chance = random.random()
        if known and chance < 0.2:
            return client.delete(f"/v1/tasks/{known.pop(random.randrange(len(known)))}")
        if known and chance < 0.5:
            task = random.choice(known)
            return client.patch(f"/v1/tasks/{task}", json={"title": new_id()})
        task = new_id()
        known.append(task)
        return client.put(f"/v1/tasks/{task}", json={"title": new_id()})

    # Who follows

    def follow_hint(self, message: Received) -> Reply:
        """Read what is new before the message is acknowledged."""
        if message.content["type"] != "changes":
            return 204, {}, b""
        try:
            self._read(self.called)
        except (httpx.TransportError, httpx.HTTPStatusError):
            return 503, {}, b""
        return 204, {}, b""

    def _read(self, follower: Follower) -> None:
        with httpx.Client(base_url=self.base, headers=self._headers(), timeout=30) as client:
            more = True
            while more:
                since = {"since": follower.token} if follower.token else {}
                page = client.get("/v1/changes", params=since).raise_for_status().json()
                follower.take(page)
                more = page["has_more"]

    def follow_stream(self) -> None:
        """Follow the stream behind Pushpin, and begin again wherever it ends."""
        while not self.threads.stopped.wait(0.1):
            with suppress(httpx.TransportError, httpx.HTTPStatusError):
                self._stream()

    def _stream(self) -> None:
        headers = {**self._headers(), "Accept": "text/event-stream"}
        if self.streamed.token:
            headers["Last-Event-ID"] = self.streamed.token
        patience = httpx.Timeout(30, read=1.0)
        with (
            httpx.Client(base_url=self.pushpin.url, timeout=patience) as client,
            client.stream("GET", "/v1/changes", headers=headers) as response,
        ):
            response.raise_for_status()
            for line in response.iter_lines():
                if line.startswith("data:"):
                    self.streamed.take(json.loads(line.removeprefix("data:")))
                if self.threads.stopped.is_set():
                    return

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.user.token}"}

    # What fails

    def disturb(self, threads: Threads) -> None:
        """Kill something, and start it again, until told to stop."""
        while not threads.stopped.wait(random.uniform(*CALM_SECONDS)):
            name = random.choice(FAULTS)
            self.faults[name] += 1
            getattr(self, f"_lose_{name}")()

    def _away(self) -> None:
        time.sleep(random.uniform(*AWAY_SECONDS))

    def _worker(self) -> Any:
        log = self.directory / f"worker-{new_id()}.log"
        worker = self.hooks.worker(log)
        worker.__enter__()
        return worker

    def _lose_worker(self) -> None:
        self.worker.__exit__(None, None, None)  # which kills it
        self._away()
        self.worker = self._worker()

    def _lose_pushpin(self) -> None:
        self.pushpin.stop()
        self._away()
        self.pushpin.start()

    def _lose_database(self) -> None:
        self.cluster.stop("immediate")
        self._away()
        self.cluster.start()

    def _lose_receiver(self) -> None:
        self.receiver.stop()
        self._away()
        self.receiver.start()

    # What is left

    def stored(self) -> dict[str, int]:
        """The version of each task that exists, as the database has it."""
        rows = self.hooks.ask(
            "select id::text, version from tasks where user_id = %s and deleted_at is null",
            self.user.user_id,
        )
        return dict(rows)

    def have_all(self) -> bool:
        """Whether both followers know what the database has; no pause keeps them waiting."""
        self.hooks.let_time_pass()
        return self.called.view == self.streamed.view == self.stored()


def campaign(seconds: float) -> Campaign:
    """Run all of it; faults come for so many seconds."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = stack.enter_context(Cluster.throwaway())
        migrate(cluster.url)
        found = Campaign(cluster, directory, stack)
        found.run(seconds)
        return found


def main() -> int:
    """Return 1 if a follower missed something, or got it out of order."""
    parser = argparse.ArgumentParser(prog="python -m tests.live_faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    options = parser.parse_args()
    logging.disable(logging.INFO)  # what migrations say of each step
    found = campaign(options.seconds)
    wrong = found.called.out_of_order + found.streamed.out_of_order
    print(f"writes by status: {dict(found.statuses)}; faults: {dict(found.faults)}")
    print(f"{len(found.called.view)} tasks at both followers, as in the database")
    print(f"versions up to {found.called.last}, {len(wrong)} of them out of order")
    return 1 if wrong or found.errors else 0


if __name__ == "__main__":
    sys.exit(main())
