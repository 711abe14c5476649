"""A sample of each operation, in the languages that most people come with."""

from typing import Any, Final

from app.web.openapi.samples import curl, python, typescript
from app.web.openapi.samples.request import Request

LANGUAGES: Final = (
    ("Shell", "curl", curl.source),
    ("Python", "Python", python.source),
    ("TypeScript", "TypeScript", typescript.source),
)


def add_samples(spec: dict[str, Any]) -> None:
    """Give each operation of the document its samples, where viewers look for them."""
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            request = Request.of(spec, path, method, operation)
            operation["x-codeSamples"] = [
                {"lang": lang, "label": label, "source": source(request)}
                for lang, label, source in LANGUAGES
            ]
