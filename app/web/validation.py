"""Validating values with pydantic models, with errors in the form of the contract."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.core.problem_kinds import VALIDATION_FAILED
from app.core.problems import Problem

MOST_ERRORS: Final = 100
"""Errors reported for one request."""

Location = tuple[int | str, ...]
Model = TypeVar("Model", bound=BaseModel)


def json_pointer(location: tuple[int | str, ...]) -> str:
    """The JSON pointer (RFC 6901) to a value, from the names and indices that lead to it."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "".join(f"/{part}" for part in parts)


def in_body(location: Location) -> dict[str, str]:
    """The member of an error entry that points into the body."""
    return {"pointer": json_pointer(location)}


def in_query(location: Location) -> dict[str, str]:
    """The member of an error entry that names a query parameter."""
    return {"parameter": str(location[0])}


def validated(
    model: type[Model], value: Any, where: Callable[[Location], dict[str, str]] = in_body
) -> Model:
    """The value as an instance of the model.

    `where` maps pydantic's location of an error to the members that locate it for the client.
    Raises Problem 422.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = [
            {**where(item["loc"]), "code": item["type"], "detail": item["msg"]}
            for item in details(error)[:MOST_ERRORS]
        ]
        raise Problem(VALIDATION_FAILED, errors=errors) from None


def details(error: ValidationError) -> list[ErrorDetails]:
    """What pydantic reports, without the values that were sent."""
    return error.errors(include_url=False, include_context=False, include_input=False)
