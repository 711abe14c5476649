"""The chapters of the contract: their examples are run in their order, as one reads them."""

import json
import os
import re
import subprocess
from typing import Any, NamedTuple

import pytest

from app.core.ids import new_id
from app.core.principal import PERMISSIONS
from app.rows.restoring import KEPT_DAYS
from app.web.cursors import MAX_LIMIT
from app.web.openapi.document import DESCRIPTION
from app.web.sign_in_limits import FAILED_SIGN_INS
from tests.conftest import Account
from tests.rig.programs import need

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
KEEP_TOKEN = r"""export TOKEN="${TOKEN:-$(sed -n 's/.*"access_token":"\([^"]*\)".*/\1/p' answer)}"
"""
PLACEHOLDERS = ("TOKEN=…", "API=http")


class Answer(NamedTuple):
    """An answer as a chapter shows it or as curl prints it."""

    status: int
    headers: dict[str, str]
    body: Any


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall(DESCRIPTION)


def parsed(text: str) -> Answer:
    """An answer with a status line."""
    head, _, body = text.replace("\r", "").partition("\n\n")
    first, *lines = head.splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    return Answer(int(first.split()[1]), headers, json.loads(body) if body.strip() else None)


@pytest.fixture(scope="module")
def answers(server: str, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Answer, Answer]]:
    """What the chapters show after each example, and the last answer that it really has."""
    need("curl")
    directory = tmp_path_factory.mktemp("chapters")
    script = 'curl() { command curl -sS -i "$@" >answer; }\n'
    shown = []
    for language, text in blocks():
        if language == "sh" and not any(mark in text for mark in PLACEHOLDERS):
            script += f"{text}\ncp answer {len(shown)}\n"
            script += KEEP_TOKEN
        elif language == "http" and text.startswith("HTTP"):
            shown.append(parsed(text))
    script = script.replace("alice@example.com", f"{new_id()}@example.com")
    environment = {**os.environ, "API": server}
    ran = subprocess.run(
        ["bash", "-euc", script],
        cwd=directory, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.stderr == ""
    real = [parsed((directory / str(number)).read_text()) for number in range(len(shown))]
    return list(zip(shown, real, strict=True))


def admits(shown: Any, real: Any) -> bool:
    """Whether the chapter shows what the answer has; what it leaves empty may hold anything."""
    if isinstance(shown, dict) and isinstance(real, dict):
        return not shown or (
            shown.keys() == real.keys() and all(admits(shown[n], real[n]) for n in shown)
        )
    if isinstance(shown, list) and isinstance(real, list):
        pairs = zip(shown, real, strict=False)
        return not shown or (bool(real) and all(admits(s, r) for s, r in pairs))
    return True


def test_every_example_is_answered_as_the_chapters_show(
    answers: list[tuple[Answer, Answer]],
) -> None:
    assert len(answers) > 6
    for shown, real in answers:
        assert shown.status == real.status, (shown, real)
        assert shown.headers.keys() <= real.headers.keys(), (shown, real)
        for name in ("Content-Type", "Idempotency-Replayed"):
            assert shown.headers.get(name) in {None, real.headers.get(name)}, (shown, real)
        if shown.body is not None:
            assert admits(shown.body, real.body), (shown, real)


def test_the_problem_that_is_shown_is_the_one_that_is_answered(
    answers: list[tuple[Answer, Answer]],
) -> None:
    ((shown, real),) = [pair for pair in answers if pair[0].status == 422]
    assert {**shown.body, "instance": None} == {**real.body, "instance": None}


def test_the_walk_in_python_prints_every_title_that_there_is(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], alice: Account
) -> None:
    for number in range(3):
        alice.create_task(title=f"Task {number}")
    (source,) = [text for language, text in blocks() if language == "python"]
    monkeypatch.setenv("API", server)
    monkeypatch.setenv("TOKEN", alice.token)
    exec(compile(source.replace('"limit": 200', '"limit": 2'), "pagination", "exec"), {})
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Task")]
    assert sorted(printed) == ["Task 0", "Task 1", "Task 2"]


def test_the_figures_of_the_chapters_are_those_of_the_code() -> None:
    figures = dict(re.findall(r"^\| ([^|]+) \| ([\d, ]+)\D*\|$", DESCRIPTION, re.M))
    assert figures["Items on a page"].strip() == str(MAX_LIMIT)
    assert figures["Days in the trash"].strip() == str(KEPT_DAYS)
    assert f"for {KEPT_DAYS} days" in DESCRIPTION
    assert FAILED_SIGN_INS.amount == 10
    scopes = re.findall(r"^\| `([a-z:]+)` \|", DESCRIPTION, re.M)
    assert tuple(scopes) == PERMISSIONS
