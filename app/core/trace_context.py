"""The trace context of a request, from its `traceparent` header (W3C Trace Context, level 2).

Logs and statements name the trace even if OpenTelemetry, an optional dependency, is not installed.
"""

import re
from collections.abc import Mapping
from random import getrandbits
from typing import Any, Final, NamedTuple

SAMPLED: Final = 0x01
RANDOM: Final = 0x02

# Later versions may append fields (section 4.3).
TRACEPARENT: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})"
    r"-(?P<trace>(?!0{32})[0-9a-f]{32})"
    r"-(?P<span>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})"
    r"(?P<rest>-.*)?"
)


class TraceContext(NamedTuple):
    """The ids of a trace and of one of its spans, in hexadecimal, and its flags."""

    trace_id: str
    span_id: str
    flags: int = RANDOM

    @property
    def sampled(self) -> bool:
        """Whether the caller may have recorded this trace."""
        return bool(self.flags & SAMPLED)

    @property
    def traceparent(self) -> str:
        """The value of the header: hexadecimal digits and hyphens."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def received(environ: Mapping[str, Any]) -> TraceContext:
    """Return the trace context of a WSGI request; a new one if its header is missing or invalid."""
    given = environ.get("HTTP_TRACEPARENT")
    return (given and parsed(given)) or new()


def new() -> TraceContext:
    """Return a new trace context, not sampled."""
    digits = f"{getrandbits(192):048x}"  # not a secret
    return TraceContext(digits[:32], digits[32:])


def parsed(traceparent: str) -> TraceContext | None:
    """Return the trace context of a header value; None if it is not valid."""
    match = TRACEPARENT.fullmatch(traceparent)
    if match is None or (match["version"] == "00" and match["rest"]):
        return None
    flags = int(match["flags"], 16) & (SAMPLED | RANDOM)
    return TraceContext(match["trace"], match["span"], flags)
