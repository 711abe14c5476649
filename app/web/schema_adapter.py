"""The APIFlask adapter that validates requests with pydantic models and describes the models."""

from typing import Any

from apiflask.schema_adapters.pydantic import PydanticAdapter
from flask import Request
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from app.web.body import read_body
from app.web.media_types import require_json
from app.web.query import read_query
from app.web.request import current
from app.web.strict_json import parse_json
from app.web.validation import in_query, validated


class ContractSchema(GenerateJsonSchema):
    """Generates the JSON schemas of the OpenAPI document."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Omit titles of fields: client generators take them for names of types."""
        return False

    def sort(self, value: dict[str, Any], parent_key: str | None = None) -> dict[str, Any]:
        """Keep the order of members, so that examples list fields as the model does."""
        return value


class StrictAdapter(PydanticAdapter):
    """Validates bodies and queries by this service's rules; see decision 0007."""

    def get_openapi_schema(self, **kwargs: Any) -> dict[str, Any]:
        """The model's JSON schema, with references to other models by name."""
        return self.model_class.model_json_schema(
            ref_template="#/components/schemas/{model}", schema_generator=ContractSchema
        )

    def validate_input(self, request: Request, location: str, **kwargs: Any) -> BaseModel:
        """The body or query as a model. Raises Problem 400, 411, 413, 415, 422, 429."""
        incoming = current()
        if location == "query":
            return validated(self.model_class, read_query(incoming), in_query)
        require_json(incoming)
        incoming.sent = parse_json(read_body(incoming))
        return validated(self.model_class, incoming.sent)
