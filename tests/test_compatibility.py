"""Clients of the last release go on working: what would break them is found, and nothing else."""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from hypothesis import given
from hypothesis import strategies as st

from tests.compatibility import KEPT, REPLACED, TIGHTENED, breaks, main, major, released
from tests.conftest import ROOT

Document = dict[str, Any]
Edit = Callable[[Document], object]

TASKS = "/v1/tasks"
ONE = "/v1/tasks/{task_id}"
EDITED = (TASKS, ONE, "/v1/categories", "/v1/batch", "/v1/export", "/health")


@pytest.fixture(scope="module")
def document(app: APIFlask) -> Document:
    return app.test_client().get("/openapi.json").json


@pytest.fixture(scope="module")
def excerpt(document: Document) -> Document:
    """As much of it as the tests edit, which is sooner compared."""
    paths = {path: document["paths"][path] for path in EDITED}
    return {**document, "paths": paths}


def edited(document: Document, edit: Edit) -> Document:
    copy = deepcopy(document)
    edit(copy)
    return copy


def members(document: Document, schema: str) -> Document:
    return document["components"]["schemas"][schema]["properties"]


def parameter(document: Document, name: str) -> Document:
    return next(p for p in document["paths"][TASKS]["get"]["parameters"] if p.get("name") == name)


def test_nothing_breaks_the_clients_of_the_last_release(document: Document) -> None:
    if major(document) == major(released()):
        assert breaks(released(), document) == []


def test_the_document_that_is_kept_is_that_of_the_last_release() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changes, re.M)
    assert released()["info"]["version"] == versions[0]


BREAKING: dict[str, Edit] = {
    "is gone": lambda d: d["paths"].pop(ONE),
    "GET /v1/tasks: is gone": lambda d: d["paths"][TASKS].pop("get"),
    "is called get_tasks": lambda d: d["paths"][TASKS]["get"].update(operationId="get_tasks"),
    "needs authorization": lambda d: d["paths"]["/health"]["get"].update(security=[{"bearer": []}]),
    "needs the scope account": lambda d: d["paths"][TASKS]["get"].update(
        security=[{"bearer": ["account"]}]
    ),
    "query q is not taken any more": lambda d: d["paths"][TASKS]["get"]["parameters"].remove(
        parameter(d, "q")
    ),
    "query q is required now": lambda d: parameter(d, "q").update(required=True),
    "query limit has the new maximum 100": lambda d: parameter(d, "limit")["schema"].update(
        maximum=100
    ),
    "query sort may be ['-title']": lambda d: d["components"]["schemas"]["TaskOrder"][
        "enum"
    ].remove("-title"),
    "the body is required now": lambda d: d["paths"][ONE]["delete"].update(
        requestBody={"required": True, "content": {}}
    ),
    "body is not application/merge-patch+json any more": lambda d: d["paths"][ONE]["patch"][
        "requestBody"
    ]["content"].pop("application/merge-patch+json"),
    "body/color is not known any more": lambda d: members(d, "CategoryCreate").pop("color"),
    "body/color may be absent, and is required": lambda d: d["components"]["schemas"][
        "CategoryCreate"
    ]["required"].append("color"),
    "body/title has the new maxLength 100": lambda d: members(d, "TaskCreate")["title"].update(
        maxLength=100
    ),
    "body/title has the new minLength 2": lambda d: members(d, "TaskCreate")["title"].update(
        minLength=2
    ),
    "body/name has the new pattern x": lambda d: members(d, "CategoryCreate")["name"].update(
        pattern="x"
    ),
    "body/priority may be ['high'], which": lambda d: d["components"]["schemas"]["Priority"][
        "enum"
    ].remove("high"),
    "body/complete may be boolean": lambda d: members(d, "TaskCreate").update(
        complete={"type": "string"}
    ),
    "body/description may be null": lambda d: members(d, "TaskCreate")["description"][
        "anyOf"
    ].pop(),
    "body/operations/* may be ": lambda d: d["components"]["schemas"]["Operation"]["oneOf"].pop(),
    "204 is gone": lambda d: d["paths"][ONE]["delete"]["responses"].pop("204"),
    "412 is gone": lambda d: d["paths"][ONE]["delete"]["responses"].pop("412"),
    "202 is new": lambda d: d["paths"][ONE]["delete"]["responses"].update({"202": {}}),
    "200 has no ETag any more": lambda d: d["paths"][ONE]["get"]["responses"]["200"]["headers"].pop(
        "ETag"
    ),
    "200 is not text/csv any more": lambda d: d["paths"]["/v1/export"]["get"]["responses"]["200"][
        "content"
    ].pop("text/csv"),
    "200/version is gone": lambda d: members(d, "Task").pop("version"),
    "200/items/*/title may be absent": lambda d: d["components"]["schemas"]["Task"][
        "required"
    ].remove("title"),
    "200/version may be string": lambda d: members(d, "Task").update(
        version={"type": "string"}
    ),
    "201/title may be null": lambda d: members(d, "Task").update(
        title={"anyOf": [members(d, "Task")["title"], {"type": "null"}]}
    ),
    "200/priority may be ['urgent']": lambda d: d["components"]["schemas"]["Priority"][
        "enum"
    ].append("urgent"),
    "200/due_date has the format date-time": lambda d: members(d, "Task")["due_date"]["anyOf"][
        0
    ].update(format="date-time"),
    "the schema Task is gone or called otherwise": lambda d: d["components"]["schemas"].update(
        Item=d["components"]["schemas"].pop("Task")
    )
    or d.update(json.loads(json.dumps(d).replace("schemas/Task\"", "schemas/Item\""))),
}  # fmt: skip


@pytest.mark.parametrize("sentence", BREAKING)
def test_a_change_that_breaks_clients_is_found(excerpt: Document, sentence: str) -> None:
    found = breaks(excerpt, edited(excerpt, BREAKING[sentence]))
    assert [each for each in found if sentence in each], found


@given(data=st.data())
def test_what_a_replaced_pattern_took_is_taken_by_the_one_in_its_place(data: st.DataObject) -> None:
    for earlier, later in REPLACED.items():
        text = data.draw(st.from_regex(re.compile(earlier.removesuffix("$") + r"\Z")))
        assert re.fullmatch(later.removeprefix("^").removesuffix("$"), text)


def test_a_replacement_is_listed_only_while_the_last_release_has_what_it_replaces() -> None:
    kept = json.dumps(released(), ensure_ascii=False)
    for earlier in REPLACED | TIGHTENED:
        assert json.dumps(earlier)[1:-1] in kept


HARMLESS: dict[str, Edit] = {
    "a new operation": lambda d: d["paths"].update({"/v1/elsewhere": d["paths"][TASKS]}),
    "a new optional parameter": lambda d: d["paths"][TASKS]["get"]["parameters"].append(
        {"name": "color", "in": "query", "schema": {"type": "string"}}
    ),
    "a new optional member of a body": lambda d: members(d, "TaskCreate").update(
        color={"type": "string"}
    ),
    "a body that may be longer": lambda d: members(d, "TaskCreate")["title"].update(maxLength=300),
    "a new member of an answer": lambda d: members(d, "Task").update(color={"type": "string"}),
    "a new problem": lambda d: d["paths"][TASKS]["get"]["responses"].update({"451": {}}),
    "a new kind of problem": lambda d: members(d, "Problem")["type"].update(enum=["/problems/new"]),
    "another description": lambda d: d["paths"][TASKS]["get"].update(description="Other words."),
}


@pytest.mark.parametrize("change", HARMLESS)
def test_a_change_that_breaks_nobody_is_let_pass(excerpt: Document, change: str) -> None:
    assert breaks(excerpt, edited(excerpt, HARMLESS[change])) == []


def test_the_command_keeps_a_contract_that_breaks_nobody(
    document: Document, tmp_path: Path
) -> None:
    kept = tmp_path / "v1.json"
    kept.write_bytes(KEPT.read_bytes())
    assert main(kept) == 0
    assert json.loads(kept.read_text()).keys() == document.keys()
    assert breaks(document, json.loads(kept.read_text())) == []


def test_the_command_keeps_no_contract_that_breaks_clients_of_the_same_major_version(
    document: Document, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "v1.json"
    extended = edited(document, lambda d: d["paths"].update({"/v1/elsewhere": d["paths"][TASKS]}))
    kept.write_text(json.dumps(extended))
    assert main(kept) == 1
    assert "GET /v1/elsewhere: is gone" in capsys.readouterr().err
    assert json.loads(kept.read_text()) == extended
    extended["info"]["version"] = "0.9.0"
    kept.write_text(json.dumps(extended))
    assert main(kept) == 0
