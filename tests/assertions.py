"""What tests say of answers."""

from werkzeug.test import TestResponse


def refused(response: TestResponse, code: str, **where: str) -> bool:
    """Whether it is 422 for one reason, found at pointer=, parameter= or header=."""
    assert response.status_code == 422, (response.status_code, response.text)
    assert response.mimetype == "application/problem+json"
    found = [{k: v for k, v in error.items() if k != "detail"} for error in response.json["errors"]]
    assert found == [{**where, "code": code}]
    return True
