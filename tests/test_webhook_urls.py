"""Which URLs a webhook may have, and which addresses it may lead to: nothing of the operator's."""

import socket
import ssl
import time
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from app.core.public_addresses import is_public
from app.core.webhook_urls import WebhookUrl
from app.ops.hooks import calling, connecting
from app.ops.hooks.calling import Answer, Call
from app.ops.hooks.connecting import Refused, addresses_of
from tests.conftest import Account
from tests.hooks import HERE
from tests.rig.certificates import Authority
from tests.rig.receiver import Dripping, Receiver
from tests.rig.smtp import context_of, identity

HERE_ALLOWED = (HERE["WEBHOOK_ALLOW_NETWORKS"],)

PRIVATE = (
    "0.0.0.0",
    "0.1.2.3",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.175.48.1",
    "2620:4f:8000::1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
)

PUBLIC = ("1.1.1.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "192.0.1.1", "2606:4700::1111")


# Addresses


@pytest.mark.parametrize("text", PRIVATE)
def test_an_address_that_is_not_public_is_known(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_an_address_that_is_public_is_known(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize("text", PRIVATE)
def test_a_url_with_a_private_address_is_refused(alice: Account, text: str) -> None:
    host = f"[{text}]" if ":" in text else text
    answer = create(alice, f"https://{host}/")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/url"


# URLs


def create(account: Account, url: Any) -> Any:
    return account.post("/v1/webhooks", json={"url": url, "events": ["changes"]})


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "file:///etc/passwd",
        "gopher://hooks.example.com/",
        "javascript:alert(1)",
        "//hooks.example.com/",
        "https:/hooks.example.com/",
        "https:hooks.example.com",
        "https://",
        "https:///path",
        "https://:443/",
        "https://?query",
        "https://user@hooks.example.com/",
        "https://user:password@hooks.example.com/",
        "https://hooks.example.com@127.0.0.1/",
        "https://127.0.0.1\\@hooks.example.com/",
        "https://hooks.example.com\\.127.0.0.1/",
        "https://hooks.example.com/#fragment",
        "https://hooks.example.com#@127.0.0.1/",
        "https://hooks.example.com:22/",
        "https://hooks.example.com:25/",
        "https://hooks.example.com:80/",
        "https://hooks.example.com:0/",
        "https://hooks.example.com:65536/",
        "https://hooks.example.com:99999999999/",
        "https://hooks.example.com:/",
        "https://hooks.example.com:8443a/",
        "https://127.1/",
        "https://127.0.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.01/",
        "https://0x7f.0.0.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://\uff11\uff12\uff17.0.0.1/",
        "https://127.0.0.1./",
        "https://①②⑦.0.0.1/",
        "https://%31%32%37.0.0.1/",
        "https://[::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[::1/",
        "https://::1/",
        "https://[hooks.example.com]/",
        "https://-hooks.example.com/",
        "https://hooks..example.com/",
        "https://.example.com/",
        "https://" + "a" * 64 + ".example.com/",
        "https://" + "a." * 130 + "example.com/",
        "https://hooks.example.com/" + "a" * 2000,
        "https://hooks.example.com/a b",
        "https://hooks.example.com/a\tb",
        "https://hooks.example.com/\r\nX-Injected: 1",
        "https://hooks.exam\nple.com/",
        " https://hooks.example.com/",
        "https://hooks.example.com/ ",
        "https://hooks.example.com/\x00",
        "https://hooks.example.com/ä",
        "https://ho oks.example.com/",
        "https://xn--a\u0308.example.com/",
        "",
        None,
        1,
        ["https://hooks.example.com/"],
    ],
)
def test_a_url_that_no_webhook_may_have_is_refused(alice: Account, url: Any) -> None:
    answer = create(alice, url)
    assert answer.status_code == 422, answer.text
    assert answer.json["errors"][0]["pointer"] == "/url"


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("https://hooks.example.com", "https://hooks.example.com/"),
        ("HTTPS://Hooks.Example.COM:443/A?b=C", "https://hooks.example.com/A?b=C"),
        ("https://hooks.example.com:8443?x", "https://hooks.example.com:8443/?x"),
        ("https://hooks.example.com./", "https://hooks.example.com/"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://faß.example/", "https://xn--fa-hia.example/"),
        ("https://1.1.1.1/", "https://1.1.1.1/"),
        ("https://[2606:4700:0:0:0:0:0:1111]/", "https://[2606:4700::1111]/"),
        ("https://a_b.example.com/%2e%2e/", "https://a_b.example.com/%2e%2e/"),
    ],
)
def test_a_url_is_stored_in_its_plain_form(alice: Account, url: str, stored: str) -> None:
    answer = create(alice, url)
    assert (answer.status_code, answer.json["url"]) == (201, stored)


def test_a_long_text_is_refused_before_it_is_matched(alice: Account) -> None:
    begun = time.process_time()
    assert create(alice, "https://" + "a" * 900_000).status_code == 422
    assert time.process_time() - begun < 2


# What a name leads to


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names resolve to these addresses, one list after the other; returns the names asked."""
    asked: list[str] = []
    left = [*answers]

    def ask(host: str, port: int, **_options: Any) -> list[Any]:
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port),
            )
            for address in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    return asked


@pytest.mark.parametrize("address", [*PRIVATE, "fe80::1%eth0"])
def test_a_name_that_leads_to_a_private_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    resolving(monkeypatch, [address])
    with pytest.raises(Refused, match="ForbiddenAddress"):
        addresses_of(WebhookUrl.parse("https://hooks.example.com/"), (), 5)


def test_a_name_with_one_private_address_among_public_ones_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, ["1.1.1.1", "127.0.0.1"])
    with pytest.raises(Refused, match="ForbiddenAddress"):
        addresses_of(WebhookUrl.parse("https://hooks.example.com/"), (), 5)


def test_the_address_that_was_checked_is_the_one_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that leads elsewhere when it is asked again is not asked again."""
    with Receiver() as receiver:
        asked = resolving(monkeypatch, ["127.0.0.1"], ["192.0.2.1"])
        url = WebhookUrl.parse(receiver.url("/", host="hooks.example.com"))
        answer = Call(url, HERE_ALLOWED, ssl.create_default_context()).send({}, b"{}")
        assert answer == Answer(204)
        assert asked == ["hooks.example.com"]
        [message] = receiver.received
        assert message.headers["host"] == f"hooks.example.com:{receiver.port}"


def test_a_name_is_resolved_and_checked_for_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as receiver:
        resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.1", "10.0.0.1"])
        url = WebhookUrl.parse(receiver.url("/", host="hooks.example.com"))
        context = ssl.create_default_context()
        assert Call(url, HERE_ALLOWED, context).send({}, b"{}") == Answer(204)
        again = Call(url, HERE_ALLOWED, context).send({}, b"{}")
        assert again == Answer(error="ForbiddenAddress")
        assert len(receiver.received) == 1


def test_http_is_for_admitted_networks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["1.1.1.1"])
    with pytest.raises(Refused, match="NotHttps"):
        addresses_of(WebhookUrl.parse("http://hooks.example.com/"), HERE_ALLOWED, 5)


def test_a_name_without_an_address_and_one_that_hangs_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = WebhookUrl.parse("https://hooks.example.com/")

    def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(Refused, match="UnknownHost"):
        addresses_of(url, (), 5)
    free = Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: free.wait(30) and [])
    with pytest.raises(Refused, match="Timeout"):
        addresses_of(url, (), 0.05)
    free.set()


# TLS


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority()
    path = tmp_path / "authority.pem"
    path.write_bytes(made.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return made


def test_the_certificate_has_to_be_of_the_name(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, ["127.0.0.1"])
    for name, expected in (
        ("hooks.example.com", Answer(204)),
        ("other.example.com", Answer(error="SSLCertVerificationError")),
    ):
        with Receiver(context_of(identity(authority, name))) as receiver:
            url = WebhookUrl.parse(receiver.url("/", host="hooks.example.com"))
            context = ssl.create_default_context()
            assert Call(url, HERE_ALLOWED, context).send({}, b"{}") == expected


def test_a_certificate_of_an_unknown_authority_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, ["127.0.0.1"])
    with Receiver(context_of(identity(Authority(), "hooks.example.com"))) as receiver:
        url = WebhookUrl.parse(receiver.url("/", host="hooks.example.com"))
        answer = Call(url, HERE_ALLOWED, ssl.create_default_context()).send({}, b"{}")
        assert answer == Answer(error="SSLCertVerificationError")
        assert receiver.received == []


# Bounds


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100,
        b"HTTP/1.1 200 OK\r\n" + b"X-Header: a\r\n" * 50,
        b"x" * 100,
    ],
)
def test_a_receiver_that_is_slow_is_cut_when_its_time_is_up(
    monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(calling, "SECONDS", 0.5)
    with Dripping(answer, 0.1) as slow:
        url = WebhookUrl.parse(f"http://127.0.0.1:{slow.port}/")
        call = Call(url, HERE_ALLOWED, ssl.create_default_context())
        ended: list[Answer] = []
        thread = Thread(target=lambda: ended.append(call.send({}, b"{}")))
        thread.start()
        thread.join(0.6)
        call.cut()
        thread.join(30)
        assert [each.accepted for each in ended] == [False]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\n" + b"X-Header: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 90, None),
        (b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"a" * 60_000 + b"\r\n") * 3, "OSError"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, "LineTooLong"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "BadStatusLine"),
        (b"", "RemoteDisconnected"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000, "OSError"),
    ],
)
def test_an_answer_that_is_none_is_an_error(answer: bytes, error: str | None) -> None:
    with Raw(answer) as server:
        url = WebhookUrl.parse(f"http://127.0.0.1:{server.port}/")
        ended = Call(url, HERE_ALLOWED, ssl.create_default_context()).send({}, b"{}")
        assert ended.error == error or (error and ended.status is None)


class Raw(Dripping):
    """Answers all at once."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer, 0)

    def _run(self) -> None:
        while not self.stopped.is_set():
            connection, _ = self.listener.accept()
            with connection:
                try:
                    connection.settimeout(10)
                    connection.recv(65536)
                    connection.sendall(self.answer)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):  # closed with something unread, it would reset
                        pass
                except OSError:
                    continue


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://192.0.2.1:3128")
    with Receiver() as receiver:
        url = WebhookUrl.parse(receiver.url())
        answer = Call(url, HERE_ALLOWED, ssl.create_default_context()).send({}, b"{}")
        assert answer == Answer(204)


def test_few_addresses_of_a_name_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, [f"8.8.8.{n}" for n in range(1, 100)])
    found = addresses_of(WebhookUrl.parse("https://hooks.example.com/"), (), 5)
    assert len(found) == connecting.MOST_ADDRESSES
