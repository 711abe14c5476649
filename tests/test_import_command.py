"""`flask import`: what it does in an account, prints and exits with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from click.testing import Result

from app import create_app
from app.api.transfer import progress
from tests.conftest import Account, settings_for
from tests.test_commands import refused
from tests.test_moving_in import moved, takeout, titles
from tests.walking import walk

Run = Callable[..., Result]


@pytest.fixture
def run(app: APIFlask) -> Run:
    """Runs `flask import` with these arguments."""
    runner = app.test_cli_runner()
    return lambda *arguments, **options: runner.invoke(args=["import", *arguments], **options)


@pytest.fixture
def path(tmp_path: Path) -> Callable[[bytes], str]:
    """Returns the path of a file with this content."""

    def write(data: bytes) -> str:
        (tmp_path / "file").write_bytes(data)
        return str(tmp_path / "file")

    return write


def into(account: Account, form: str = "google") -> list[str]:
    """Arguments for an import into an account."""
    return ["--email", account.email, "--format", form]


def test_a_file_is_imported_as_by_the_api(
    run: Run, alice: Account, path: Callable[[bytes], str]
) -> None:
    data = takeout({"title": "a", "parent": "nobody"}, {"title": "b"})
    done = run(*into(alice), path(data))
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "created: 3",
        "updated: 0",
        "unchanged: 0",
        "refused: 0",
        "lost, line 1: parent: The parent is not in the file.",
    ]
    assert set(titles(alice)) == {"a", "b"}
    assert moved(alice, data)["unchanged"] == 2


def test_a_file_comes_from_the_standard_input_too(run: Run, alice: Account) -> None:
    done = run(*into(alice), "-", input=takeout({"title": "a"}))
    assert done.exit_code == 0, done.output
    assert set(titles(alice)) == {"a"}


def test_the_name_and_the_time_zone_are_those_of_the_options(
    run: Run, alice: Account, path: Callable[[bytes], str]
) -> None:
    data = b"TYPE,CONTENT,PRIORITY,INDENT,DATE\ntask,Prune,1,1,2027-03-01T09:00\n"
    options = ["--name", "Garden.csv", "--time-zone", "Asia/Tokyo"]
    assert run(*into(alice, "todoist"), *options, path(data)).exit_code == 0
    assert titles(alice)["Prune"]["due_at"] == "2027-03-01T00:00:00Z"
    assert [each["name"] for each in walk(alice, "/v1/categories")] == ["Garden"]


def test_a_dry_run_prints_the_report_of_the_api_and_writes_nothing(
    run: Run, alice: Account, path: Callable[[bytes], str]
) -> None:
    data = takeout({"title": "a", "due": "no day"})
    done = run(*into(alice), "--dry-run", "--json", path(data))
    assert done.exit_code == 0
    assert walk(alice) == []
    assert json.loads(done.stdout) == moved(alice, data)


def test_an_export_of_this_service_is_imported_and_refusals_are_an_exit_status(
    run: Run, alice: Account, bob: Account, path: Callable[[bytes], str]
) -> None:
    alice.create_task(title="Mine")
    exported = alice.get("/v1/export").data
    tried = run(*into(bob, "jsonl"), "--dry-run", path(exported))
    assert walk(bob) == []
    done = run(*into(bob, "jsonl"), path(exported))
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    assert (tried.exit_code, tried.stdout) == (0, done.stdout)
    assert set(titles(bob)) == {"Mine"}
    done = run(*into(bob, "jsonl"), path(b'{"type": "task", "data": {}}\n'))
    assert (done.exit_code, done.stderr) == (1, "")
    assert "refused: 1" in done.stdout.splitlines()
    assert "refused, line 1: /data/id Field required" in done.stdout.splitlines()


def test_a_file_of_another_kind_is_told_in_one_line(
    run: Run, alice: Account, path: Callable[[bytes], str]
) -> None:
    line = refused(run(*into(alice), path(b"{")))
    assert line.startswith("Error: the file cannot be used: ")
    assert "UTF-16" in refused(run(*into(alice, "jsonl"), path("{}".encode("utf-16"))))
    unknown = run("--email", "nobody@example.com", "--format", "google", path(takeout()))
    assert "no account" in refused(unknown)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "outlook"], "--format"),
        (["--format", "google", "--time-zone", "Mars"], "--time-zone"),
        (["--format", "google", "--name", " "], "--name"),
        (["--format", "jsonl", "--time-zone", "UTC"], "--time-zone is for files of other apps"),
        (["--format", "jsonl", "--name", "x"], "--name is for files of other apps"),
    ],
)
def test_wrong_options_exit_with_2(
    run: Run, alice: Account, path: Callable[[bytes], str], options: list[str], said: str
) -> None:
    done = run("--email", alice.email, *options, path(takeout({"title": "a"})))
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert walk(alice) == []


def test_a_file_that_is_not_there_exits_with_2(run: Run, alice: Account, tmp_path: Path) -> None:
    assert run(*into(alice), str(tmp_path / "none")).exit_code == 2


def test_no_limit_of_requests_applies(
    database_url: str,
    alice: Account,
    path: Callable[[bytes], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "LONGEST_SECONDS", -1.0)
    application = create_app(settings_for(database_url, RATELIMIT_PER_USER="1"))
    data = takeout(*({"title": f"{number}"} for number in range(900)))
    arguments: list[Any] = ["import", *into(alice), path(data)]
    done = application.test_cli_runner().invoke(args=arguments)
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "created: 901")


def test_a_full_account_is_told_in_one_line_and_keeps_what_is_written(
    database_url: str, alice: Account, path: Callable[[bytes], str]
) -> None:
    application = create_app(settings_for(database_url, QUOTA_ROWS="300"))
    data = takeout(*({"title": f"{number}"} for number in range(900)))
    runner = application.test_cli_runner()
    line = refused(runner.invoke(args=["import", *into(alice), path(data)]))
    assert line.startswith("Error: the user has reached the storage quota (it came to line ")
    assert len(walk(alice)) == 299, "and a category"


def test_what_a_terminal_would_obey_is_not_printed(
    run: Run, alice: Account, path: Callable[[bytes], str]
) -> None:
    done = run(*into(alice), path(takeout({"title": "a", "due": "\x1b]0;evil\x07"})))
    assert done.exit_code == 0
    assert "evil" in done.stdout
    assert done.stdout.replace("\n", "").isprintable()
