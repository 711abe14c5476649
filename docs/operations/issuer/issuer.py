"""An issuer of access tokens to try the service with: it signs whatever it is asked for.

    issuer.py KEY serve PORT            publish the key at http://127.0.0.1:PORT/jwks.json
    issuer.py KEY token NAME=VALUE...   print an access token with these claims

KEY is the file of the private key, which is made if it does not exist. The times iat, exp and
auth_time are in seconds from now. ../sign-in-elsewhere.md shows how to use it.
"""

import json
import sys
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm

KEY_ID = "try-out"
PATH = "/jwks.json"
TIMES = ("iat", "exp", "auth_time")
SECONDS = 300


def private_key(file: Path) -> Any:
    """Return the key in the file, which only its owner may read."""
    if not file.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        file.touch(0o600)
        file.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return load_pem_private_key(file.read_bytes(), None)


def key_set(key: Any) -> bytes:
    """Return the public key as a JSON Web Key Set (RFC 7517, section 5)."""
    jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return json.dumps({"keys": [{**jwk, "kid": KEY_ID, "use": "sig", "alg": "ES256"}]}).encode()


def serve(key: Any, port: int) -> None:
    """Publish the public key until this process is stopped."""
    published = key_set(key)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == PATH else 404)
            self.end_headers()
            self.wfile.write(published if self.path == PATH else b"")

    HTTPServer(("127.0.0.1", port), Handler).serve_forever()


def token(key: Any, given: Sequence[str]) -> str:
    """Return an access token (RFC 9068) that is issued now and lasts five minutes.

    Each claim is given as `name=value`; of a name that is given twice, the last value counts.
    """
    now = int(time.time())
    claims: dict[str, Any] = {"iat": 0, "exp": SECONDS}
    claims.update(each.split("=", 1) for each in given)
    moments = {name: now + int(claims[name]) for name in TIMES if name in claims}
    return jwt.encode({**claims, **moments}, key, "ES256", {"kid": KEY_ID, "typ": "at+jwt"})


def main(arguments: Sequence[str]) -> None:
    """Do what the arguments say. Exits with the usage if they are others than those above."""
    match arguments:
        case [file, "serve", port]:
            serve(private_key(Path(file)), int(port))
        case [file, "token", *given]:
            print(token(private_key(Path(file)), given))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
