"""Clients as they should be: they think, wait when told to, and repeat a write until it is done."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from tests.faults.ledger import Ledger
from tests.faults.outcomes import Outcome
from tests.faults.wire import Answer, Wire

PATIENCE = 60.0
LONGEST_PAUSE = 1.0
REOPENED = 0.05  # connections are kept alive for twenty requests or so


class Person(NamedTuple):
    """Whose tasks they are."""

    user_id: str
    token: str


class Shift:
    """What the clients of one run share: until when they work, and what they saw."""

    def __init__(self, address: tuple[str, int], think: tuple[float, float]) -> None:
        self.address = address
        self.think = think
        self.over = False
        self.ledger = Ledger()
        self.outcomes: list[Outcome] = []


class Client:
    """One person's program, on one connection."""

    def __init__(self, person: Person, shift: Shift) -> None:
        self.person = person
        self.shift = shift
        self.wire = Wire(shift.address)
        self.known: list[str] = []
        self.token: str | None = None

    async def work(self) -> None:
        """Read and write in turns until the shift is over."""
        writes = [self.create, self.create, self.put, self.batch]
        reads = [self.list, self.list, self.read, self.read, self.follow]
        try:
            while not self.shift.over:
                await asyncio.sleep(random.uniform(*self.shift.think))
                await random.choice(writes + reads)()
                if random.random() < REOPENED:
                    self.wire.close()
        finally:
            self.wire.close()

    async def create(self) -> None:
        """A keyed create, repeated with its key until it is acknowledged."""
        title = self.shift.ledger.title()
        answer = await self._insist("POST", "/v1/tasks", {"title": title}, key())
        self._note([title], [answer] if answer else [])

    async def put(self) -> None:
        """A write under an id of the client's own, repeated until it is acknowledged."""
        title = self.shift.ledger.title()
        answer = await self._insist("PUT", f"/v1/tasks/{uuid4()}", {"title": title})
        self._note([title], [answer] if answer else [])

    async def batch(self) -> None:
        """A keyed batch of three, repeated with its key until it is acknowledged."""
        titles = [self.shift.ledger.title() for _ in range(3)]
        operations = [
            {"op": "create", "type": "task", "id": str(uuid4()), "body": {"title": title}}
            for title in titles
        ]
        answer = await self._insist("POST", "/v1/batch", {"operations": operations}, key())
        self._note(titles, [result["body"] for result in answer["results"]] if answer else [])

    async def follow(self) -> None:
        """What was changed since the client asked last."""
        since = f"&since={self.token}" if self.token else ""
        answer = await self._ask("GET", f"/v1/changes?limit=20{since}")
        if answer is not None and answer.status == 200:
            self.token = json.loads(answer.body)["next_token"]
        await self._pause(answer)

    async def list(self) -> None:
        """A page of tasks."""
        await self._pause(await self._ask("GET", "/v1/tasks?limit=20"))

    async def read(self) -> None:
        """A task that was acknowledged, so it has to be there."""
        path = f"/v1/tasks/{random.choice(self.known)}" if self.known else "/v1/tasks?limit=1"
        await self._pause(await self._ask("GET", path))

    async def _insist(
        self, method: str, path: str, content: dict[str, Any], headers: str = ""
    ) -> dict[str, Any] | None:
        """What it is answered with in the end; None if the shift is over before."""
        body = json.dumps(content)
        while not self.shift.over:
            answer = await self._ask(method, path, headers, body)
            if answer is not None and answer.status in {200, 201}:
                return dict(json.loads(answer.body))
            await self._pause(answer)
        return None

    def _note(self, titles: Sequence[str], tasks: Sequence[dict[str, Any]]) -> None:
        for title, task in zip(titles, tasks, strict=False):
            self.shift.ledger.acknowledge(title, task["id"])
            self.known = [*self.known[-20:], task["id"]]

    async def _ask(
        self, method: str, path: str, headers: str = "", body: str = ""
    ) -> Answer | None:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {self.person.token}\r\n{headers}"
        )
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return await ask(self.wire, f"{head}\r\n{body}".encode(), self.shift.outcomes)

    async def _pause(self, answer: Answer | None) -> None:
        """Wait after a failure, as long as its Retry-After says; a second is enough for a test."""
        if answer is None or answer.status >= 400:
            asked = float(answer.headers.get("retry-after", 0.2)) if answer else 0.2
            await asyncio.sleep(min(asked, LONGEST_PAUSE))


async def ask(wire: Wire, request: bytes, outcomes: list[Outcome]) -> Answer | None:
    """The answer, or None if the connection ended; the outcome is noted either way."""
    sent = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE):
            answer = await wire.ask(request)
    except (OSError, EOFError) as error:
        outcomes.append(Outcome(sent, time.monotonic() - sent, 0, type(error).__name__))
        return None
    taken = time.monotonic() - sent
    said = "" if answer.status < 400 else kind(answer)
    outcomes.append(Outcome(sent, taken, answer.status, said))
    return answer


def key() -> str:
    """The header that says that a request is to be done once."""
    return f"Idempotency-Key: {uuid4()}\r\n"


def kind(answer: Answer) -> str:
    """The type of the problem that was answered."""
    try:
        return str(json.loads(answer.body)["type"]).removeprefix("/problems/")
    except (ValueError, KeyError, TypeError):
        return "no problem document"
