"""A request as a command in the shell, with curl."""

import json
import shlex

from app.web.openapi.samples.call import ETAG, FILE, Request


def source(request: Request) -> str:
    """The command; it expects `API` and, where a token is needed, `TOKEN` in the environment."""
    method = "" if request.method == "GET" else f"-X {request.method} "
    method = "" if request.method == "POST" and request.body is not None else method
    return " \\\n  ".join([f'curl {method}"$API{request.path}"', *_options(request)])


def _options(request: Request) -> list[str]:
    options = []
    if request.secured:
        options.append('-H "Authorization: Bearer $TOKEN"')
    if request.keyed:
        options.append('-H "Idempotency-Key: $(openssl rand -hex 16)"')
    if request.conditional:
        options.append(f"-H {shlex.quote(f'If-Match: {ETAG}')}")
    if request.body is not None:
        options.append('-H "Content-Type: application/json"')
        options.append(f"-d {shlex.quote(json.dumps(request.body, indent=2, ensure_ascii=False))}")
    if request.file_type:
        options.append(f'-H "Content-Type: {request.file_type}"')
        options.append(f"--data-binary @{FILE}")
    if request.answer == "file":
        options.append(f"-o {FILE}")
    return options
