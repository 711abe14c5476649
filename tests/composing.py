"""Many rows are brought to NFC while clients write by the release before.

`python -m tests.composing 1000000` says how long it takes with so many rows.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Final, NamedTuple, Self
from unicodedata import normalize

from app import create_app
from app.core.ids import new_id
from app.dev.embedded import throwaway
from tests.conftest import ROOT, SECRET, Account, gunicorn_process, settings_for
from tests.databases import migrate, opened, own_database
from tests.locks import until

CLIENTS: Final = 20
SCHEMA_BEFORE: Final = "0008"
TOKEN_SECONDS: Final = 24 * 60 * 60
"""A rollout over many rows takes longer than a token usually lives."""
COMPOSED: Final = "Café"
DECOMPOSED: Final = normalize("NFD", COMPOSED)

FILL: Final = """
with owner as (
    insert into users (id, email, password_hash, name, change_seq)
        select id, id || '@example.com', 'none', %(decomposed)s, %(each)s + 2
            from unnest(%(ids)s::uuid[]) id returning id
), category as (
    insert into categories (user_id, id, name, version, created_at, updated_at)
        select id, gen_random_uuid(), name, %(each)s + place, now(), now() from owner,
            unnest(array[%(composed)s, upper(%(decomposed)s)]) with ordinality as c (name, place)
        returning id
)
insert into tasks (user_id, id, title, description, complete, priority, version, created_at,
        updated_at, deleted_at)
    select owner.id, gen_random_uuid(),
        case n %% 3 when 0 then 'Plain ' else %(decomposed)s end || n,
        case n %% 4 when 0 then 'At the ' || %(decomposed)s when 1 then 'At ' || %(composed)s end,
        false, 0, n, now() - n * interval '1 second', now(), case n %% 50 when 0 then now() end
        from owner, generate_series(1, %(each)s) n
"""
LEFT: Final = """
select (select count(*) from tasks where title is not nfc normalized
        or description is not nfc normalized)
    + (select count(*) from categories where name is not nfc normalized)
    + (select count(*) from users where name is not nfc normalized)
"""


class Filled(NamedTuple):
    """The users that own the rows, and what they all had before."""

    accounts: list[Account]
    rows: int


def release_before(directory: Path) -> Path:
    """This release as it was: it keeps texts as sent, and knows no migration from 0009 on."""
    tree = directory / "release before"
    later = (path.name for path in (ROOT / "migrations" / "versions").glob("[0-9]*_*.py"))
    without = shutil.ignore_patterns("__pycache__", *(name for name in later if name >= "0009"))
    for name in ("app", "migrations"):
        shutil.copytree(ROOT / name, tree / name, ignore=without)
    for name in ("wsgi.py", "gunicorn.conf.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tree)
    texts = tree / "app" / "core" / "texts.py"
    composing = '    return normalize("NFC", "".join(pieces) + text[end:])'
    assert composing in texts.read_text()
    texts.write_text(
        texts.read_text()
        .replace(composing, "    return text")
        .replace("        text = text.replace(mark, marks)", "        pass")
    )
    return tree


def fill(url: str, rows: int, users: int) -> list[Account]:
    """So many tasks of so many users, most of them not in NFC, with two categories each."""
    application = create_app(settings_for(url))
    verifier = application.extensions["token_verifier"]
    ids = [new_id() for _ in range(users)]
    with opened(url) as cursor:
        texts = {"composed": COMPOSED, "decomposed": DECOMPOSED}
        cursor.execute(FILL, {"ids": ids, "each": rows // users, **texts})
        cursor.execute("analyze")
    tokens = {i: verifier.issue(i, seconds=TOKEN_SECONDS) for i in ids}
    return [Account(i, "", tokens[i], application.test_client()) for i in ids]


class Clients:
    """Clients that write, change, read and search by what they send decomposed."""

    def __init__(self, base: str, accounts: Sequence[Account]) -> None:
        self.base, self.over = base.removeprefix("http://"), Event()
        self.statuses: Counter[object] = Counter()
        self.slowest, self.lock = 0.0, Lock()
        self.threads = [
            Thread(target=self.work, args=(accounts[number % len(accounts)],))
            for number in range(CLIENTS)
        ]

    def work(self, account: Account) -> None:
        while not self.over.is_set():
            with closing(HTTPConnection(self.base, timeout=30)) as connection:
                try:
                    while not self.over.wait(0.05):
                        self.round(connection, account)
                except (OSError, HTTPException) as error:
                    self.note(repr(error), 0.0)

    def round(self, connection: HTTPConnection, account: Account) -> None:
        """One task from its creation to a search for it."""
        title = f"{DECOMPOSED} {new_id()}"
        task = self.ask(connection, account, "POST", "/v1/tasks", {"title": title})
        changed = {"description": f"{DECOMPOSED} at noon"}
        self.ask(connection, account, "PATCH", f"/v1/tasks/{task['id']}", changed)
        self.ask(connection, account, "POST", "/v1/categories", {"name": title})
        self.ask(connection, account, "GET", "/v1/tasks?limit=20")

    def ask(
        self, connection: HTTPConnection, account: Account, method: str, path: str, body: Any = None
    ) -> Any:
        headers = {"Authorization": f"Bearer {account.token}"}
        if body is not None:
            kind = "merge-patch+json" if method == "PATCH" else "json"
            headers["Content-Type"] = f"application/{kind}"
        started = time.monotonic()
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        said = answer.read()
        self.note(answer.status, time.monotonic() - started)
        return json.loads(said)

    def note(self, what: object, seconds: float) -> None:
        with self.lock:
            self.statuses[what] += 1
            self.slowest = max(self.slowest, seconds)

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        self.go_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(timeout=60)
            assert not thread.is_alive()

    def go_on(self) -> None:
        """Return when each client has been answered some more."""
        before = self.statuses.total()
        until(lambda: self.statuses.total() > before + 4 * CLIENTS)


class Rollout(NamedTuple):
    """What an upgrade did to those who were served meanwhile."""

    statuses: Counter[object]
    slowest: float
    seconds: float
    said: str
    left: int


def roll_out(url: str, directory: Path, accounts: Sequence[Account], seconds: float) -> Rollout:
    """Migrate while clients write by the release before, which ends after it."""
    tree = release_before(directory)
    with (
        gunicorn_process(url, directory / "log", root=tree) as (base, _),
        Clients(base, accounts) as clients,
    ):
        started = time.monotonic()
        said = upgraded(url, seconds)
        taken = time.monotonic() - started
        clients.go_on()
    return Rollout(clients.statuses, clients.slowest, taken, said, left(url))


def upgraded(url: str, seconds: float) -> str:
    """What `flask db upgrade` of this release prints."""
    environment = {
        "PATH": os.environ["PATH"],
        "FLASK_SKIP_DOTENV": "1",
        "APP_ENV": "test",
        "DATABASE_URL": url,
        "JWT_SECRET": SECRET,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "flask", "db", "upgrade"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def left(url: str) -> int:
    """How many texts are not in NFC, as PostgreSQL sees it."""
    with opened(url) as cursor:
        cursor.execute(LEFT)
        return int(cursor.fetchone()[0])


def main(rows: int) -> None:
    """Roll out over so many rows, and say how that went."""
    users = max(CLIENTS, rows // 1000)
    with (
        throwaway() as cluster,
        own_database(cluster) as url,
        tempfile.TemporaryDirectory(prefix="tasks-api-composing-") as directory,
    ):
        migrate(url, SCHEMA_BEFORE)
        accounts = fill(url, rows, users)
        found = roll_out(url, Path(directory), accounts, seconds=24 * 3600)
        purged = create_app(settings_for(url)).test_cli_runner().invoke(args=["purge"])
        print(found.said)
        print(f"{rows} tasks of {users} users: {found.seconds:.1f} s")
        print(f"clients: {dict(found.statuses)}, the slowest answer after {found.slowest:.2f} s")
        print(f"not in NFC after the rollout: {found.left}, after a purge: {left(url)}")
        print(purged.output)


if __name__ == "__main__":
    main(int(sys.argv[1]))
