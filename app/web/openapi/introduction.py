"""The introduction of the contract: its chapters, and its tags in groups."""

from pathlib import Path
from typing import Any, Final

TITLE: Final = "Tasks API"

CHAPTERS: Final = (
    "introduction",
    "authentication",
    "errors",
    "pagination",
    "idempotency",
    "conditional-requests",
    "sync",
    "limits",
)

DESCRIPTION: Final = "\n".join(
    (Path(__file__).parent / "chapters" / f"{name}.md").read_text("utf-8") for name in CHAPTERS
)

GROUPS: Final = {
    "Getting in": {
        "Authentication": "Accounts, and sessions of people who sign in with a password.",
        "Account": "The user who calls: name, time zone, and the end of it all.",
        "Personal access tokens": "For scripts, each with the scopes that it needs.",
    },
    "Tasks": {
        "Tasks": "What is to be done.",
        "Categories": "What tasks are sorted into; a task is in one or in none.",
        "Trash": "What was deleted within the last 30 days, to restore or to erase.",
    },
    "Copies and files": {
        "Changes": "All that happened since a token, in order: what a copy is kept with.",
        "Batch": "Up to a hundred writes at once, all of them or none.",
        "Export and import": "An account leaves as a file and comes back whole.",
    },
    "Operations": {
        "Health": "For balancers and monitors; no token is needed.",
    },
}
"""The tags and their descriptions by group, in the order in which a newcomer needs them."""


def introduce(spec: dict[str, Any]) -> None:
    """Add descriptions of the tags, and their groups as Redoc and Scalar read them."""
    spec["tags"] = [
        {"name": name, "description": text}
        for tags in GROUPS.values()
        for name, text in tags.items()
    ]
    spec["x-tagGroups"] = [{"name": group, "tags": list(tags)} for group, tags in GROUPS.items()]
