"""The trace that a request belongs to, as its headers tell it (W3C, "Trace Context", level 2)."""

import re
from collections.abc import Mapping
from random import getrandbits
from typing import Any, Final, NamedTuple

SAMPLED: Final = 0x01
RANDOM: Final = 0x02

# A version to come may say more behind its flags (section 4.3).
TRACEPARENT: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})"
    r"-(?P<trace>(?!0{32})[0-9a-f]{32})"
    r"-(?P<span>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})"
    r"(?P<rest>-.*)?"
)
_KEY = r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_VALUE = r"[ -+\--<>-~]{0,255}[!-+\--<>-~]"
MEMBER: Final = re.compile(f"{_KEY}={_VALUE}")
MOST_MEMBERS: Final = 32


class TraceContext(NamedTuple):
    """A place in a trace: the ids of the trace and of one span of it, in hexadecimal."""

    trace_id: str
    span_id: str
    flags: int = RANDOM
    state: str = ""
    """What tracing systems say of it besides; checked, and passed on as it is."""
    given: bool = False
    """Whether the request named it; it began here otherwise."""

    @property
    def sampled(self) -> bool:
        """Whether somebody records this trace."""
        return bool(self.flags & SAMPLED)

    @property
    def traceparent(self) -> str:
        """As a header has it: hexadecimal digits and hyphens."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def received(environ: Mapping[str, Any]) -> TraceContext:
    """The trace that the request names, or a new one where it names none or is not well-formed."""
    given = environ.get("HTTP_TRACEPARENT")
    return (given and parsed(given, environ.get("HTTP_TRACESTATE", ""))) or new()


def new() -> TraceContext:
    """A trace that begins here, and that nobody records."""
    digits = f"{getrandbits(192):048x}"  # not for a secret
    return TraceContext(digits[:32], digits[32:])


def parsed(traceparent: str, tracestate: str = "") -> TraceContext | None:
    """What the two headers say, if the first is valid; the second may be ignored alone."""
    match = TRACEPARENT.fullmatch(traceparent)
    if match is None or (match["version"] == "00" and match["rest"]):
        return None
    flags = int(match["flags"], 16) & (SAMPLED | RANDOM)
    state = tracestate and valid_state(tracestate)
    return TraceContext(match["trace"], match["span"], flags, state, given=True)


def valid_state(tracestate: str) -> str:
    """Its members, or nothing if one of them is not well-formed, or is there twice."""
    members = [member for part in tracestate.split(",") if (member := part.strip(" \t"))]
    keys = {member.partition("=")[0] for member in members}
    valid = len(keys) == len(members) <= MOST_MEMBERS and all(map(MEMBER.fullmatch, members))
    return ",".join(members) if valid else ""
