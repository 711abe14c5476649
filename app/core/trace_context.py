"""The trace a request belongs to, by its `traceparent` header (W3C, "Trace Context", level 2).

The log and PostgreSQL name it without OpenTelemetry too, whose propagator is not always installed.
"""

import re
from collections.abc import Mapping
from random import getrandbits
from typing import Any, Final, NamedTuple

SAMPLED: Final = 0x01
RANDOM: Final = 0x02

# A later version may have more after its flags (section 4.3).
TRACEPARENT: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})"
    r"-(?P<trace>(?!0{32})[0-9a-f]{32})"
    r"-(?P<span>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})"
    r"(?P<rest>-.*)?"
)


class TraceContext(NamedTuple):
    """A position in a trace: the ids of the trace and of one of its spans, in hexadecimal."""

    trace_id: str
    span_id: str
    flags: int = RANDOM

    @property
    def sampled(self) -> bool:
        """Whether this trace is recorded somewhere."""
        return bool(self.flags & SAMPLED)

    @property
    def traceparent(self) -> str:
        """The header's value: hexadecimal digits and hyphens."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def received(environ: Mapping[str, Any]) -> TraceContext:
    """The trace of a WSGI request; a new one if it names none, or not in a valid form."""
    given = environ.get("HTTP_TRACEPARENT")
    return (given and parsed(given)) or new()


def new() -> TraceContext:
    """A new trace, not sampled."""
    digits = f"{getrandbits(192):048x}"  # not for a secret
    return TraceContext(digits[:32], digits[32:])


def parsed(traceparent: str) -> TraceContext | None:
    """The trace context in a header's value, or None if the value is not valid."""
    match = TRACEPARENT.fullmatch(traceparent)
    if match is None or (match["version"] == "00" and match["rest"]):
        return None
    flags = int(match["flags"], 16) & (SAMPLED | RANDOM)
    return TraceContext(match["trace"], match["span"], flags)
