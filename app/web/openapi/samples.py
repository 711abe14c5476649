"""Code samples of each operation in curl, Python and TypeScript, from templates."""

import json
import re
import shlex
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader

from app.web.openapi.conventions import takes_key
from app.web.response import JSON

LANGUAGES: Final = (
    ("Shell", "curl", "curl.jinja"),
    ("Python", "Python", "python.jinja"),
    ("TypeScript", "TypeScript", "typescript.jinja"),
)
"""Language and label, as Swagger UI's plugin, Redoc and Scalar show them, and the template."""

QUERIES: Final[dict[str, dict[str, str | int]]] = {
    "list_tasks": {"complete": "false", "sort": "due", "limit": 100},
    "get_changes": {"limit": 200},
    "export_account": {"format": "jsonl"},
}
"""The queries of samples; other samples have none."""

IDS: Final = {"item_id": "Task"}
"""The schema whose example has the id, where the parameter is not named after it."""

CONSTANTS: Final = {"true": "True", "false": "False", "null": "None"}


def quoted(value: object) -> str:
    """Return the JSON value as one word of the shell."""
    return shlex.quote(json.dumps(value, indent=2, ensure_ascii=False))


def python(value: object) -> str:
    """Return the JSON value as Python writes it, a comma after each member."""
    text = json.dumps(value, indent=4, ensure_ascii=False)
    text = re.sub(r"([^{\[,])\n", r"\1,\n", text)
    text = re.sub(r"\b(true|false|null)(?=,$)", lambda m: CONSTANTS[m[0]], text, flags=re.MULTILINE)
    return text.replace("\n", "\n    ")


def typescript(value: object) -> str:
    """Return the JSON value as TypeScript writes it, names without quotes."""
    text = json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n  ")
    return re.sub(r'^( *)"([a-z_]+)":', r"\1\2:", text, flags=re.MULTILINE)


TEMPLATES: Final = Environment(  # noqa: S701 these are no HTML
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {"quoted": quoted, "python": python, "typescript": typescript}


def add_samples(spec: dict[str, Any]) -> None:
    """Add `x-codeSamples` to each operation, with the values of the document's examples."""
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            values = request(spec, path, method, operation)
            operation["x-codeSamples"] = [
                {
                    "lang": lang,
                    "label": label,
                    "source": TEMPLATES.get_template(name).render(values),
                }
                for lang, label, name in LANGUAGES
            ]


def request(
    spec: dict[str, Any], path: str, method: str, operation: dict[str, Any]
) -> dict[str, Any]:
    """Return the sample request of an operation, as the templates take it.

    `file_type` is the media type of a body that comes from a file, `answer` what the body of the
    answer is: `json`, `file`, or `nothing`.
    """
    query = QUERIES.get(operation["operationId"], {})
    secured = bool(operation["security"])
    content = operation.get("requestBody", {}).get("content", {})
    return {
        "method": method.upper(),
        "path": _with_ids(spec, path) + (f"?{urlencode(query)}" if query else ""),
        "secured": secured,
        "keyed": takes_key(operation["operationId"], method.upper()),
        "conditional": method == "patch",
        "body": _example(spec, content),
        "file_type": None if JSON in content else next(iter(content), None),
        "answer": _answer(operation["responses"]),
    }


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


def _answer(responses: dict[str, Any]) -> str:
    content = (responses.get("200") or responses.get("201") or {}).get("content")
    if content is None:
        return "nothing"
    return "json" if JSON in content else "file"
