"""The request of a sample: an operation with the values of the document's examples."""

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from app.web.response import JSON

QUERIES: Final[dict[str, dict[str, str | int]]] = {
    "list_tasks": {"complete": "false", "sort": "due", "limit": 100},
    "get_changes": {"limit": 200},
    "export_account": {"format": "jsonl"},
}
"""The queries of samples; other samples have none."""

IDS: Final = {"item_id": "Task"}
"""The schema whose example has the id, where the parameter is not named after it."""

ETAG: Final = '"7"'
FILE: Final = "export.jsonl"


@dataclass(frozen=True)
class Request:
    """One request as every language writes it."""

    method: str
    path: str
    secured: bool
    keyed: bool
    """Whether it has an Idempotency-Key."""
    conditional: bool
    """Whether it has an If-Match."""
    body: Any
    file_type: str | None
    """The media type of a body that comes from a file."""
    answer: str
    """What the body of the answer is: `json`, `file`, or `nothing`."""

    @classmethod
    def of(
        cls, spec: dict[str, Any], path: str, method: str, operation: dict[str, Any]
    ) -> "Request":
        """The sample request of an operation of the document."""
        query = QUERIES.get(operation["operationId"], {})
        secured = bool(operation["security"])
        content = operation.get("requestBody", {}).get("content", {})
        return cls(
            method=method.upper(),
            path=_with_ids(spec, path) + (f"?{urlencode(query)}" if query else ""),
            secured=secured,
            keyed=secured and method == "post",
            conditional=method == "patch",
            body=_example(spec, content),
            file_type=None if JSON in content else next(iter(content), None),
            answer=_answer(operation),
        )


def _with_ids(spec: dict[str, Any], path: str) -> str:
    """The path with the ids of the examples."""

    def example(match: re.Match[str]) -> str:
        name = match[1]
        schema = IDS.get(name) or name.removesuffix("_id").capitalize()
        return str(spec["components"]["schemas"][schema]["examples"][0]["id"])

    return re.sub(r"{(\w+)}", example, path)


def _example(spec: dict[str, Any], content: dict[str, Any]) -> Any:
    """The example of a JSON body."""
    if JSON not in content:
        return None
    name = content[JSON]["schema"]["$ref"].split("/")[-1]
    return spec["components"]["schemas"][name]["examples"][0]


def _answer(operation: dict[str, Any]) -> str:
    responses = operation["responses"]
    content = (responses.get("200") or responses.get("201") or {}).get("content")
    if content is None:
        return "nothing"
    return "json" if JSON in content else "file"
