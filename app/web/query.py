"""Reading the query string."""

from urllib.parse import parse_qsl

from flask import Request

from app.core.problems import invalid


def read_query(incoming: Request) -> dict[str, str]:
    """The query parameters, percent-decoded. Raises Problem 422 for one that is repeated."""
    pairs = parse_qsl(incoming.query_string.decode("ascii"), keep_blank_values=True)
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise invalid("must be given once", "repeated", parameter=twice)
    return values
