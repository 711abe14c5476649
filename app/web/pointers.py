"""JSON pointers."""


def json_pointer(location: tuple[int | str, ...]) -> str:
    """The JSON pointer (RFC 6901) to a value, from the names and indices that lead to it."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "".join(f"/{part}" for part in parts)
