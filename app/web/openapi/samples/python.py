"""A request in Python, with httpx."""

import json
import re
from typing import Final

from app.web.openapi.samples.call import ETAG, FILE, Request

CONSTANTS: Final = {"true": "True", "false": "False", "null": "None"}


def source(request: Request) -> str:
    """The program; it expects `API` and, where a token is needed, `TOKEN` in the environment."""
    arguments = [f'f"{{API}}{request.path}"', *_headers(request)]
    if request.body is not None:
        arguments.append(f"json={_literal(request.body)}")
    if request.file_type:
        arguments.append(f'content=Path("{FILE}").read_bytes()')
    lines = "".join(f"    {argument},\n" for argument in arguments)
    return (
        f"{_imports(request)}"
        f"response = httpx.{request.method.lower()}(\n{lines})\n"
        "response.raise_for_status()\n"
        f"{_outcome(request)}"
    )


def _imports(request: Request) -> str:
    standard = "import os\n" + ("import uuid\n" if request.keyed else "")
    if request.file_type or request.answer == "file":
        standard += "from pathlib import Path\n"
    token = 'TOKEN = os.environ["TOKEN"]\n' if request.secured else ""
    return f'{standard}\nimport httpx\n\nAPI = os.environ["API"]\n{token}\n'


def _headers(request: Request) -> list[str]:
    headers = []
    if request.secured:
        headers.append('"Authorization": f"Bearer {TOKEN}"')
    if request.keyed:
        headers.append('"Idempotency-Key": str(uuid.uuid4())')
    if request.conditional:
        headers.append(f"\"If-Match\": '{ETAG}'")
    if request.file_type:
        headers.append(f'"Content-Type": "{request.file_type}"')
    lines = "".join(f"        {header},\n" for header in headers)
    return [f"headers={{\n{lines}    }}"] if headers else []


def _literal(value: object) -> str:
    """The JSON value as Python writes it, a comma after each member."""
    text = json.dumps(value, indent=4, ensure_ascii=False)
    text = re.sub(r"([^{\[,])\n", r"\1,\n", text)
    text = re.sub(r"\b(true|false|null)(?=,$)", lambda m: CONSTANTS[m[0]], text, flags=re.MULTILINE)
    return text.replace("\n", "\n    ")


def _outcome(request: Request) -> str:
    if request.answer == "file":
        return f'Path("{FILE}").write_bytes(response.content)'
    return "print(response.json())" if request.answer == "json" else "print(response.status_code)"
