"""What two answers to the same request have in common."""

import re
from typing import Any

FORMS = {
    "an id": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "an instant": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z",
    "an entity tag": r'"\d+"',
    "an address": r"[^@ ]+@example\.com",
    "a JWT": r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}",
    "a refresh token": r"[\w-]{64}",
    "a personal token": r"tasks_pat_[0-9A-Za-z]{60}",
    "a secret of a webhook": r"whsec_[0-9A-Za-z+/]{43}=",
    "a network": r"[0-9.]+/24|[0-9a-f:]+/48",
    "a token of changes": r"[\w-]{26,36}",
}
"""Texts of which the contract shows the form, as each answer has its own."""

OWN = {
    "version",
    "position",
    "rows",
    "bytes",
    "last_four",
    "current",
    "head",
    "open",
    "in_use",
    "limit",
    "used",
    "line",
    "user_agent",
}
"""Members of which the contract shows the type, as each answer has its own."""


def form(value: Any, name: str = "") -> Any:
    """A value without what differs from answer to answer: ids, times, tokens, versions."""
    if isinstance(value, dict):
        return {member: form(each, member) for member, each in value.items()}
    if isinstance(value, list):
        return [form(each) for each in value]
    if name in OWN or isinstance(value, float):
        return type(value).__name__
    if isinstance(value, str):
        return next((what for what, p in FORMS.items() if re.fullmatch(p, value)), value)
    return value
