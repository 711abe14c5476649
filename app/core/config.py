"""The settings of the service: read once from the environment, frozen, refused if unsafe."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

from app.core.database_url import (
    UnknownParameter,
    can_be_verified,
    is_encrypted,
    is_pooled,
    without_credentials,
)
from app.core.principal import PERMISSIONS
from app.core.secret_strength import LEAST_BYTES
from app.core.setting_fields import (
    DATABASE,
    bearer_secret,
    choice,
    database,
    hidden,
    host_names,
    integer,
    joined,
    joined_pairs,
    matching,
    scopes,
    seconds,
    secret,
    secret_list,
    setting,
    without_query,
)
from app.core.web_origin import NotAnOrigin, origins

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

    app_env: str = choice("APP_ENV", "development", "development", "test", "production")
    database_url: str | None = database("DATABASE_URL")
    database_url_unpooled: str | None = database(
        "DATABASE_URL_UNPOOLED", f"{DATABASE}; never a -pooler host"
    )
    jwt_secret: str | None = setting(
        "JWT_SECRET", None, f"at least {LEAST_BYTES} random bytes", secret, hidden
    )
    jwt_secrets_accepted: tuple[str, ...] = setting(
        "JWT_SECRETS_ACCEPTED",
        (),
        f"comma-separated secrets of at least {LEAST_BYTES} random bytes each, beside JWT_SECRET",
        secret_list,
        hidden,
    )
    jwt_jwks_url: str | None = setting(
        "JWT_JWKS_URL", None, "an https:// URL", matching(r"https?://[^\s@]+"), without_query
    )
    jwt_issuer: str | None = setting("JWT_ISSUER", None, "text without spaces", _TEXT)
    jwt_audience: str | None = setting("JWT_AUDIENCE", None, "text without spaces", _TEXT)
    jwt_scopes: tuple[tuple[str, str], ...] = setting(
        "JWT_SCOPES",
        (),
        f"pairs such as read:tasks=tasks:read with spaces between them; ours are {_PERMISSIONS}",
        scopes,
        joined_pairs,
    )
    db_pool_size: int = integer("DB_POOL_SIZE", 5, 1, 100)
    db_max_overflow: int = integer("DB_MAX_OVERFLOW", 15, 0, 100)
    db_pool_timeout: float = seconds("DB_POOL_TIMEOUT", 2.0, 0.1, 60)
    db_connect_timeout: int = integer("DB_CONNECT_TIMEOUT", 5, 1, 60)
    db_statement_timeout: float = seconds("DB_STATEMENT_TIMEOUT", 5.0, 0.1, 60)
    request_deadline: float = seconds("REQUEST_DEADLINE", 10.0, 0.5, 60)
    shutdown_grace: float = seconds("SHUTDOWN_GRACE", 5.0, 0, 60)
    max_body_bytes: int = integer("MAX_BODY_BYTES", 1_048_576, 1024, 104_857_600)
    cors_origins: tuple[str, ...] = setting(
        "CORS_ORIGINS",
        (),
        "comma-separated origins such as https://app.example.com",
        origins,
        joined,
    )
    trusted_hosts: tuple[str, ...] = setting(
        "TRUSTED_HOSTS",
        (),
        "comma-separated host names or addresses without a port; a leading dot admits subdomains",
        host_names,
        joined,
    )
    trusted_proxies: int = integer("TRUSTED_PROXIES", 0, 0, 10)
    ratelimit_storage_uri: str = setting(
        "RATELIMIT_STORAGE_URI",
        "memory://",
        "memory://, redis:// or rediss:// with host",
        matching(r"memory://|rediss?://[^\s?#]+"),
        without_credentials,
    )
    ratelimit_per_user: int = integer("RATELIMIT_PER_USER", 1000, 0, 1_000_000)
    ratelimit_per_address: int = integer("RATELIMIT_PER_ADDRESS", 3000, 0, 1_000_000)
    quota_rows: int = integer("QUOTA_ROWS", 250_000, 0, 10_000_000)
    quota_bytes: int = integer("QUOTA_BYTES", 536_870_912, 0, 999_999_999_999)
    metrics_token: str | None = setting(
        "METRICS_TOKEN",
        None,
        f"at least {LEAST_BYTES} random characters without spaces",
        bearer_secret,
        hidden,
    )
    port: int = integer("PORT", 8000, 1, 65535)
    web_concurrency: int = integer("WEB_CONCURRENCY", 2, 1, 64)
    web_threads: int = integer("WEB_THREADS", 4, 1, 64)
    log_level: str = choice("LOG_LEVEL", "INFO", "DEBUG", "INFO", "WARNING", "ERROR")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read and check every setting; an empty variable counts as unset.

        Raises ConfigurationError with one line that names the variable.
        """
        texts = {item: environment.get(item.metadata["variable"], "") for item in fields(cls)}
        values = {
            item.name: _parse(item.metadata, text.strip())
            for item, text in texts.items()
            if text.strip()
        }
        settings = cls(**values)
        _check_databases(settings)
        _check_tokens(settings)
        return settings

    @property
    def production(self) -> bool:
        """Whether unsafe settings and the embedded database are refused."""
        return self.app_env == "production"

    @property
    def migration_url(self) -> str | None:
        """The database URL for migrations: DATABASE_URL_UNPOOLED, or else DATABASE_URL."""
        return self.database_url_unpooled or self.database_url

    def masked(self) -> dict[str, str]:
        """Return every variable with its value as text, secrets hidden."""
        values = {item: getattr(self, item.name) for item in fields(self)}
        return {
            item.metadata["variable"]: "" if value is None else item.metadata["show"](value)
            for item, value in values.items()
        }


def _parse(metadata: Mapping[str, Any], text: str) -> Any:
    expects = metadata["expects"]
    try:
        return metadata["parse"](text)
    except (NotAnOrigin, UnknownParameter) as error:
        expects = error
    except ValueError:
        pass
    raise ConfigurationError(f"{metadata['variable']} expects {expects}")


def _check_databases(settings: Settings) -> None:
    """Refuse a pooled URL for migrations, and connections that others could read or forge."""
    if is_pooled(settings.database_url_unpooled):
        raise ConfigurationError("DATABASE_URL_UNPOOLED expects the direct host, not a -pooler one")
    for variable in ("DATABASE_URL", "DATABASE_URL_UNPOOLED"):
        url = getattr(settings, variable.lower())
        if url and not is_encrypted(url):
            message = "expects sslmode=require or stricter for this host"
            raise ConfigurationError(f"{variable} {message}")
        if url and settings.production and not can_be_verified(url):
            message = "expects sslrootcert to name a file of certificates that can be read"
            raise ConfigurationError(f"{variable} {message}")
    if settings.production and not settings.database_url:
        raise ConfigurationError(f"DATABASE_URL is required in production: {DATABASE}")


def _check_tokens(settings: Settings) -> None:
    """Refuse settings of access tokens that are incomplete, or unsafe in production."""
    if settings.jwt_secrets_accepted and not settings.jwt_secret:
        raise ConfigurationError("JWT_SECRETS_ACCEPTED needs JWT_SECRET beside it")
    if settings.jwt_jwks_url and not (settings.jwt_issuer and settings.jwt_audience):
        raise ConfigurationError("JWT_JWKS_URL needs JWT_ISSUER and JWT_AUDIENCE beside it")
    if settings.jwt_scopes and not settings.jwt_jwks_url:
        raise ConfigurationError("JWT_SCOPES needs JWT_JWKS_URL beside it")
    if not settings.production:
        return
    if not (settings.jwt_secret or settings.jwt_jwks_url):
        raise ConfigurationError("JWT_SECRET or JWT_JWKS_URL is required in production")
    if settings.jwt_jwks_url and not settings.jwt_jwks_url.startswith("https://"):
        raise ConfigurationError("JWT_JWKS_URL expects an https:// URL in production")
