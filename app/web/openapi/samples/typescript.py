"""A request in TypeScript, with the fetch that browsers, Node, Deno and Bun have."""

import json
import re

from app.web.openapi.samples.call import ETAG, FILE, Request
from app.web.response import JSON


def source(request: Request) -> str:
    """The module; it expects `API` and, where a token is needed, `TOKEN` in the environment."""
    files = {
        "readFile": request.file_type is not None,
        "writeFile": request.answer == "file",
    }
    imports = [
        f'import {{ {name} }} from "node:fs/promises";\n\n' for name, used in files.items() if used
    ]
    names = "API, TOKEN" if request.secured else "API"
    return (
        f"{''.join(imports)}"
        f"const {{ {names} }} = process.env;\n\n"
        f"const response = await fetch(`${{API}}{request.path}`{_options(request)});\n"
        "if (!response.ok) throw new Error(await response.text());\n"
        f"{_outcome(request)}"
    )


def _options(request: Request) -> str:
    options = [] if request.method == "GET" else [f'method: "{request.method}"']
    if headers := "".join(f"    {header},\n" for header in _headers(request)):
        options.append(f"headers: {{\n{headers}  }}")
    if request.body is not None:
        options.append(f"body: JSON.stringify({_literal(request.body)})")
    if request.file_type:
        options.append(f'body: await readFile("{FILE}")')
    lines = "".join(f"  {option},\n" for option in options)
    return f", {{\n{lines}}}" if options else ""


def _headers(request: Request) -> list[str]:
    headers = []
    if request.secured:
        headers.append("Authorization: `Bearer ${TOKEN}`")
    if request.keyed:
        headers.append('"Idempotency-Key": crypto.randomUUID()')
    if request.conditional:
        headers.append(f"\"If-Match\": '{ETAG}'")
    if request.body is not None or request.file_type:
        headers.append(f'"Content-Type": "{request.file_type or JSON}"')
    return headers


def _literal(value: object) -> str:
    """The JSON value as TypeScript writes it, names without quotes."""
    text = json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n  ")
    return re.sub(r'^( *)"([a-z_]+)":', r"\1\2:", text, flags=re.MULTILINE)


def _outcome(request: Request) -> str:
    if request.answer == "file":
        return f'await writeFile("{FILE}", await response.text());'
    read = "await response.json()" if request.answer == "json" else "response.status"
    return f"console.log({read});"
