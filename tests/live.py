"""Clients that wait for changes behind Pushpin."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.request import Request, urlopen

from tests.conftest import Account
from tests.locks import until
from tests.raw import connect
from tests.rig.programs import Program, free_port
from tests.rig.pushpin import Pushpin
from tests.rig.service import served
from tests.scrapes import TOKEN

TOGETHER = {"WEB_CONCURRENCY": "1", "SHUTDOWN_GRACE": "0", "METRICS_TOKEN": TOKEN}


class Live(NamedTuple):
    """A service behind Pushpin."""

    pushpin: Pushpin
    base: str
    log: Path
    program: Program

    def asked(self, user: Account) -> Counter[str]:
        """How often each route has been requested for this user."""
        lines = (json.loads(line) for line in self.log.read_text().splitlines() if line[:1] == "{")
        return Counter(line["route"] for line in lines if line.get("user_id") == user.user_id)

    def call(self, user: Account, method: str, path: str, body: object = None) -> Any:
        """The response to a request at the service's own port, as JSON."""
        headers = {"Authorization": f"Bearer {user.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.base + path, data, headers, method=method)
        with urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def create_task(self, user: Account, title: str = "Buy milk") -> Any:
        """A new task of the user."""
        return self.call(user, "POST", "/v1/tasks", {"title": title})

    def token(self, user: Account) -> str:
        """Where the user's changes end now."""
        token: str = self.call(user, "GET", "/v1/changes?limit=1000")["next_token"]
        return token

    def passes(self) -> bool:
        """Whether Pushpin passes requests on; its parts have yet to find each other at first."""
        try:
            with urlopen(f"{self.pushpin.url}/health", timeout=30) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def hints(self, user: Account) -> int:
        """How often Pushpin has been told of the user."""
        return self.pushpin.printed().count(f"publish channel={user.user_id} ")

    def hint(self, user: Account) -> None:
        """Tell Pushpin of the user, as the service does."""
        hint = {"http-stream": {"action": "hint"}, "http-response": {"action": "hint"}}
        items = {"items": [{"channel": user.user_id, "formats": hint}]}
        url = f"http://127.0.0.1:{self.pushpin.control_port}/publish/"
        with urlopen(Request(url, json.dumps(items).encode()), timeout=30):
            pass


@contextmanager
def living(database_url: str, log: Path, **environment: str) -> Iterator[Live]:
    """A service of one process behind Pushpin."""
    port = free_port()
    with ExitStack() as stack:
        pushpin = stack.enter_context(Pushpin(port))
        variables = {"DATABASE_URL": database_url, "GRIP_URL": pushpin.grip_url, **TOGETHER}
        service = served(log, port, **{**variables, **environment})
        base, program = stack.enter_context(service)
        live = Live(pushpin, base, log, program)
        until(live.passes)
        yield live


class Waiting:
    """A request whose response is read as it comes."""

    def __init__(self, url: str, token: str, path: str, **headers: str) -> None:
        self._socket = connect(url)
        head = {"Host": "localhost", "Authorization": f"Bearer {token}", **headers}
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in head.items())
        self._socket.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        self._response: HTTPResponse | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._response:
            self._response.close()
        self._socket.close()

    @property
    def response(self) -> HTTPResponse:
        """The response, once its head has come."""
        if self._response is None:
            self._response = HTTPResponse(self._socket)
            self._response.begin()
        return self._response

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.response.getheaders()}

    def json(self) -> Any:
        return json.loads(self.response.read())

    def event(self) -> dict[str, str]:
        """The fields of the next event; none where the stream ends. Comments are left out."""
        fields: dict[str, str] = {}
        while line := self.response.readline():
            name, colon, value = line.decode().rstrip("\n").partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
            elif not colon and fields:
                return fields
        return {}

    def comment(self) -> str:
        """The next line, which is a comment, and the end of it."""
        line = self.response.readline().decode()
        assert self.response.readline() == b"\n"
        return line.rstrip("\n")


def polling(live: Live, user: Account, since: str, wait: int = 25) -> Waiting:
    """A long poll of this user through Pushpin."""
    path = f"/v1/changes?since={since}&wait={wait}"
    return Waiting(live.pushpin.url, user.token, path)


def streaming(live: Live, user: Account, query: str = "", **headers: str) -> Waiting:
    """A stream of this user through Pushpin."""
    accept = {"Accept": "text/event-stream", **headers}
    return Waiting(live.pushpin.url, user.token, f"/v1/changes{query}", **accept)


def titles(event: dict[str, str]) -> list[str]:
    """What the tasks of an event are named."""
    return [item["data"]["title"] for item in json.loads(event["data"])["items"]]
