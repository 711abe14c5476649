"""Base models of request bodies, merge patches and query strings."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic_core import CoreSchema


def examples(*values: Any, **schema: Any) -> ConfigDict:
    """Return the configuration of a model that the contract shows with these examples."""
    return ConfigDict(json_schema_extra={"examples": [*values], **schema})


class Body(BaseModel):
    """Base of request bodies: unknown members are refused, no value is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    absent: ClassVar[Mapping[str, Any]] = {}
    """The value that an absent optional member of release 1.0 has in an idempotency fingerprint.

    Members added by later releases do not belong here: they count only where they were sent.
    """

    def given(self) -> dict[str, Any]:
        """The members that the client sent, as in a merge patch (RFC 7396)."""
        return {name: value for name, value in self if name in self.model_fields_set}

    def all(self) -> dict[str, Any]:
        """All members, defaults included."""
        return dict(self)

    def whole(self) -> dict[str, Any]:
        """The members of a whole row to be written."""
        return self.all()


class Patch(Body):
    """Base of merge patches: an absent member stays unchanged, so defaults are never applied."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The JSON schema without defaults."""
        document = handler.resolve_ref_schema(handler(schema))
        for field in document["properties"].values():
            field.pop("default", None)
        return document


class Query(BaseModel):
    """Base of query strings: values arrive as text, unknown parameters are refused."""

    repeatable: ClassVar[frozenset[str]] = frozenset()
    """The parameters that may be given several times, and arrive as lists."""

    model_config = ConfigDict(extra="forbid", frozen=True)
