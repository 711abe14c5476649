"""Texts that the release before wrote come to be in NFC, and whoever keeps a copy learns of it."""

import shutil
from pathlib import Path
from typing import Any, Final
from unicodedata import normalize

import pytest

from app import create_app
from app.core.ids import new_id
from app.db.run import execute
from app.ops import composing
from tests.conftest import ROOT, Account, gunicorn_process, settings_for
from tests.databases import migrate, migrate_down, opened, own_database
from tests.test_migrations import endings, python, upgrading
from tests.traffic import Ask, Callers
from tests.walking import walk

pytestmark = pytest.mark.slow

ROWS, USERS, SCHEMA_BEFORE = 1200, 4, "0008"

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


def release_before(directory: Path) -> Path:
    """This release, but that it keeps texts as sent, as the one did before revision 0009."""
    tree = directory / "release before"
    without = shutil.ignore_patterns("__pycache__")
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
    return [Account(i, "", verifier.issue(i), application.test_client()) for i in ids]


def left(url: str) -> int:
    """How many texts are not in NFC, as PostgreSQL sees it."""
    with opened(url) as cursor:
        cursor.execute(LEFT)
        return int(cursor.fetchone()[0])


@pytest.fixture
def member(own_url: str) -> Account:
    """A user with 60 tasks and two categories, not all of which are in NFC."""
    [account] = fill(own_url, 60, 1)
    return account


def purge(account: Account) -> str:
    result = account.client.application.test_cli_runner().invoke(args=["purge"])
    assert result.exit_code == 0, result.output
    return result.stdout


def changes(account: Account, since: str | None = None) -> tuple[list[dict[str, Any]], str]:
    """All that changed since then, and the token to ask with the next time."""
    found = []
    while True:
        page = account.get("/v1/changes", query_string={"since": since} if since else {}).json
        found += page["items"]
        since = page["next_token"]
        if not page["has_more"]:
            return found, str(since)


def writing() -> list[Ask]:
    """What a client of the release before sends decomposed, and a look at it."""
    title = f"{DECOMPOSED} {new_id()}"
    task, changed = (
        f"/v1/tasks/{new_id()}",
        {"title": title, "description": f"{DECOMPOSED} at noon"},
    )
    return [
        ("PUT", task, {"title": title}),
        ("PUT", task, changed),
        ("POST", "/v1/categories", {"name": title}),
        ("GET", "/v1/tasks?limit=20", None),
    ]


@pytest.mark.longest
def test_an_upgrade_brings_all_texts_to_nfc_and_a_purge_fails_nobody_who_is_served_meanwhile(
    cluster: str, tmp_path: Path
) -> None:
    with own_database(cluster) as url:
        migrate(url, SCHEMA_BEFORE)
        accounts = fill(url, ROWS, USERS)
        before = left(url)
        tree = release_before(tmp_path)
        (said,) = endings(upgrading(url))
        with (
            gunicorn_process(url, tmp_path / "log", root=tree) as (base, _),
            Callers(base, accounts * 2, writing, pause=0.3) as callers,
        ):
            (_,) = endings(python(url, ROOT, "-m", "flask", "purge"))
            callers.goes_on()
        assert set(callers.statuses) == {200, 201}, callers.statuses
        assert said.count("another has its name, so (2)") == USERS
        assert before > ROWS / 2
        # What the release before went on to write, the next purge finds.
        application = create_app(settings_for(url))
        runner = application.test_cli_runner()
        assert runner.invoke(args=["purge"]).exit_code == 0
        assert left(url) == 0
        for account in accounts:
            me = Account(account.user_id, "", account.token, application.test_client())
            written = {t["id"] for t in walk(me, limit=200) if COMPOSED in t["title"]}
            found_by_q = {t["id"] for t in walk(me, q=DECOMPOSED.upper(), limit=200)}
            assert written <= found_by_q
            assert len(written) > ROWS / USERS / 2
            names = [c["name"] for c in walk(me, "/v1/categories", limit=200)]
            assert {COMPOSED, "CAFÉ (2)"} <= set(names)
            assert me.get("/v1/me").json["name"] == COMPOSED


def test_each_row_gets_a_version_of_its_own_and_clients_learn_of_it(member: Account) -> None:
    before, token = changes(member)
    purge(member)
    after, _ = changes(member, token)
    told = {item["id"] for item in after}
    kept = {item["id"] for item in before} - told
    assert [item["version"] for item in after] == sorted({item["version"] for item in after})
    was = {item["id"]: item["data"] for item in before if item["data"]}
    for item in after:
        if item["data"]:
            texts = [item["data"].get(field) or "" for field in ("title", "description", "name")]
            assert DECOMPOSED not in " ".join(texts)
            assert item["data"] | {"version": 0} != was[item["id"]] | {"version": 0}
    for row_id in kept:
        assert DECOMPOSED not in str(was.get(row_id))
    assert after
    assert kept


def test_doing_it_again_changes_nothing(member: Account, own_url: str) -> None:
    assert "brought to NFC" in purge(member)
    _, token = changes(member)
    assert "brought to NFC" not in purge(member)
    assert changes(member, token) == ([], token)
    migrate_down(own_url, SCHEMA_BEFORE)
    migrate(own_url)
    assert changes(member, token) == ([], token)
    assert left(own_url) == 0


def test_what_the_release_before_writes_later_is_found_by_the_next_time(
    member: Account, own_url: str
) -> None:
    purge(member)
    task = member.create_task()
    with opened(own_url) as cursor:
        cursor.execute(
            "update tasks set title = %s where user_id = %s and id = %s",
            (DECOMPOSED, member.user_id, task["id"]),
        )
    assert "tasks brought to NFC: 1\n" in purge(member)
    after = member.get(f"/v1/tasks/{task['id']}").json
    assert (after["title"], after["version"]) == (COMPOSED, task["version"] + 1)


def test_what_would_be_too_long_stays_as_it_is_and_is_counted(
    member: Account, own_url: str
) -> None:
    purge(member)
    task, grows = member.create_task(), "\ufb2c" * 200
    with opened(own_url) as cursor:
        cursor.execute(
            "update tasks set title = %s where user_id = %s and id = %s",
            (grows, member.user_id, task["id"]),
        )
    assert "left as they are, too long in NFC: 1\n" in purge(member)
    assert member.get(f"/v1/tasks/{task['id']}").json == {**task, "title": grows}
    with opened(own_url) as cursor:
        cursor.execute("delete from tasks where id = %s", (task["id"],))


def test_a_category_that_has_to_give_way_keeps_a_name_that_fits_and_is_told_of(
    member: Account, own_url: str
) -> None:
    purge(member)
    name = "é" * 97
    member.create_category(name=name)
    member.create_category(name=f"{'é' * 96} (2)")
    late = member.create_category(name="x")
    with opened(own_url) as cursor:
        cursor.execute(
            "update categories set name = %s where user_id = %s and id = %s",
            ("é" * 96 + "e\u0301", member.user_id, late["id"]),
        )
        said = purge(member)
        path = f"/v1/categories/{late['id']}"
        assert member.get(path).json["name"] == f"{'é' * 96} (3)"
        assert f"category {late['id']} of user {member.user_id}: another has its name" in said
        assert "é" not in said


def test_a_category_for_which_no_name_is_free_stays_as_it_is(
    member: Account, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    purge(member)
    monkeypatch.setattr(composing, "MOST_NAMESAKES", 0)
    member.create_category(name="Tax\u00e9")
    late = member.create_category(name="x")
    with opened(own_url) as cursor:
        cursor.execute(
            "update categories set name = %s where user_id = %s and id = %s",
            ("Taxe\u0301", member.user_id, late["id"]),
        )
        assert "categories brought to NFC" not in purge(member)
        assert member.get(f"/v1/categories/{late['id']}").json["name"] == "Taxe\u0301"
        cursor.execute("delete from categories where id = %s", (late["id"],))


def test_a_row_that_is_written_meanwhile_is_left_to_the_next_time(member: Account) -> None:
    written: list[str] = []

    def run(scope: Any, statement: Any, **parameters: Any) -> Any:
        rows = execute(scope, statement, **parameters)
        if statement is composing.PENDING["tasks"] and rows and not written:
            written.append(rows[0].id)
            path = f"/v1/tasks/{rows[0].id}"
            assert member.patch(path, json={"title": "Written meanwhile"}).status_code in {200, 404}
        return rows

    with member.client.application.app_context():
        list(composing.compose(run))
    task = member.get(f"/v1/tasks/{written[0]}")
    assert task.status_code == 404 or task.json["title"] == "Written meanwhile"


def test_the_bounds_of_what_a_user_stores_follow(member: Account, own_url: str) -> None:
    member.create_task()  # which counts the user for the first time

    def used() -> int:
        return member.get("/v1/me").json["usage"]["bytes"]

    def stored() -> int:
        with opened(own_url) as cursor:
            cursor.execute(
                "select (select sum(octet_length(title) + coalesce(octet_length(description), 0))"
                " from tasks where user_id = %(me)s)"
                " + (select sum(octet_length(name)) from categories where user_id = %(me)s)",
                {"me": member.user_id},
            )
            return int(cursor.fetchone()[0])

    before = used() - stored()
    purge(member)
    assert used() - stored() == before
