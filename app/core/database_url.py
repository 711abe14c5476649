"""Database URLs: validate them, and require TLS and the verification of the server."""

import os
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import psycopg2
from psycopg2.extensions import parse_dsn

SSL_MODES: Final = ("require", "verify-ca", "verify-full")
"""Values of sslmode that never fall back to plain text (libpq, "SSL Support")."""

BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora and its relatives
    "/etc/ssl/cert.pem",  # macOS, Alpine
)
"""Where operating systems store the certificates of trusted authorities."""

MASK: Final = "********"

OVERRULING: Final = (
    *("PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE", "PGOPTIONS"),
    *("PGCLIENTENCODING", "PGDATESTYLE", "PGGEQO", "PGTZ"),
)
"""Variables that would make libpq use another server than the URL names, or change each session."""


def overrule_environment() -> None:
    """Remove the libpq variables of this process that would override the URL.

    Variables for passwords and certificates (PGPASSFILE, PGSSLROOTCERT) keep their effect. PGTZ
    sets the time zone of sessions to UTC at connect; PgBouncer keeps it for each client, whereas it
    refuses `options`.
    """
    for name in OVERRULING:
        os.environ.pop(name, None)
    os.environ["PGTZ"] = "UTC"


def sqlalchemy_url(text: str) -> str:
    """Return the URL for SQLAlchemy: with its driver, and with TLS for servers on other hosts.

    Raises ValueError for an invalid URL.
    """
    parts = urlsplit(text)
    if parts.scheme not in {"postgres", "postgresql", "postgresql+psycopg2"}:
        raise ValueError
    if not parts.hostname or parts.path in {"", "/"} or parts.port == 0 or parts.fragment:
        raise ValueError
    _require_one_reading(parts)
    if not is_here(parts) and "sslmode" not in _options(parts):
        parts = parts._replace(query=f"{parts.query}&sslmode=require".lstrip("&"))
    return urlunsplit(_with_bundle(parts)._replace(scheme="postgresql+psycopg2"))


def _with_bundle(parts: SplitResult) -> SplitResult:
    """Add the certificates of the operating system if the URL asks for verification without any.

    libpq would not find them: `system` is the directory that the wheel's OpenSSL was built in, and
    the default of sslrootcert is a file in the home directory.
    """
    options = _options(parts)
    root = options.get("sslrootcert", os.environ.get("PGSSLROOTCERT", ""))
    verifying = options.get("sslmode") in SSL_MODES[1:] or root == "system"
    if not verifying or root not in {"", "system"}:
        return parts
    candidates = (os.environ.get("SSL_CERT_FILE", ""), *BUNDLES)
    bundle = next((path for path in candidates if path and os.access(path, os.R_OK)), None)
    if bundle is None or (not root and (Path.home() / ".postgresql/root.crt").exists()):
        return parts
    options |= {"sslrootcert": bundle} | ({"sslmode": "verify-full"} if root else {})
    return parts._replace(query=urlencode(options, safe="/"))


def _require_one_reading(parts: SplitResult) -> None:
    """Refuse URLs that libpq does not accept, or in which it would find another host."""
    try:
        known = parse_dsn(urlunsplit(parts._replace(scheme="postgresql")))
    except psycopg2.ProgrammingError:
        raise ValueError from None
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if len(set(names)) < len(names) or "hostaddr" in known:
        raise ValueError
    if known.get("host", "").lower() != parts.hostname or "," in known["host"]:
        raise ValueError


def _options(parts: SplitResult) -> dict[str, str]:
    return dict(parse_qsl(parts.query, keep_blank_values=True))


def is_here(parts: SplitResult) -> bool:
    """Whether the URL names this host."""
    return parts.hostname in {"localhost", "127.0.0.1", "::1"}


def is_pooled(url: str | None) -> bool:
    """Whether the URL names a pooler of Neon, through which a migration cannot hold its locks."""
    host = urlsplit(url).hostname if url else None
    return host is not None and host.split(".")[0].endswith("-pooler")


def is_encrypted(url: str) -> bool:
    """Whether the connection uses TLS or stays on this host."""
    parts = urlsplit(url)
    return is_here(parts) or _options(parts).get("sslmode") in SSL_MODES


def can_be_verified(url: str) -> bool:
    """Whether the certificate file that the URL names is readable; True if it names none."""
    bundle = _options(urlsplit(url)).get("sslrootcert")
    return bundle in {None, "", "system"} or os.access(bundle, os.R_OK)


def without_credentials(url: object) -> str:
    """Return the URL for display: without user, password and options."""
    parts = urlsplit(str(url))
    user = f"{MASK}@" if parts.username or parts.password else ""
    return f"{parts.scheme}://{user}{parts.netloc.rpartition('@')[2]}{unquote(parts.path)}"
