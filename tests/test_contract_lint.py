"""The contract passes the recommended rules of Redocly and of Spectral, without a warning.

Each is given a fault to find, which shows that it looks, and must find nothing besides.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask

from tests.node import CLIENTS, need_node, run

pytestmark = pytest.mark.slow


@pytest.fixture
def document(app: APIFlask) -> dict[str, Any]:
    return app.test_client().get("/openapi.json").json


def test_redocly_finds_only_the_fault_that_is_put_in(
    document: dict[str, Any], tmp_path: Path
) -> None:
    del document["tags"][0]["description"]
    assert [found["ruleId"] for found in redocly(document, tmp_path)] == ["tag-description"]


def redocly(document: dict[str, Any], directory: Path) -> list[dict[str, Any]]:
    """What Redocly finds."""
    program = need_node() / ".bin" / "redocly"
    file = directory / "openapi.json"
    file.write_text(json.dumps(document))
    configuration = str(CLIENTS / "redocly.yaml")
    options = ["--config", configuration, "--format", "json", "--max-problems", "1000"]
    ended = run([str(program), "lint", str(file), *options], directory)
    problems: list[dict[str, Any]] = json.loads(ended.stdout)["problems"]
    return problems


def test_spectral_finds_only_the_fault_that_is_put_in(
    document: dict[str, Any], tmp_path: Path
) -> None:
    del document["info"]["contact"]
    assert [found["code"] for found in spectral(document, tmp_path)] == ["info-contact"]


def spectral(document: dict[str, Any], directory: Path) -> list[dict[str, Any]]:
    """What Spectral finds."""
    program = need_node() / ".bin" / "spectral"
    file = directory / "openapi.json"
    file.write_text(json.dumps(each_once(document)))
    options = ["--ruleset", str(CLIENTS / "spectral.yaml"), "--format", "json", "--quiet"]
    ended = run([str(program), "lint", str(file), *options], directory)
    found: list[dict[str, Any]] = json.loads(ended.stdout)
    return found


def each_once(document: dict[str, Any]) -> dict[str, Any]:
    """The document with one reference to each shared response: Spectral looks at every use anew.

    No rule is about the samples.
    """
    seen: set[str] = set()
    for item in document["paths"].values():
        for operation in item.values():
            operation.pop("x-codeSamples", None)
            for status, response in list(operation["responses"].items()):
                if (shared := response.get("$ref")) in seen:
                    del operation["responses"][status]
                elif shared:
                    seen.add(shared)
    return document
