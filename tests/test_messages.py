"""gunicorn's requests and answers as the worker has them: cheaper, and no less careful."""

from typing import Any

import pytest
from gunicorn import http, util
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName

from app.server.messages import UNREAD_BYTES, Answer, Message, Parser, adapt

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
FORWARDED = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Proto: https\r\n\r\n"


@pytest.fixture
def configuration() -> Config:
    return Config()


def parsed(configuration: Config, *pieces: bytes, peer: Any = ("192.0.2.1", 1)) -> Parser:
    return Parser(configuration, iter(pieces), peer)


def answer(configuration: Config, *headers: Any) -> Answer:
    response = Answer(next(parsed(configuration, REQUEST)), None, configuration)
    response.start_response("200 OK", list(headers))
    return response


@pytest.mark.parametrize("name", ["ETag ", "", "E\r\nTag", "ÉTag", "ETag:", b"ETag", None])
def test_what_is_no_name_of_a_header_is_refused_each_time(
    configuration: Config, name: object
) -> None:
    for _ in range(2):
        with pytest.raises((InvalidResponseHeaderName, TypeError)):
            answer(configuration, (name, "1"))


@pytest.mark.parametrize(
    "value", ["1\r\nSet-Cookie: a", "1\n", "\0", "\x7f", "\u0100", b"1", 1, None]
)
def test_what_is_no_value_of_a_header_is_refused_under_a_name_that_is_known(
    configuration: Config, value: object
) -> None:
    answer(configuration, ("ETag", "1"))
    with pytest.raises((InvalidResponseHeader, TypeError)):
        answer(configuration, ("ETag", value))


def test_headers_are_sent_in_their_order_and_trimmed(configuration: Config) -> None:
    headers = [("ETag", ' "1"\t'), ("Vary", "Origin"), ("ETag", '"2"')]
    assert answer(configuration, *headers).headers == [
        ("ETag", '"1"'),
        ("Vary", "Origin"),
        ("ETag", '"2"'),
    ]


def test_headers_that_the_server_gives_itself_are_not_the_applications(
    configuration: Config,
) -> None:
    own = ["Connection", "Keep-Alive", "Transfer-Encoding", "TE", "Server", "DATE"]
    assert answer(configuration, *((name, "chunked") for name in own)).headers == []


@pytest.mark.parametrize("name", ["Content-Length", "content-length"])
def test_no_more_is_sent_than_the_length_says(configuration: Config, name: str) -> None:
    assert answer(configuration, (name, "5")).response_length == 5


@pytest.mark.parametrize(
    ("trusted", "peer", "scheme"),
    [
        ("", ("192.0.2.1", 1), "http"),
        ("192.0.2.1", ("192.0.2.1", 1), "https"),
        ("192.0.2.0/24", ("192.0.2.1", 1), "https"),
        ("192.0.2.2", ("192.0.2.1", 1), "http"),
        ("*", ("192.0.2.1", 1), "https"),
        ("", "/run/socket", "https"),
    ],
)
def test_the_scheme_is_believed_of_whom_gunicorn_is_told_to_trust(
    configuration: Config, trusted: str, peer: Any, scheme: str
) -> None:
    configuration.set("forwarded_allow_ips", trusted)
    assert next(parsed(configuration, FORWARDED, peer=peer)).scheme == scheme


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 3\r\n\r\none",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n",
        b"\r\n",
    ],
)
@pytest.mark.parametrize("read", [0, 1, 3, 4])
def test_what_is_left_of_a_body_is_no_part_of_the_next_request(
    configuration: Config, body: bytes, read: int
) -> None:
    parser = parsed(configuration, b"POST / HTTP/1.1\r\nHost: localhost\r\n" + body, REQUEST)
    next(parser).body.read(read)
    assert parser.finish_body()
    assert next(parser).method == "GET"


def test_a_connection_ends_rather_than_that_much_is_read_for_nobody(
    configuration: Config,
) -> None:
    for length, ends in ((UNREAD_BYTES, False), (UNREAD_BYTES + 1, True)):
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        assert next(parsed(configuration, head.encode())).should_close() == ends


def test_gunicorn_answers_so_once_it_is_adapted(
    configuration: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, name in (
        (wsgi, "base_environ"),
        (wsgi, "Response"),
        (http, "RequestParser"),
        (util, "http_date"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    adapt(configuration)
    assert util.http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    request = next(http.get_parser(configuration, iter([REQUEST]), ("192.0.2.1", 1)))
    peers = ("192.0.2.1", 1), ("192.0.2.2", 2)
    response, environ = wsgi.create(request, None, *peers, configuration)
    _, other = wsgi.create(request, None, *peers, configuration)
    assert (type(request), type(response)) == (Message, Answer)
    assert environ is not other
    assert configuration.keepalive == configuration.settings["keepalive"].get()
    assert not configuration.is_ssl
