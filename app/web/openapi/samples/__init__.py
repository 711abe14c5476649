"""Code samples of each operation, in curl, Python and TypeScript."""

from typing import Any, Final

from app.web.openapi.samples import curl, python, typescript
from app.web.openapi.samples.call import Request

LANGUAGES: Final = (
    ("Shell", "curl", curl.source),
    ("Python", "Python", python.source),
    ("TypeScript", "TypeScript", typescript.source),
)


def add_samples(spec: dict[str, Any]) -> None:
    """Add `x-codeSamples` to each operation, which Swagger UI's plugin, Redoc and Scalar show."""
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            request = Request.of(spec, path, method, operation)
            operation["x-codeSamples"] = [
                {"lang": lang, "label": label, "source": source(request)}
                for lang, label, source in LANGUAGES
            ]
