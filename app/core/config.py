"""Settings: read once from the environment, frozen, refused when unsafe."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from io import StringIO
from pathlib import Path
from typing import Any, Final, Self, cast

from dotenv import dotenv_values

from app.core.database_url import (
    MASK,
    UnknownParameter,
    can_be_verified,
    is_encrypted,
    is_pooled,
    sqlalchemy_url,
    without_credentials,
)
from app.core.hosts import trusted_host
from app.core.misspelt import warnings
from app.core.permissions import PERMISSIONS
from app.core.secret_strength import LEAST_BYTES, is_weak
from app.core.web_origin import NotAnOrigin, origins

ROOT: Final = Path(__file__).resolve().parents[2]

FAILED_TO_LOAD: Final = 4
"""gunicorn's status of an application that cannot be loaded (gunicorn/arbiter.py)."""


class ConfigurationError(Exception):
    """A setting that stops the start; its message is one line and never shows a value."""


def _plain(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _hidden(_value: object) -> str:
    return MASK


def _without_query(value: object) -> str:
    """The URL with what follows its path masked, as some issuers take keys of access there."""
    url = str(value)
    end = re.search(r"[?#]", url)
    return f"{url[: end.start() + 1]}{MASK}" if end else url


def _hidden_if_any(value: object) -> str:
    return MASK if value else ""


def setting(
    variable: str,
    default: Any,
    expects: str,
    parse: Callable[[str], Any],
    *,
    show: Callable[[Any], str] = _plain,
) -> Any:
    """Describe one environment variable; the README's table is compared with these."""
    metadata = {"variable": variable, "expects": expects, "parse": parse, "show": show}
    return field(default=default, metadata=metadata)


def _choice(*options: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in options:
            raise ValueError
        return text

    return parse


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", text) or not low <= float(text) <= high:
            raise ValueError
        return float(text)

    return parse


def _words(pattern: str) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        words = tuple(word.strip() for word in text.split(",") if word.strip())
        if not all(re.fullmatch(pattern, word) for word in words):
            raise ValueError
        return words

    return parse


def _trusted_hosts(text: str) -> tuple[str, ...]:
    return tuple(trusted_host(word.strip()) for word in text.split(",") if word.strip())


def _pattern(pattern: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return parse


def _scopes(text: str) -> tuple[tuple[str, str], ...]:
    pairs = tuple((theirs, ours) for theirs, _, ours in (w.rpartition("=") for w in text.split()))
    # A comma in a name is rather one between two pairs.
    if not all(theirs and "," not in theirs and ours in PERMISSIONS for theirs, ours in pairs):
        raise ValueError
    return pairs


def _pairs(value: object) -> str:
    return " ".join(f"{theirs}={ours}" for theirs, ours in cast(tuple[tuple[str, str]], value))


def _jwt_secret(text: str) -> str:
    if is_weak(text):
        raise ValueError
    return text


def _jwt_secrets(text: str) -> tuple[str, ...]:
    return tuple(_jwt_secret(word.strip()) for word in text.split(",") if word.strip())


def _metrics_token(text: str) -> str:
    return _jwt_secret(_pattern(r"[\x21-\x7e]+")(text))


_DATABASE = "postgres://, postgresql:// or postgresql+psycopg2:// with host and database"
_OURS = f"{', '.join(PERMISSIONS[:-1])} and {PERMISSIONS[-1]}"
_TEXT = r"[^\s\x00-\x1f]+"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the service is told from outside; durations are in seconds, sizes in bytes."""

    app_env: str = setting(
        "APP_ENV",
        "development",
        "development, test or production",
        _choice("development", "test", "production"),
    )
    database_url: str | None = setting(
        "DATABASE_URL", None, _DATABASE, sqlalchemy_url, show=without_credentials
    )
    database_url_unpooled: str | None = setting(
        "DATABASE_URL_UNPOOLED",
        None,
        f"{_DATABASE}; never a -pooler host",
        sqlalchemy_url,
        show=without_credentials,
    )
    jwt_secret: str | None = setting(
        "JWT_SECRET", None, f"at least {LEAST_BYTES} random bytes", _jwt_secret, show=_hidden
    )
    jwt_secrets_accepted: tuple[str, ...] = setting(
        "JWT_SECRETS_ACCEPTED",
        (),
        f"comma-separated secrets of at least {LEAST_BYTES} random bytes each, beside JWT_SECRET",
        _jwt_secrets,
        show=_hidden_if_any,
    )
    jwt_jwks_url: str | None = setting(
        "JWT_JWKS_URL",
        None,
        "an https:// URL",
        _pattern(r"https?://[^\s@]+"),
        show=_without_query,
    )
    jwt_issuer: str | None = setting("JWT_ISSUER", None, "text without spaces", _pattern(_TEXT))
    jwt_audience: str | None = setting("JWT_AUDIENCE", None, "text without spaces", _pattern(_TEXT))
    jwt_scopes: tuple[tuple[str, str], ...] = setting(
        "JWT_SCOPES",
        (),
        f"pairs such as read:tasks=tasks:read with spaces between them; ours are {_OURS}",
        _scopes,
        show=_pairs,
    )
    db_pool_size: int = setting("DB_POOL_SIZE", 5, "1 to 100", _integer(1, 100))
    db_max_overflow: int = setting("DB_MAX_OVERFLOW", 15, "0 to 100", _integer(0, 100))
    db_pool_timeout: float = setting("DB_POOL_TIMEOUT", 2.0, "0.1 to 60", _seconds(0.1, 60))
    db_connect_timeout: int = setting("DB_CONNECT_TIMEOUT", 5, "1 to 60", _integer(1, 60))
    db_statement_timeout: float = setting(
        "DB_STATEMENT_TIMEOUT", 5.0, "0.1 to 60", _seconds(0.1, 60)
    )
    request_deadline: float = setting("REQUEST_DEADLINE", 10.0, "0.5 to 60", _seconds(0.5, 60))
    shutdown_grace: float = setting("SHUTDOWN_GRACE", 5.0, "0 to 60", _seconds(0, 60))
    max_body_bytes: int = setting(
        "MAX_BODY_BYTES", 1_048_576, "1024 to 104857600", _integer(1024, 104_857_600)
    )
    cors_origins: tuple[str, ...] = setting(
        "CORS_ORIGINS",
        (),
        "comma-separated origins such as https://app.example.com",
        origins,
    )
    trusted_hosts: tuple[str, ...] = setting(
        "TRUSTED_HOSTS",
        (),
        "comma-separated host names or addresses without a port; a leading dot admits subdomains",
        _trusted_hosts,
    )
    trusted_proxies: int = setting("TRUSTED_PROXIES", 0, "0 to 10", _integer(0, 10))
    ratelimit_storage_uri: str = setting(
        "RATELIMIT_STORAGE_URI",
        "memory://",
        "memory://, redis:// or rediss:// with host",
        _pattern(r"memory://|rediss?://[^\s?#]+"),
        show=without_credentials,
    )
    ratelimit_per_user: int = setting(
        "RATELIMIT_PER_USER", 1000, "0 to 1000000", _integer(0, 1_000_000)
    )
    ratelimit_per_address: int = setting(
        "RATELIMIT_PER_ADDRESS", 3000, "0 to 1000000", _integer(0, 1_000_000)
    )
    quota_rows: int = setting("QUOTA_ROWS", 250_000, "0 to 10000000", _integer(0, 10_000_000))
    quota_bytes: int = setting(
        "QUOTA_BYTES", 536_870_912, "0 to 999999999999", _integer(0, 999_999_999_999)
    )
    metrics_token: str | None = setting(
        "METRICS_TOKEN",
        None,
        f"at least {LEAST_BYTES} random characters without spaces",
        _metrics_token,
        show=_hidden,
    )
    port: int = setting("PORT", 8000, "1 to 65535", _integer(1, 65535))
    web_concurrency: int = setting("WEB_CONCURRENCY", 2, "1 to 64", _integer(1, 64))
    web_threads: int = setting("WEB_THREADS", 4, "1 to 64", _integer(1, 64))
    log_level: str = setting(
        "LOG_LEVEL",
        "INFO",
        "DEBUG, INFO, WARNING or ERROR",
        _choice("DEBUG", "INFO", "WARNING", "ERROR"),
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read and check every setting; an empty variable counts as unset.

        Raises ConfigurationError with one line that names the variable.
        """
        values = {}
        for item in fields(cls):
            text = environment.get(item.metadata["variable"], "").strip()
            if text:
                values[item.name] = _parse(item.metadata, text)
        settings = cls(**values)
        settings._refuse_unsafe()
        return settings

    @property
    def production(self) -> bool:
        """Whether unsafe settings and the embedded database are refused."""
        return self.app_env == "production"

    @property
    def migration_url(self) -> str | None:
        """Where migrations run: the direct URL, or DATABASE_URL if there is no other."""
        return self.database_url_unpooled or self.database_url

    def masked(self) -> dict[str, str]:
        """Every variable with its value as text, secrets hidden."""
        values = {item: getattr(self, item.name) for item in fields(self)}
        return {
            item.metadata["variable"]: "" if value is None else item.metadata["show"](value)
            for item, value in values.items()
        }

    def _refuse_unsafe(self) -> None:
        if is_pooled(self.database_url_unpooled):
            message = "DATABASE_URL_UNPOOLED expects the direct host, not a -pooler one"
            raise ConfigurationError(message)
        self._refuse_unsafe_databases()
        if self.jwt_secrets_accepted and not self.jwt_secret:
            raise ConfigurationError("JWT_SECRETS_ACCEPTED needs JWT_SECRET beside it")
        if self.jwt_jwks_url and not (self.jwt_issuer and self.jwt_audience):
            raise ConfigurationError("JWT_JWKS_URL needs JWT_ISSUER and JWT_AUDIENCE beside it")
        if self.jwt_scopes and not self.jwt_jwks_url:
            raise ConfigurationError("JWT_SCOPES needs JWT_JWKS_URL beside it")
        if not self.production:
            return
        if not self.database_url:
            raise ConfigurationError(f"DATABASE_URL is required in production: {_DATABASE}")
        if not (self.jwt_secret or self.jwt_jwks_url):
            raise ConfigurationError("JWT_SECRET or JWT_JWKS_URL is required in production")
        if self.jwt_jwks_url and not self.jwt_jwks_url.startswith("https://"):
            raise ConfigurationError("JWT_JWKS_URL expects an https:// URL in production")

    def _refuse_unsafe_databases(self) -> None:
        urls = {
            "DATABASE_URL": self.database_url,
            "DATABASE_URL_UNPOOLED": self.database_url_unpooled,
        }
        for variable, url in urls.items():
            if url and not is_encrypted(url):
                message = "expects sslmode=require or stricter for this host"
                raise ConfigurationError(f"{variable} {message}")
            if url and self.production and not can_be_verified(url):
                message = "expects sslrootcert to name a file of certificates that can be read"
                raise ConfigurationError(f"{variable} {message}")


@contextmanager
def stopping_the_start() -> Iterator[None]:
    """End the process where the configuration is wrong: with one line, one more for each setting
    that seems misspelt, and the status that gunicorn does not start again after.
    """
    try:
        yield
    except ConfigurationError as error:
        lines = [str(error), *misspelt_settings()]
        sys.stderr.write("".join(f"Configuration: {line}\n" for line in lines))
        raise SystemExit(FAILED_TO_LOAD) from None


def misspelt_settings() -> list[str]:
    """A warning for each name in the environment that is almost one of a setting."""
    return warnings(os.environ, {item.metadata["variable"] for item in fields(Settings)})


def load() -> Settings:
    """The settings of this process: the environment's, and outside production those of `.env`.

    Ends the process where they are wrong.
    """
    production = os.environ.get("APP_ENV", "").strip() == "production"
    with stopping_the_start():
        if not production and "FLASK_SKIP_DOTENV" not in os.environ:
            load_dotenv(ROOT / ".env")
        return Settings.from_environment(os.environ)


def load_dotenv(path: Path) -> None:
    """Take from the file what the environment leaves out. Raises ConfigurationError.

    Editors save it with a byte order mark or with the line ends of Windows, which are no part of
    what it says.
    """
    try:
        # A directory of this name is somebody's virtual environment.
        text = path.read_text("utf-8-sig") if path.is_file() or path.is_fifo() else ""
    except UnicodeDecodeError:
        text = "\0"
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror}): mend its permissions, or remove it"
        raise ConfigurationError(message) from None
    if "\0" in text:  # UTF-16 without a mark looks like this
        raise ConfigurationError(f"{path} is no text in UTF-8: save it as UTF-8")
    for name, value in dotenv_values(stream=StringIO(text)).items():
        if value is not None:
            os.environ.setdefault(name, value)


def _parse(metadata: Mapping[str, Any], text: str) -> Any:
    try:
        return metadata["parse"](text)
    except (NotAnOrigin, UnknownParameter) as error:
        raise ConfigurationError(f"{metadata['variable']} expects {error}") from None
    except ValueError:
        message = f"{metadata['variable']} expects {metadata['expects']}"
        raise ConfigurationError(message) from None
