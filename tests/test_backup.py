"""The drill of docs/operations/backup.md, as it is written: what comes back is what there was."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from apiflask import APIFlask

from app import create_app
from app.db.base import db
from tests.conftest import PASSWORD, ROOT, SECRET, Account, settings_for
from tests.databases import migrate, opened, own_database
from tests.instances import served_here
from tests.rig.cluster import Cluster

pytestmark = pytest.mark.slow

BLOCKS = re.findall(
    r"^```sh\n(.*?)^```", (ROOT / "docs" / "operations" / "backup.md").read_text(), re.M | re.S
)
BACK_UP, RESTORE, TELL, EXPORT, DUMP_ONE, RESTORE_ONE = BLOCKS
CONTENT = ("categories", "labels", "tasks", "task_labels", "task_reminders")
TABLES = ("users", *CONTENT, "refresh_tokens", "personal_access_tokens")


Run = Callable[..., str]


class Drill(NamedTuple):
    """What was backed up and restored, and what each table held then, before and after."""

    lost: str
    new: str
    grace: Account
    ada: Account
    later: dict[str, Any]
    tables: dict[str, tuple[list[Any], list[Any]]]


@pytest.fixture(scope="module")
def run(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs commands of the document, with the server's own programs."""
    directory = tmp_path_factory.mktemp("backup")
    environment = {
        "PATH": f"{Cluster(cluster).programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(directory),
        "BACKUP": str(directory),
        "FLASK_SKIP_DOTENV": "1",
        "APP_ENV": "test",
        "JWT_SECRET": SECRET,
    }

    def execute(script: str, status: int = 0, **variables: str) -> str:
        script = script.replace("python -m", f"{shlex.quote(sys.executable)} -m")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=ROOT,
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    return execute


@pytest.fixture(scope="module")
def drill(cluster: str, run: Run) -> Iterator[Drill]:
    """A database of two people, backed up, and restored into an empty one."""
    with own_database(cluster) as lost, own_database(cluster) as new:
        migrate(lost)
        application = create_app(settings_for(lost))
        grace = person(application, "grace@example.com")
        ada = person(application, "ada@example.com")
        before = {table: rows(lost, table) for table in TABLES}
        run(BACK_UP, OWNER_URL=lost)
        later = grace.create_task(title="Written after the backup")
        run(RESTORE, NEW_URL=new)
        tables = {table: (before[table], rows(new, table)) for table in TABLES}
        yield Drill(lost, new, grace, ada, later, tables)
        close(application)


def person(application: APIFlask, email: str) -> Account:
    client = application.test_client()
    registration = {"email": email, "password": PASSWORD}
    user_id = client.post("/v1/auth/register", json=registration).json["id"]
    token = application.extensions["token_verifier"].issue(user_id)
    account = Account(user_id, email, token, client)
    category = account.create_category(name="Zuhause, élan, 家")["id"]
    task = account.create_task(
        category_id=category,
        description='a "quoted"\\\ttext\n',
        priority="high",
        due_date="2099-01-31",
        recurrence={"rule": "FREQ=WEEKLY"},
        reminders=[{"days_before": 1, "time": "18:00"}],
        label_ids=[account.create_label()["id"]],
    )
    account.create_task(parent_id=task["id"])
    account.create_token()
    client.post("/v1/auth/token", json=registration)
    deleted = account.create_task(due_at="2027-03-01T09:00:00Z")["id"]
    assert account.delete(f"/v1/tasks/{deleted}").status_code == 204
    return account


def close(application: APIFlask) -> None:
    with application.app_context():
        db.engine.dispose()


def rows(url: str, table: str, user_id: str | None = None) -> list[Any]:
    """All of a table, or one user's."""
    owner = "id" if table == "users" else "user_id"
    with opened(url) as cursor:
        cursor.execute(
            f"select to_jsonb(t)::text from {table} t where %s is null or {owner} = %s order by 1",
            (user_id, user_id),
        )
        return [json.loads(row) for (row,) in cursor.fetchall()]


def test_all_data_is_restored_as_it_was(drill: Drill) -> None:
    for before, after in drill.tables.values():
        assert before == after != []


def test_the_service_goes_on_with_what_was_restored(drill: Drill) -> None:
    application = create_app(settings_for(drill.new))
    restored = drill.ada._replace(client=application.test_client())
    assert restored.client.get("/health/db").json["revision"]["up_to_date"]
    credentials = {"email": drill.ada.email, "password": PASSWORD}
    assert restored.client.post("/v1/auth/token", json=credentials).status_code == 200
    assert len(restored.get("/v1/tasks").json["items"]) == 2
    assert len(restored.get("/v1/reminders").json["items"]) == 1
    close(application)


def test_after_a_restore_no_client_goes_on_with_what_it_had(run: Run, drill: Drill) -> None:
    known = drill.grace.get("/v1/changes").json["next_token"]
    run(TELL, NEW_URL=drill.new)
    application = create_app(settings_for(drill.new))
    restored = drill.grace._replace(client=application.test_client())
    again = restored.create_task(title="Another, which would have had the same version")
    assert restored.get(f"/v1/changes?since={known}").status_code == 410
    assert restored.get("/v1/changes").status_code == 200
    assert again["version"] > drill.later["version"]
    close(application)


def test_a_dump_by_a_role_that_is_held_to_the_policies_fails(run: Run, drill: Drill) -> None:
    held = BACK_UP.replace("--data-only", "--data-only --role=tasks_app --table=tasks", 1)
    held = held.replace("/tasks.dump", "/held.dump")
    assert "row-level security" in run(held, status=1, OWNER_URL=drill.lost)


def test_the_dump_of_one_user_holds_all_of_theirs_and_nothing_else(
    run: Run, drill: Drill, cluster: str
) -> None:
    ada = drill.ada.user_id
    run(DUMP_ONE, OWNER_URL=drill.lost, USER_ID=ada)
    with own_database(cluster) as empty:
        migrate(empty)
        run(RESTORE_ONE, NEW_URL=empty)
        for table in CONTENT:
            assert rows(empty, table) == rows(drill.lost, table, ada) != []
        (user,), (before,) = rows(empty, "users"), rows(drill.lost, "users", ada)
        uncounted = {"used_rows": 0, "used_bytes": 0, "counted_at": None}
        assert user == {**before, "password_hash": "none", **uncounted}


def test_what_a_user_lost_is_given_back_from_a_restored_backup(run: Run, drill: Drill) -> None:
    (task,) = [each for each in drill.ada.get("/v1/tasks").json["items"] if each["recurrence"]]
    drill.ada.delete(f"/v1/tasks/{task['id']}")
    with served_here(drill.new) as old, served_here(drill.lost) as now:
        addresses = {"OLD_API": old, "API": now, "OLD_URL": drill.new, "NOW_URL": drill.lost}
        report = json.loads(run(EXPORT, EMAIL=drill.ada.email, **addresses))
    assert (report["created"], report["unchanged"], report["complete"]) == (2, 3, True)
    again = drill.ada.get(f"/v1/tasks/{task['id']}").json
    assert again["version"] > task["version"]
    changed = {name: again[name] for name in ("version", "updated_at")}
    assert again == {**task, **changed}
