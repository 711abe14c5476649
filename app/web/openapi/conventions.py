"""Headers, parameters, statuses and problems that follow from an operation's method and path."""

from collections.abc import Iterator
from typing import Any, Final

from app.web.body import MERGE_PATCH
from app.web.openapi.components import LIMITS, headers, reference
from app.web.request_limits import LIMITED_PATH
from app.web.response import JSON

CHECKING: Final = {"sign_in", "refresh_session"}
"""Operations that take credentials in the body: 401 without being secured."""

OWN_FORM: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "get_health": ("The service is shutting down.", {"status": "draining"}),
    "get_database_health": (
        "The database does not answer, or its schema is not that of this release.",
        {
            "status": "unavailable",
            "connect_ms": None,
            "latency_ms": None,
            "pool": {"open": 0, "in_use": 0, "limit": 20},
            "servers": {"known": 0, "away": 0},
            "revision": {"current": None, "head": "0001", "up_to_date": False},
        },
    ),
}
"""What 503 means and shows where its body has the schema of 200 and is no problem document."""


CONFIRMING: Final = {"confirm_password_reset", "confirm_email"}
"""Operations that use the link of a mail."""

ASKING: Final = {"request_password_reset", "request_email_verification", "change_email"}
"""Operations that ask for a mail."""

REPEATABLE: Final = {
    "change_password",
    "test_webhook",
    "resume_webhook",
    *CONFIRMING,
    *ASKING,
}
"""Operations by POST that take no Idempotency-Key, because they can be repeated without one."""

OF_PASSWORDS: Final = {"change_password", "change_email", "request_email_verification"}
"""Operations that another issuer's users cannot find, as they have no password or address here."""

REFUSING: Final = {"sign_in", "register_account"}
"""Operations without a token that can answer 403."""

STREAMING: Final = {"get_changes"}
"""Operations that also answer with a stream of events."""

REPLAYING: Final = {"create", "restore", "move", "complete", "skip", "snooze", "rotate"}
"""Verbs of operations that repeat an answer with a row."""

SECRETS: Final = {"create_token", "create_webhook", "rotate_webhook_secret"}
"""Operations that replay a secret, and no content that could have been erased since."""

WRITING: Final = {*REPLAYING, "replace", "update", "register", "run", "import", "add"}
"""Verbs of operations that can exceed a quota, or clash with another row."""


def can_conflict(name: str) -> bool:
    """Whether an operation can answer 409, as what writes rows can."""
    if name == "update_me":
        return False
    verb = name.partition("_")[0]
    return verb in WRITING or name == "change_password" or name in CONFIRMING


def takes_key(name: str, method: str) -> bool:
    """Whether an operation takes an Idempotency-Key."""
    return method == "POST" and name not in REPEATABLE


def can_replay_rows(name: str) -> bool:
    """Whether an operation answers 410 where a replay would show what has been erased since."""
    return name.partition("_")[0] in REPLAYING and name not in SECRETS


def complete(
    operation: dict[str, Any], path: str, method: str, endpoint: str, *, scope: str | None
) -> None:
    """Add to an operation all that follows from its path, its method and its scope."""
    name = endpoint.split(".")[-1]
    single = ("{" in path or path.endswith("/me")) and name != "get_occurrences"
    writes = (single and method != "GET") or method == "DELETE"
    limited = path.startswith(LIMITED_PATH)
    operation["operationId"] = name
    operation["security"] = [{"bearer": [scope]}] if scope else []
    if body := operation.get("requestBody"):
        body["required"] = method != "DELETE"
        if method == "PATCH":
            body["content"][MERGE_PATCH] = body["content"][JSON]
    _complete_parameters(operation, method, single=single, writes=writes)
    _complete_responses(operation, method, single=single, limited=limited)
    conditional = single or writes
    _add_problems(operation, _statuses(operation, path, conditional=conditional, limited=limited))


def _complete_parameters(
    operation: dict[str, Any], method: str, *, single: bool, writes: bool
) -> None:
    parameters = operation.setdefault("parameters", [])
    for parameter in parameters:
        if parameter["in"] == "path":
            parameter["required"] = True
            parameter["description"] = f"The id of the {parameter['name'].removesuffix('_id')}."
            parameter["schema"] = {"type": "string", "format": "uuid"}
        else:
            # Viewers show what describes the parameter, not what describes its schema.
            description = parameter["schema"].pop("description")
            parameter["description"] = " ".join(description.split())
            parameter["schema"] = _without_null(parameter["schema"])
    names = ["IdempotencyKey"] if takes_key(operation["operationId"], method) else []
    names += ["IfMatch"] if single or writes else []
    names += ["IfNoneMatchToWrite"] if writes else []
    names += ["IfNoneMatch"] if single and method == "GET" else []
    names += ["LastEventID"] if operation["operationId"] in STREAMING else []
    parameters += [reference("parameters", name) for name in names]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without null, which a query cannot hold; the parameter is absent instead."""
    some = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    if len(some) == len(schema.get("anyOf", [])):
        return schema
    rest = {name: schema[name] for name in schema.keys() - {"anyOf", "default"}}
    return rest | (some[0] if len(some) == 1 else {"anyOf": some})


def _complete_responses(
    operation: dict[str, Any], method: str, *, single: bool, limited: bool
) -> None:
    responses = operation["responses"]
    if single and method == "GET":
        responses["304"] = {"description": "Not modified"}
    for status, response in responses.items():
        names = ["X-Request-ID"]
        names += ["ETag"] if status in {"201", "304"} or (single and status == "200") else []
        names += ["Location"] if status == "201" and method == "POST" else []
        names += ["Idempotency-Replayed"] if takes_key(operation["operationId"], method) else []
        names += LIMITS if limited else []
        response["headers"] = headers(names)
        if status in {"202", "204"}:
            response.pop("content", None)
    if str(operation["operationId"]).startswith("list_"):
        responses["200"]["headers"] |= headers(["Link"])
    if method == "PUT" and str(operation["operationId"]).startswith("replace_"):
        responses["201"] = {**responses["200"], "description": "Created"}


def _statuses(
    operation: dict[str, Any], path: str, *, conditional: bool, limited: bool
) -> Iterator[int]:
    """The statuses of the problems that the operation can answer with."""
    name, secured = operation["operationId"], operation["security"]
    yield from {400, 414, 431} | (set() if name == "get_health" else {500, 503})
    yield from {401} if secured or name in CHECKING else set()
    yield from {403} if secured or name in REFUSING else set()
    yield from {404} if "{" in path or name in OF_PASSWORDS else set()
    yield from {411, 413, 415, 422} if "requestBody" in operation else set()
    yield from {422} if operation["parameters"] else set()
    yield from {412} if conditional else set()
    yield from {409} if can_conflict(name) else set()
    yield from {406} if name in STREAMING else set()
    yield from {410} if name in STREAMING or can_replay_rows(name) else set()
    yield from {428} if name == "update_task" else set()
    yield from {429} if limited else set()


def _add_problems(operation: dict[str, Any], statuses: Iterator[int]) -> None:
    name, responses = operation["operationId"], operation["responses"]
    for status in statuses:
        responses[str(status)] = reference("responses", f"Problem{status}")
    if name in OWN_FORM:
        description, example = OWN_FORM[name]
        content = {JSON: {**responses["200"]["content"][JSON], "example": example}}
        responses["503"] = {**responses["200"], "description": description, "content": content}
    operation["responses"] = dict(sorted(responses.items()))
