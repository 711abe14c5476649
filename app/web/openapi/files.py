"""Bodies in the contract that are files and no JSON document; features add theirs."""

from typing import Any, Final

Content = dict[str, dict[str, Any]]
"""A media type's object of OpenAPI, for each media type."""

TAKEN: Final[dict[str, Content]] = {}
"""What an operation takes, by the name of its endpoint."""

GIVEN: Final[dict[str, Content]] = {}
"""What an operation answers, by the name of its endpoint."""
