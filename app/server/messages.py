"""gunicorn's requests and answers, without what it does anew for each and need not.

What it checks it checks as ever.
"""

import math
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, cast

from gunicorn import http, util
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.message import TOKEN_RE, Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import HEADER_VALUE_RE, Response

UNREAD_BYTES: Final = 65536
"""Of a body that the application did not want; what is longer is not read to save a connection."""


class Message(Request):  # type: ignore[misc]  # gunicorn has no types
    """A request that ends its connection where much of its body is left unread."""

    def should_close(self) -> bool:
        """Whether the answer says `Connection: close`."""
        return bool(super().should_close()) or unread(self.body) > UNREAD_BYTES

    def _peer_is_trusted_proxy(self) -> bool:
        """As ever, but where nobody is trusted, nobody's address is parsed."""
        somebody = self.cfg.forwarded_allow_ips or not isinstance(self.peer_addr, tuple)
        return bool(somebody and super()._peer_is_trusted_proxy())


def unread(body: Any) -> float:
    """How many bytes are left of a request's body; infinitely many if it does not say."""
    if body.failed or getattr(body.reader, "parser", None):
        return math.inf
    return getattr(body.reader, "length", 0)


class Parser(RequestParser):  # type: ignore[misc]
    """Reads the requests of a connection."""

    mesg_class = Message
    postponed: Message | None = None
    """A request that was read and is to be given again."""

    def __next__(self) -> Message:
        """The next request."""
        if postponed := self.postponed:
            self.postponed = None
            return postponed
        return cast(Message, super().__next__())

    def postpone(self, request: Message) -> None:
        """Give the request again, whose body nobody has read."""
        request._expected_100_continue = False  # the client has been told to go on
        self.postponed = request

    def finish_body(self, *limits: Any, **named_limits: Any) -> bool:
        """Read what is left of the body, if anything is."""
        if self.mesg and not unread(self.mesg.body):
            return True
        return bool(super().finish_body(*limits, **named_limits))


class Answer(Response):  # type: ignore[misc]
    """A response to a request."""

    def process_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """As ever, but what depends on a header's name alone is found out once for each name."""
        for name, value in headers:
            if is_plain(name) and isinstance(value, str) and HEADER_VALUE_RE.fullmatch(value):
                self.headers.append((name, value.strip(" \t")))
            else:
                super().process_headers([(name, value)])


SPECIAL: Final = {*util.hop_headers, "content-length"}


@lru_cache(maxsize=256)
def is_plain(name: object) -> bool:
    """Whether this is a header's name, and of one that means nothing to gunicorn."""
    return isinstance(name, str) and bool(TOKEN_RE.fullmatch(name)) and name.lower() not in SPECIAL


def adapt(cfg: Config) -> None:
    """Have gunicorn answer so, in this process; it has no settings for it."""
    # As attributes, its settings are found without a search of gunicorn's own.
    vars(cfg).update({name: setting.get() for name, setting in cfg.settings.items()})
    environ = wsgi.base_environ(cfg)
    wsgi.base_environ = lambda _: environ.copy()
    wsgi.Response = Answer
    http.RequestParser = Parser
    http_date = lru_cache(maxsize=1)(util.http_date)
    util.http_date = lambda at=None: http_date(int(time.time() if at is None else at))
