"""The URL of a database: which server it means, and how that one is known to be the right one."""

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import psycopg2
from psycopg2.extensions import parse_dsn

SSL_MODES: Final = ("require", "verify-ca", "verify-full")
"""Those that never fall back to plain text: libpq, "SSL Support", table of sslmode values."""

BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora and its relatives
    "/etc/ssl/cert.pem",  # macOS, Alpine
)
"""Where systems keep the certificates of the authorities that they trust."""

MASK: Final = "********"

OVERRULING: Final = (
    "PGHOSTADDR",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGOPTIONS",
    "PGCLIENTENCODING",
    "PGDATESTYLE",
    "PGGEQO",
    "PGTZ",
)
"""Variables by which libpq would go to another server than the URL names, or alter each session."""


UNKNOWN: Final = re.compile('invalid URI query parameter: "(.*)"')

FOREIGN: Final = (
    # Prisma
    *("connection_limit", "pgbouncer", "pool_timeout", "schema", "single_use_connections"),
    *("socket_timeout", "sslaccept", "sslidentity", "statement_cache_size"),
    # node-postgres, JDBC, pgx, Rails, Django, asyncpg, Supabase
    *("ssl", "uselibpqcompat", "currentSchema", "prepareThreshold", "reWriteBatchedInserts"),
    *("default_query_exec_mode", "pool_max_conns", "statement_cache_capacity", "search_path"),
    *("pool", "encoding", "conn_max_age", "async_fallback", "prepared_statement_cache_size"),
    "supa",
)
"""Parameters that other libraries take in such a URL."""


class UnknownParameter(ValueError):
    """A parameter of the URL that libpq does not know.

    The message names it if another library takes it. Any other name may be part of a password, as
    where one with a question mark was not encoded.
    """

    def __init__(self, name: str) -> None:
        named = f"the parameter {name}" if name in FOREIGN else "a parameter"
        super().__init__(f"no parameter but libpq's: remove {named} from it")


def overrule_environment() -> None:
    """Let the URL alone say which server and which kind of session is meant, in this process.

    What libpq's variables say of passwords and certificates (PGPASSFILE, PGSSLROOTCERT and the
    like) completes the URL as ever. Times of sessions are UTC: libpq tells so at connect, and
    PgBouncer keeps it for each client, where it refuses `options`.
    """
    for name in OVERRULING:
        os.environ.pop(name, None)
    os.environ["PGTZ"] = "UTC"


def sqlalchemy_url(text: str) -> str:
    """The database's URL with the driver in it.

    Raises UnknownParameter, and ValueError for what is no URL of a database.
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
    """Name the system's bundle where the server is to be verified and the URL names none.

    The library's own ways do not lead to one: `system` means the directory that the wheel's OpenSSL
    was built in, and without sslrootcert a file in the home directory is looked for.
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
    """Refuse what libpq does not know, or would take to another host than is looked at here."""
    try:
        known = parse_dsn(urlunsplit(parts._replace(scheme="postgresql")))
    except psycopg2.ProgrammingError as error:
        if unknown := UNKNOWN.search(str(error)):
            raise UnknownParameter(unknown[1]) from None
        raise ValueError from None
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if len(set(names)) < len(names) or "hostaddr" in known:
        raise ValueError
    if known.get("host", "").lower() != parts.hostname or "," in known["host"]:
        raise ValueError


def _options(parts: SplitResult) -> dict[str, str]:
    return dict(parse_qsl(parts.query, keep_blank_values=True))


def is_here(parts: SplitResult) -> bool:
    """Whether the server is on this host."""
    return parts.hostname in {"localhost", "127.0.0.1", "::1"}


def is_pooled(url: str | None) -> bool:
    """Whether the URL names a pooler of Neon's, where a migration's locks would not hold."""
    host = urlsplit(url).hostname if url else None
    return host is not None and host.split(".")[0].endswith("-pooler")


def is_encrypted(url: str) -> bool:
    """Whether nothing of the connection can be read on its way, as it stays here or is TLS."""
    parts = urlsplit(url)
    return is_here(parts) or _options(parts).get("sslmode") in SSL_MODES


def can_be_verified(url: str) -> bool:
    """Whether the file of certificates that the URL names, if it names one, can be read."""
    bundle = _options(urlsplit(url)).get("sslrootcert")
    return bundle in {None, "", "system"} or os.access(bundle, os.R_OK)


def without_credentials(url: object) -> str:
    """The URL for a person to read: no user, no password, no options."""
    parts = urlsplit(str(url))
    user = f"{MASK}@" if parts.username or parts.password else ""
    return f"{parts.scheme}://{user}{parts.netloc.rpartition('@')[2]}{unquote(parts.path)}"
