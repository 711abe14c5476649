"""Another issuer: its keys, the server that publishes them, and the tokens that it signs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

NAME = "https://issuer.example.com/"
AUDIENCE = "tasks"


def new_key(algorithm: str) -> Any:
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


@cache
def usual_key(algorithm: str) -> Any:
    """The same in every test, as making one takes long."""
    return new_key(algorithm)


class Issuer:
    """Publishes its public keys at `url`, and counts how often it is asked."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/keys"
        self.private = {
            algorithm.lower(): (algorithm, usual_key(algorithm))
            for algorithm in ("RS256", "ES256", "EdDSA")
        }
        self.changes: dict[str, dict[str, Any]] = {}
        """What is published of a key otherwise; None leaves a member out."""
        self.status = 200
        self.body: bytes | None = None
        self.requests: list[str] = []

    def published(self) -> bytes:
        keys = []
        for kid, (algorithm, key) in self.private.items():
            as_jwk = get_default_algorithms()[algorithm].to_jwk(key.public_key(), as_dict=True)
            jwk = {
                **as_jwk,
                "kid": kid,
                "use": "sig",
                "alg": algorithm,
                **self.changes.get(kid, {}),
            }
            keys.append({name: value for name, value in jwk.items() if value is not None})
        return json.dumps({"keys": keys}).encode()

    def sign(
        self, kid: str = "es256", *, headers: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """A token with these claims and headers; what is None is left out."""
        algorithm, key = self.private[kid]
        named = {"kid": kid, **(headers or {})}
        given = {name: value for name, value in named.items() if value is not None}
        return jwt.encode(claims_of(**claims), key, algorithm, given)


@dataclass(frozen=True)
class FromNow:
    """A time, in seconds from when the token is made."""

    seconds: int


def claims_of(**changed: Any) -> dict[str, Any]:
    now = int(time())
    claims = {"iss": NAME, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 600}
    return {
        name: now + value.seconds if isinstance(value, FromNow) else value
        for name, value in {**claims, **changed}.items()
        if value is not None
    }


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """An issuer that answers until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.requests.append(self.path)
            self.send_response(issuer.status)
            self.end_headers()
            self.wfile.write(issuer.published() if issuer.body is None else issuer.body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer = Issuer(server.server_address[1])
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
