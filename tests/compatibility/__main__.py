"""`make contract`: keep the contract as it is now, to hold the next release against it."""

import json
import sys
from pathlib import Path
from typing import Any

from app import create_app
from tests.compatibility.documents import breaks, major
from tests.conftest import ROOT, settings_for

KEPT = ROOT / "docs" / "contract" / "v1.json"
"""The document of the last release."""

NOWHERE = "postgresql://nobody:nothing@127.0.0.1:1/nowhere"


def released() -> dict[str, Any]:
    """The document that clients were written for."""
    document: dict[str, Any] = json.loads(KEPT.read_text())
    return document


def current() -> dict[str, Any]:
    """The document as the application has it now, without the samples that follow from it."""
    answer = create_app(settings_for(NOWHERE, LOG_LEVEL="ERROR")).test_client().get("/openapi.json")
    document: dict[str, Any] = answer.json
    for item in document["paths"].values():
        for operation in item.values():
            operation.pop("x-codeSamples", None)
    return document


def main(kept: Path = KEPT) -> int:
    """Write the document, unless it breaks clients without a new major version."""
    old, new = json.loads(kept.read_text()), current()
    found = breaks(old, new)
    for sentence in found:
        print(sentence, file=sys.stderr)
    if found and major(new) <= major(old):
        print("Clients would break: nothing was written.", file=sys.stderr)
        return 1
    kept.write_text(json.dumps(new, indent=1, ensure_ascii=False) + "\n")
    print(f"{kept.name} holds the contract of {new['info']['version']}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
