"""The settings of the service: read once from the environment, frozen, refused if unsafe."""

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

from app.core.database_url import (
    can_be_verified,
    is_encrypted,
    is_pooled,
    without_credentials,
)
from app.core.grip_url import grip_url
from app.core.hosts import origin, trusted_host
from app.core.mail_server import mail_url
from app.core.principal import PERMISSIONS
from app.core.public_addresses import network
from app.core.sender import mail_from
from app.core.setting_fields import (
    DATABASE,
    LEAST_BYTES,
    bearer_secret,
    choice,
    database,
    folder,
    hidden,
    integer,
    joined_pairs,
    matching,
    scopes,
    seconds,
    secret,
    separated,
    setting,
    without_query,
)

ROOT: Final = Path(__file__).resolve().parents[2]
"""The directory of the project."""

FAILED_TO_LOAD: Final = 4
"""Exit status after which gunicorn does not start a worker again (gunicorn/arbiter.py)."""

_TEXT: Final = matching(r"[^\s\x00-\x1f]+")
_PERMISSIONS: Final = f"{', '.join(PERMISSIONS[:-1])} and {PERMISSIONS[-1]}"


class ConfigurationError(Exception):
    """An invalid configuration; the message is one line and never shows a secret."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Every setting with its default; durations are in seconds, sizes in bytes."""

    app_env: str = choice("development", "development", "test", "production")
    database_url: str | None = database()
    database_url_unpooled: str | None = database(f"{DATABASE}; never a -pooler host")
    jwt_secret: str | None = setting(None, f"at least {LEAST_BYTES} random bytes", secret, hidden)
    jwt_secrets_accepted: tuple[str, ...] = setting(
        (),
        f"comma-separated secrets of at least {LEAST_BYTES} random bytes each, beside JWT_SECRET",
        separated(secret),
        hidden,
    )
    jwt_jwks_url: str | None = setting(
        None, "an https:// URL", matching(r"https?://[^\s@]+"), without_query
    )
    jwt_issuer: str | None = setting(None, "text without spaces", _TEXT)
    jwt_audience: str | None = setting(None, "text without spaces", _TEXT)
    jwt_scopes: tuple[tuple[str, str], ...] = setting(
        (),
        f"pairs such as read:tasks=tasks:read with spaces between them; ours are {_PERMISSIONS}",
        scopes,
        joined_pairs,
    )
    db_pool_size: int = integer(5, 1, 100)
    db_max_overflow: int = integer(15, 0, 100)
    db_pool_timeout: float = seconds(2.0, 0.1, 60)
    db_connect_timeout: int = integer(5, 1, 60)
    db_statement_timeout: float = seconds(5.0, 0.1, 60)
    request_deadline: float = seconds(10.0, 0.5, 60)
    shutdown_grace: float = seconds(5.0, 0, 60)
    max_body_bytes: int = integer(1_048_576, 1024, 104_857_600)
    cors_origins: tuple[str, ...] = setting(
        (),
        "comma-separated origins such as https://app.example.com; ASCII, no path, no wildcard",
        separated(origin),
        ",".join,
    )
    trusted_hosts: tuple[str, ...] = setting(
        (),
        "comma-separated host names or addresses without a port; a leading dot admits subdomains",
        separated(trusted_host),
        ",".join,
    )
    trusted_proxies: int = integer(0, 0, 10)
    ratelimit_storage_uri: str = setting(
        "memory://",
        "memory://, redis:// or rediss:// with host",
        matching(r"memory://|rediss?://[^\s?#]+"),
        without_credentials,
    )
    registration: str = choice("open", "open", "confirmed", "closed")
    session_days: int = integer(90, 1, 3650)
    ratelimit_per_user: int = integer(1000, 0, 1_000_000)
    ratelimit_per_address: int = integer(3000, 0, 1_000_000)
    quota_rows: int = integer(250_000, 0, 10_000_000)
    quota_bytes: int = integer(536_870_912, 0, 999_999_999_999)
    mail_url: str | None = setting(
        None,
        "smtp+starttls:// or smtps:// with host, and user and password if needed; smtp:// only to "
        "this host",
        mail_url,
        without_credentials,
    )
    mail_from: str | None = setting(
        None, "one e-mail address, alone or as Name <address>", mail_from
    )
    mail_texts: str | None = setting(None, "a folder that exists", folder)
    public_url: str | None = setting(
        None,
        "an https:// URL without user and query, in ASCII",
        matching(r"https?://[A-Za-z0-9.:\[\]-]+(/[!->A-~]*)?"),
    )
    webhook_allow_networks: tuple[str, ...] = setting(
        (),
        "comma-separated networks such as 10.0.0.0/8 or fd00::/8",
        separated(network),
        ",".join,
    )
    grip_url: str | None = setting(
        None,
        f"an http:// URL with host and ?key= of at least {LEAST_BYTES} random bytes, perhaps &iss=",
        grip_url,
        without_query,
    )
    worker_health_file: str | None = setting(
        None, "an absolute path of a file", matching(r"/[^\x00-\x1f]*[^/\x00-\x1f]")
    )
    metrics_token: str | None = setting(
        None, f"at least {LEAST_BYTES} random characters without spaces", bearer_secret, hidden
    )
    port: int = integer(8000, 1, 65535)
    web_concurrency: int = integer(2, 1, 64)
    web_threads: int = integer(4, 1, 64)
    log_level: str = choice("INFO", "DEBUG", "INFO", "WARNING", "ERROR")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read and check every setting; an empty variable counts as unset.

        Raises ConfigurationError with one line that names the variable.
        """
        values = {
            item.name: _parse(item, text)
            for item in fields(cls)
            if (text := environment.get(variable_of(item), "").strip())
        }
        settings = cls(**values)
        if refusal := next(_refusals(settings), None):
            raise ConfigurationError(refusal)
        return settings

    @property
    def production(self) -> bool:
        """Whether unsafe settings and the embedded database are refused."""
        return self.app_env == "production"

    @property
    def sends_mail(self) -> bool:
        """Whether mails are sent or, outside production, logged with their links."""
        return self.mail_url is not None or not self.production

    @property
    def migration_url(self) -> str | None:
        """The database URL for migrations: DATABASE_URL_UNPOOLED, or else DATABASE_URL."""
        return self.database_url_unpooled or self.database_url

    def masked(self) -> dict[str, str]:
        """Return every variable with its value as text, secrets hidden."""
        values = {item: getattr(self, item.name) for item in fields(self)}
        return {
            variable_of(item): "" if value is None else item.metadata["show"](value)
            for item, value in values.items()
        }


def variable_of(setting: Field[Any]) -> str:
    """Return the name of the environment variable that a setting is read from."""
    return setting.name.upper()


def _parse(item: Field[Any], text: str) -> Any:
    try:
        return item.metadata["parse"](text)
    except ValueError:
        expects = item.metadata["expects"]
        raise ConfigurationError(f"{variable_of(item)} expects {expects}") from None


def _refusals(settings: Settings) -> Iterator[str]:
    """Yield a line for each combination of settings that is incomplete or unsafe."""
    production, keys = settings.production, settings.jwt_jwks_url
    if is_pooled(settings.database_url_unpooled):
        yield "DATABASE_URL_UNPOOLED expects the direct host, not a -pooler one"
    for name in ("DATABASE_URL", "DATABASE_URL_UNPOOLED"):
        url = getattr(settings, name.lower())
        if url and not is_encrypted(url):
            yield f"{name} expects sslmode=require or stricter for this host"
        if url and production and not can_be_verified(url):
            yield f"{name} expects sslrootcert to name a file of certificates that can be read"
    if production and not settings.database_url:
        yield f"DATABASE_URL is required in production: {DATABASE}"
    if settings.jwt_secrets_accepted and not settings.jwt_secret:
        yield "JWT_SECRETS_ACCEPTED needs JWT_SECRET beside it"
    if keys and not (settings.jwt_issuer and settings.jwt_audience):
        yield "JWT_JWKS_URL needs JWT_ISSUER and JWT_AUDIENCE beside it"
    if settings.jwt_scopes and not keys:
        yield "JWT_SCOPES needs JWT_JWKS_URL beside it"
    if production and not (settings.jwt_secret or keys):
        yield "JWT_SECRET or JWT_JWKS_URL is required in production"
    if production and keys and not keys.startswith("https://"):
        yield "JWT_JWKS_URL expects an https:// URL in production"
    if settings.registration == "confirmed" and not settings.sends_mail:
        yield "REGISTRATION=confirmed needs MAIL_URL"
    if settings.mail_url and not (settings.mail_from and settings.public_url):
        yield "MAIL_URL needs MAIL_FROM and PUBLIC_URL beside it"
    if production and settings.public_url and not settings.public_url.startswith("https://"):
        yield "PUBLIC_URL expects an https:// URL in production"
