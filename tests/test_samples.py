"""The code samples of the contract: each is run as it is shown, against the service."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from apiflask import APIFlask

from app.api.kinds import KINDS
from app.api.tasks.actions import SNOOZED, WEEKLY
from app.api.tasks.kind import TASK
from app.api.transfer.schemas import EXAMPLE
from app.core.ids import new_id
from app.web.openapi.conventions import CONFIRMING
from app.web.response import JSON
from tests.answers import form
from tests.conftest import PASSWORD, Account
from tests.mailbox import Mailbox
from tests.people import give_password
from tests.rig.programs import need

EMAIL = "alice@example.com"
LABELS = ["curl", "Python", "TypeScript"]

SENDS = r'-X (\w+)|httpx\.request\(\s*"(\w+)"|httpx\.(\w+)\(|method: "(\w+)"'
"""How a sample names its method."""

TO_COME = "2099-01-31T08:30:00Z"
"""Where samples show an instant that may be past."""

SHOWN = {
    "list_tasks": {"tasks": "Task"},
    "list_categories": {"categories": "Category"},
    "list_labels": {"labels": "Label"},
    "get_changes": {"tasks": "Task", "categories": "Category"},
    "list_trash": {"categories": "Category", "tasks": "Task"},
}
"""The rows that the answers of these operations show, in the order in which they are made."""


class Sample(NamedTuple):
    """A sample, made ready to be run."""

    name: str
    source: str
    token: str


@pytest.fixture(scope="module")
def document(app: APIFlask) -> dict[str, Any]:
    return app.test_client().get("/openapi.json").json


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


@pytest.fixture(scope="module")
def api(server: str) -> Iterator[httpx.Client]:
    """One client for all, as to make one takes longer than to send a request."""
    with httpx.Client(base_url=server, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def email(api: httpx.Client) -> str:
    """The address of an account that can sign in."""
    address = f"{new_id()}@example.com"
    body = {"email": address, "password": PASSWORD}
    api.post("/v1/auth/register", json=body).raise_for_status()
    return address


@pytest.fixture
def samples(
    app: APIFlask,
    document: dict[str, Any],
    api: httpx.Client,
    email: str,
    auth: Callable[[], Account],
    connection: Any,
    tmp_path: Path,
) -> Callable[[str], list[Sample]]:
    """The samples in a language, each for an account that has what it asks for."""
    (tmp_path / "export.jsonl").write_text(EXAMPLE)

    def ready(label: str) -> list[Sample]:
        found = []
        for path, _, operation in operations(document):
            account, name = auth(), operation["operationId"]
            if "session" in name or name == "change_password":
                give_password(connection, account)
                sign_in_to(api, account.email)
            if name in {"get_me", "update_me"}:
                verify(connection, account)
            api.headers["Authorization"] = f"Bearer {account.token}"
            source = next(s["source"] for s in operation["x-codeSamples"] if s["label"] == label)
            if name in CONFIRMING:
                real = link(api, document, name, Mailbox(app, connection, account.email))
            elif path.startswith("/v1/auth/"):
                real = credentials(api, document, name, email)
            else:
                real = replacements(api, document, name, path)
            for shown, value in real.items():
                source = source.replace(shown, value)
            found.append(Sample(name, source, account.token))
        return found

    return ready


def verify(connection: Any, account: Account) -> None:
    """Let the account be as it is once the link of a mail has been followed."""
    with connection.cursor() as cursor:
        sql = "update users set email_verified = true where id = %s"
        cursor.execute(sql, (account.user_id,))


def replacements(
    api: httpx.Client, document: dict[str, Any], name: str, path: str
) -> dict[str, str]:
    """Makes what the sample is about; what it shows, and what stands there for this account."""
    fill(api, document, name)
    if name == "update_me":
        return {'"7"': api.get("/v1/me").headers["ETag"]}
    if name == "end_session":
        [session] = api.get("/v1/sessions").json()["items"]
        return {example(document, "Session")["id"]: session["id"]}
    if "{token_id}" in path:
        body = {"name": "A script", "scopes": ["tasks:read"]}
        return {example(document, "Token")["id"]: api.post("/v1/tokens", json=body).json()["id"]}
    if "{webhook_id}" in path:
        made = api.post("/v1/webhooks", json=example(document, "WebhookCreate")).raise_for_status()
        return {example(document, "Webhook")["id"]: made.json()["id"], '"7"': made.headers["ETag"]}
    if "{" not in path or name.startswith("replace_"):
        return {}
    kinds = [kind for kind in KINDS.values() if f"{{{kind.name}_id}}" in path] or [TASK]
    for kind in reversed(kinds):  # a task's labels before the task
        place = f"/v1/{kind.plural}/{kind.example['id']}"
        body = example(document, kind.replace.__name__)
        if name in {"skip_occurrence", "get_occurrences"}:
            body = body | {"recurrence": WEEKLY}
        made = api.put(place, json=body).raise_for_status()
    if name.startswith(("restore_", "erase_")):
        api.delete(place).raise_for_status()
    return {'"7"': made.headers["ETag"], SNOOZED["snoozed_until"]: TO_COME}


def fill(api: httpx.Client, document: dict[str, Any], name: str) -> None:
    """Makes what the answer of an operation without an id shows."""
    if name == "get_me":
        api.patch("/v1/me", json=example(document, "UserPatch")).raise_for_status()
    if name == "list_tokens":
        api.post("/v1/tokens", json=example(document, "TokenCreate")).raise_for_status()
    if name == "list_webhooks":
        body = example(document, "WebhookCreate")
        api.post("/v1/webhooks", json=body).raise_for_status()
    if name == "list_reminders":
        body = {**example(document, "TaskReplace"), "reminders": [{"at": TO_COME}]}
        api.put(f"/v1/tasks/{TASK.example['id']}", json=body).raise_for_status()
    for plural, kind in SHOWN.get(name, {}).items():
        place = f"/v1/{plural}/{example(document, kind)['id']}"
        api.put(place, json=example(document, f"{kind}Replace")).raise_for_status()
        if name == "list_trash" or (name, kind) == ("get_changes", "Category"):
            api.delete(place).raise_for_status()


def credentials(
    api: httpx.Client, document: dict[str, Any], name: str, email: str
) -> dict[str, str]:
    """What the samples of signing up, in and out show, and what stands there."""
    if name == "register_account":
        return {EMAIL: f"{new_id()}@example.com"}
    if name in {"sign_in", "request_password_reset"}:
        return {EMAIL: email}
    pair = sign_in_to(api, email)
    return {example(document, "RefreshRequest")["refresh_token"]: pair["refresh_token"]}


def link(
    api: httpx.Client, document: dict[str, Any], name: str, mailbox: Mailbox
) -> dict[str, str]:
    """What the samples of using a link show, and a token that was sent."""
    if name == "confirm_email":
        shown = example(document, "Confirmation")["token"]
        api.post("/v1/me/email-verification").raise_for_status()
    else:
        shown = example(document, "NewPassword")["token"]
        api.post("/v1/auth/password-reset", json={"email": mailbox.address}).raise_for_status()
    return {shown: mailbox.token}


def sign_in_to(api: httpx.Client, email: str) -> dict[str, str]:
    """The pair of tokens of a new session."""
    body = {"email": email, "password": PASSWORD}
    pair: dict[str, str] = api.post("/v1/auth/token", json=body).raise_for_status().json()
    return pair


def example(document: dict[str, Any], schema: str) -> dict[str, Any]:
    return document["components"]["schemas"][schema]["examples"][0]


def documented(document: dict[str, Any]) -> dict[str, dict[int, Any]]:
    """The example of each successful answer in JSON, by the operation's name and the status."""
    found: dict[str, dict[int, Any]] = {}
    for _, _, operation in operations(document):
        answers = found.setdefault(operation["operationId"], {})
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                content = response.get("content", {}).get(JSON)
                answers[int(status)] = answer_example(document, content) if content else None
    return found


def answer_example(document: dict[str, Any], content: dict[str, Any]) -> Any:
    """The first example of a media type: its own, or that of its schema."""
    if "example" in content:
        return content["example"]
    if "examples" in content:
        return next(iter(content["examples"].values()))["value"]
    return example(document, content["schema"]["$ref"].rsplit("/", 1)[-1])


@pytest.mark.parametrize("label", LABELS)
def test_each_operation_has_a_sample_of_its_own_that_names_no_host(
    document: dict[str, Any], label: str
) -> None:
    sources = [
        sample["source"]
        for _, _, operation in operations(document)
        for sample in operation["x-codeSamples"]
        if sample["label"] == label
    ]
    assert len(set(sources)) == len(sources) == len(list(operations(document)))
    named = [source.replace(example(document, "Webhook")["url"], "") for source in sources]
    assert not [source for source in named if "://" in source]


def test_a_sample_sends_the_method_and_the_path_of_its_operation(
    document: dict[str, Any],
) -> None:
    for path, method, operation in operations(document):
        for sample in operation["x-codeSamples"]:
            place = re.sub(r"\\{\w+\\}", "[0-9a-f-]{36}", re.escape(path))
            assert re.search(rf"API\b}}?{place}[\"?`]", sample["source"]), sample
            named = re.search(SENDS, sample["source"])
            sent = next(filter(None, named.groups())) if named else "get"
            with_body = sample["label"] == "curl" and " -d " in sample["source"]
            assert sent.lower() == method or (with_body and not named and method == "post"), sample


def test_every_sample_in_the_shell_succeeds(
    samples: Callable[[str], list[Sample]], server: str, tmp_path: Path
) -> None:
    need("curl")
    need("openssl")
    script = 'curl() { command curl --silent --show-error --fail-with-body "$@" >answer; }\n'
    for sample in samples("curl"):
        token = f"export TOKEN={shlex.quote(sample.token)}\n"
        script += f"(\n{token}{sample.source}\n) || {{ echo {sample.name}; cat answer; }}\n"
    environment = {**os.environ, "API": server}
    ran = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert (ran.stdout, ran.stderr) == ("", "")


def test_every_sample_in_python_is_answered_as_the_contract_shows(
    samples: Callable[[str], list[Sample]],
    document: dict[str, Any],
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API", server)
    context = httpx.create_ssl_context()
    monkeypatch.setattr("httpx._transports.default.create_ssl_context", lambda *_, **__: context)
    shown = documented(document)
    for sample in samples("Python"):
        monkeypatch.setenv("TOKEN", sample.token)
        (tmp_path / "export.jsonl").write_text(EXAMPLE)  # which an export has overwritten
        names: dict[str, Any] = {}
        exec(compile(sample.source, sample.name, "exec"), names)
        response: httpx.Response = names["response"]
        assert response.is_success, sample.name
        answer = response.json() if response.headers.get("Content-Type") == JSON else None
        examples = shown[sample.name]
        assert response.status_code in examples, sample.name
        example = examples[response.status_code]
        assert (sample.name, form(answer)) == (sample.name, form(example))


def test_what_follows_a_token_of_changes_is_as_the_contract_shows(
    document: dict[str, Any], api: httpx.Client, alice: Account
) -> None:
    api.headers["Authorization"] = f"Bearer {alice.token}"
    fill(api, document, "list_categories")
    token = api.get("/v1/changes").json()["next_token"]
    fill(api, document, "get_changes")
    answer = api.get("/v1/changes", params={"since": token}).json()
    content = document["paths"]["/v1/changes"]["get"]["responses"]["200"]["content"][JSON]
    assert form(answer) == form(content["examples"]["next"]["value"])


def test_no_example_says_what_a_generator_makes_up(document: dict[str, Any]) -> None:
    found = [text for answers in documented(document).values() for text in leaves(answers)]
    found += [
        text
        for response in document["components"]["responses"].values()
        for text in leaves(response["content"]["application/problem+json"]["examples"])
    ]
    assert len(found) > 300
    assert not {"string", "", "additionalProp1"} & {text for text in found if isinstance(text, str)}


def leaves(value: Any) -> list[Any]:
    """The values in a document that are neither objects nor arrays."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [leaf for each in inner for leaf in leaves(each)]
    return [value]


def test_every_sample_in_typescript_succeeds(
    samples: Callable[[str], list[Sample]], server: str, tmp_path: Path
) -> None:
    node = need("node")
    ready = samples("TypeScript")
    for sample in ready:
        (tmp_path / f"{sample.name}.mjs").write_text(sample.source)
    tokens = json.dumps({sample.name: sample.token for sample in ready})
    (tmp_path / "all.mjs").write_text(f"""
        import {{ webcrypto }} from "node:crypto";
        globalThis.crypto ??= webcrypto;
        for (const [name, token] of Object.entries({tokens})) {{
            process.env.TOKEN = token;
            await import(`./${{name}}.mjs`).catch((error) => console.error(name, error));
        }}
    """)
    environment = {**os.environ, "API": server}
    ran = subprocess.run(
        [node, "all.mjs"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert ran.stderr == ""
    assert ran.returncode == 0
