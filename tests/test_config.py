"""Settings: what is taken, and what stops the start with one line that tells no secret."""

import os
import subprocess
import sys
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from random import Random
from string import ascii_letters, digits
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest

from app import create_app
from app.core import database_url, environment
from app.core.config import ConfigurationError, Settings, variable_of
from app.core.database_url import sqlalchemy_url
from app.core.setting_fields import is_weak
from app.dev import embedded
from tests.conftest import ROOT, SECRET, settings_for

REMOTE = "postgresql://user:hidden@db.example.com/tasks"
HERE = "postgresql+psycopg2://user:hidden@127.0.0.1/tasks"
THERE = "postgresql+psycopg2://user:hidden@db.example.com/tasks"

VISIBLE = [chr(code) for code in range(0x21, 0x7F)]
RANDOM = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYkey"

GRIP_KEY = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYkey"

# For each variable: what is taken and read as what, and what is refused.
TAKEN: dict[str, list[tuple[str, Any]]] = {
    "APP_ENV": [("development", "development"), (" test\n", "test")],
    "DATABASE_URL": [
        ("postgres://user:hidden@127.0.0.1/tasks", HERE),
        ("postgresql://user:hidden@127.0.0.1/tasks\n", HERE),
        (HERE, HERE),
        ("postgresql://[::1]:5433/tasks", "postgresql+psycopg2://[::1]:5433/tasks"),
        (
            "postgresql://u:a%40b%2Fc%23@localhost/t",
            "postgresql+psycopg2://u:a%40b%2Fc%23@localhost/t",
        ),
        (REMOTE, f"{THERE}?sslmode=require"),
        (
            f"{REMOTE}?application_name=tasks",
            f"{THERE}?application_name=tasks&sslmode=require",
        ),
        (
            f"{REMOTE}?sslmode=verify-full&sslrootcert=/etc/ssl/ca.crt",
            f"{THERE}?sslmode=verify-full&sslrootcert=/etc/ssl/ca.crt",
        ),
        (
            "postgresql://u:p@[2001:db8::1]/t",
            "postgresql+psycopg2://u:p@[2001:db8::1]/t?sslmode=require",
        ),
        (
            "postgresql://u:p@ep-a-pooler.example.com/t",
            "postgresql+psycopg2://u:p@ep-a-pooler.example.com/t?sslmode=require",
        ),
    ],
    "DATABASE_URL_UNPOOLED": [(REMOTE, f"{THERE}?sslmode=require")],
    "JWT_SECRET": [
        (SECRET, SECRET),
        (RANDOM, RANDOM),
        (f"{'ä' * 8}{'0123456789'}{'bcdefg'}", f"{'ä' * 8}{'0123456789'}{'bcdefg'}"),
        ("3f9ac81d77e204b65f1a90ce8d2b6e47" * 2, "3f9ac81d77e204b65f1a90ce8d2b6e47" * 2),
    ],
    "JWT_SECRETS_ACCEPTED": [
        (RANDOM, (RANDOM,)),
        (f"{RANDOM}, {RANDOM[::-1]},", (RANDOM, RANDOM[::-1])),
    ],
    "JWT_JWKS_URL": [("https://issuer.example.com/keys", "https://issuer.example.com/keys")],
    "JWT_ISSUER": [("https://issuer.example.com/", "https://issuer.example.com/")],
    "JWT_AUDIENCE": [("tasks", "tasks")],
    "JWT_SCOPES": [
        ("read:tasks=tasks:read", (("read:tasks", "tasks:read"),)),
        (
            "all=tasks:write  all=account a=b=tasks:read",
            (("all", "tasks:write"), ("all", "account"), ("a=b", "tasks:read")),
        ),
    ],
    "DB_POOL_SIZE": [("1", 1), ("100", 100)],
    "DB_MAX_OVERFLOW": [("0", 0), ("100", 100)],
    "DB_POOL_TIMEOUT": [("0.1", 0.1), ("60", 60.0)],
    "DB_CONNECT_TIMEOUT": [("1", 1), ("60", 60)],
    "DB_STATEMENT_TIMEOUT": [("0.25", 0.25), ("60", 60.0)],
    "REQUEST_DEADLINE": [("0.5", 0.5), ("60", 60.0)],
    "SHUTDOWN_GRACE": [("0", 0.0), ("60", 60.0)],
    "REGISTRATION": [("open", "open"), ("closed", "closed")],
    "SESSION_DAYS": [("1", 1), ("3650", 3650)],
    "RATELIMIT_PER_USER": [("0", 0), ("1000000", 1_000_000)],
    "QUOTA_ROWS": [("0", 0), ("10000000", 10_000_000)],
    "QUOTA_BYTES": [("0", 0), ("999999999999", 999_999_999_999)],
    "RATELIMIT_PER_ADDRESS": [("0", 0), ("1000000", 1_000_000)],
    "MAX_BODY_BYTES": [("1024", 1024), ("104857600", 104_857_600)],
    "CORS_ORIGINS": [
        ("https://app.example.com", ("https://app.example.com",)),
        (
            "https://a.example.com, http://localhost:3000,",
            ("https://a.example.com", "http://localhost:3000"),
        ),
        (
            "capacitor://localhost, ionic://localhost",
            ("capacitor://localhost", "ionic://localhost"),
        ),
        ("https://App.Example.com:443/", ("https://app.example.com",)),
    ],
    "TRUSTED_HOSTS": [
        ("api.example.com, .example.org", ("api.example.com", ".example.org")),
        ("tasks_api,_a.B,127.0.0.1", ("tasks_api", "_a.b", "127.0.0.1")),
        ("::1,[2001:DB8:0::7]", ("[::1]", "[2001:db8::7]")),
    ],
    "TRUSTED_PROXIES": [("0", 0), ("10", 10)],
    "RATELIMIT_STORAGE_URI": [
        ("memory://", "memory://"),
        ("redis://:hidden@cache.example.com:6379/0", "redis://:hidden@cache.example.com:6379/0"),
        ("rediss://cache.example.com", "rediss://cache.example.com"),
    ],
    "MAIL_URL": [
        ("smtps://mail.example.com", "smtps://mail.example.com"),
        (
            "smtp+starttls://a@b.example.com:p%2Fq@mail.example.com:587/",
            "smtp+starttls://a@b.example.com:p%2Fq@mail.example.com:587/",
        ),
        ("smtp://127.0.0.1:2525", "smtp://127.0.0.1:2525"),
        ("smtp://user:pass@localhost", "smtp://user:pass@localhost"),
        ("smtp://[::1]:25", "smtp://[::1]:25"),
    ],
    "MAIL_FROM": [
        ("tasks@example.com", "tasks@example.com"),
        ("Tasks <tasks@example.com>", "Tasks <tasks@example.com>"),
        ('"Tasks, Inc." <tasks@example.com>', '"Tasks, Inc." <tasks@example.com>'),
        ("B\u00fcro <tasks@example.com>", "B\u00fcro <tasks@example.com>"),
    ],
    "MAIL_TEXTS": [(str(ROOT), str(ROOT))],
    "PUBLIC_URL": [
        ("https://app.example.com", "https://app.example.com"),
        ("https://app.example.com:8443/a/b", "https://app.example.com:8443/a/b"),
        ("https://app.example.com/#/confirm", "https://app.example.com/#/confirm"),
        ("http://localhost:3000/", "http://localhost:3000/"),
    ],
    "WEBHOOK_ALLOW_NETWORKS": [
        ("10.0.0.0/8", ("10.0.0.0/8",)),
        ("127.0.0.1, fd00:0::/8", ("127.0.0.1/32", "fd00::/8")),
    ],
    "GRIP_URL": [
        (
            "http://127.0.0.1:5561/?key=wJalrXUtnFEMI-K7MDENG-bPxRfiCYkey",
            "http://127.0.0.1:5561/?key=wJalrXUtnFEMI-K7MDENG-bPxRfiCYkey",
        ),
        (
            "http://push?key=wJalrXUtnFEMI-K7MDENG-bPxRfiCYkey&iss=tasks",
            "http://push?key=wJalrXUtnFEMI-K7MDENG-bPxRfiCYkey&iss=tasks",
        ),
    ],
    "WORKER_HEALTH_FILE": [("/tmp/worker.health", "/tmp/worker.health")],
    "METRICS_TOKEN": [("wJalrXUtnFEMI/K7MDENG+bPxRfiCYkey", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYkey")],
    "PORT": [("1", 1), ("65535", 65535), (" 8080 ", 8080)],
    "WEB_CONCURRENCY": [("1", 1), ("64", 64)],
    "WEB_THREADS": [("1", 1), ("64", 64)],
    "LOG_LEVEL": [("DEBUG", "DEBUG"), ("ERROR", "ERROR")],
}
# What no number is written like; of the settings that are numbers, one of each kind is tried.
NOT_NUMBERS = ["x1", "-1", "1.5.2", "1e3", "0x10", "1_0", "\u0661", "1 0", "NaN", "'5'", '"5"']
REFUSED: dict[str, list[str]] = {
    "APP_ENV": ["prod", "Production", "'production'", "production development"],
    "DATABASE_URL": [
        "hidden",
        f'"{REMOTE}"',
        "mysql://user:hidden@db.example.com/tasks",
        "postgresql+asyncpg://user:hidden@db.example.com/tasks",
        "postgresql://",
        "postgresql:///tasks",
        "postgresql://user:hidden@db.example.com",
        "postgresql://user:hidden@db.example.com/",
        "postgresql://user:hidden@db.example.com:0/tasks",
        "postgresql://user:hidden@db.example.com:port/tasks",
        "postgresql://user:hidden@db.example.com:99999/tasks",
        "postgresql://user:hidden@[::1/tasks",
        "postgresql://user:hid/den@db.example.com/tasks",
        "postgresql://user:hid#den@db.example.com/tasks",
        "postgresql://user:hid?den@db.example.com/tasks",
        "postgresql://user:hid@den@db.example.com/tasks",
        "postgresql://user:hid%den@db.example.com/tasks",
        "postgresql://user:hidden@one.example.com,two.example.com/tasks",
        "postgresql://user:hidden@localhost/tasks?host=db.example.com",
        "postgresql://user:hidden@localhost/tasks?hostaddr=192.0.2.1",
        f"{REMOTE}?hidden=1",
        f"{REMOTE}?sslmode=require&sslmode=disable",
        f"{REMOTE}?sslmode=",
        f"{REMOTE}?sslmode=disable",
        f"{REMOTE}?sslmode=prefer",
        f"{REMOTE}#hidden",
    ],
    "DATABASE_URL_UNPOOLED": [
        "hidden",
        f"{REMOTE}?sslmode=allow",
        "postgresql://user:hidden@ep-blue-pooler.eu.example.com/tasks",
        "postgresql://user:hidden@EP-BLUE-POOLER.eu.example.com/tasks",
    ],
    "JWT_SECRET": [
        "hidden",
        "x" * 64,
        "hidden12" * 4,
        "abcdefgh" * 8,
        "0123456789abcdef" * 2,
        " " * 3 + "thirty-one bytes of hidden text",
        "passwordpasswordpasswordpassword",
        "change-me-change-me-change-me-please",
        "CHANGE_ME_to_something_that_is_long_enough",
        "please-replace-this-with-something-long",
        "your-secret-goes-here-and-is-long-enough",
        "super-secret-jwt-token-with-at-least-32-characters-long",
        "a-string-secret-at-least-256-bits-long",
        "what `openssl rand -base64 48` prints",
        "my-password-is-secret-password-123",
        "hidden-test-secret-hidden-test-secret-hidden",
    ],
    "JWT_SECRETS_ACCEPTED": ["hidden", f"{RANDOM},hidden", f"{RANDOM} hidden,{'x' * 64}", "a,b"],
    "JWT_JWKS_URL": [
        "hidden",
        "ftp://hidden",
        "file:///hidden",
        "https://a hidden",
        "https://u:hidden@h",
    ],
    "JWT_ISSUER": ["hidden text"],
    "JWT_AUDIENCE": ["hidden text"],
    "JWT_SCOPES": ["hidden", "hidden=", "=tasks:read", "hidden=tasks", "a=account,b=account"],
    "DB_POOL_SIZE": ["0", "101", "x1"],
    "DB_MAX_OVERFLOW": ["101", "x1"],
    "DB_POOL_TIMEOUT": ["0", "61", "inf", "2s", *NOT_NUMBERS],
    "DB_CONNECT_TIMEOUT": ["0", "61", "2.5", "x1"],
    "REQUEST_DEADLINE": ["0.4", "61", "x1"],
    "SHUTDOWN_GRACE": ["-1", "61", "x1"],
    "REGISTRATION": ["hidden", "Open", "off"],
    "SESSION_DAYS": ["0", "3651", "1.5", "x1"],
    "RATELIMIT_PER_USER": ["-1", "1000001", "1.5", "x1"],
    "QUOTA_ROWS": ["-1", "10000001", "1.5", "x1"],
    "QUOTA_BYTES": ["-1", "1000000000000", "256MB", "x1"],
    "RATELIMIT_PER_ADDRESS": ["-1", "1000001", "1.5", "x1"],
    "DB_STATEMENT_TIMEOUT": ["0", "61", "5000ms", "x1"],
    "MAX_BODY_BYTES": ["1023", "104857601", "1MiB", "1" * 5000, "x1"],
    "CORS_ORIGINS": [
        "*",
        "null",
        "app.example.com",
        "https://*.example.com",
        "https://a/hidden",
        "https://u:hidden@a",
        "https://m\u00fcnchen.de",
    ],
    "TRUSTED_HOSTS": [
        *("*", "https://hidden", "hidden text", "a:80", "*.example.com", "[::1]:80", "[a]"),
        *("[::1", "::1%eth0", ".", "a/b", "[1.2.3.4]"),
    ],
    "TRUSTED_PROXIES": ["11", "true", "x1"],
    "RATELIMIT_STORAGE_URI": [
        "hidden",
        "memory://hidden",
        "redis://",
        "redis://:hid den@cache",
        "redis://:hidden@cache/0?hidden=1",
        "memcached://hidden",
        "redis+unix://hidden",
    ],
    "MAIL_URL": [
        "hidden",
        "smtp://mail.example.com",
        "smtp://hidden.example.com:25",
        "smtp+ssl://mail.example.com",
        "smtps://",
        "smtps://mail.example.com/hidden",
        "smtps://mail.example.com?hidden=1",
        "smtps://mail.example.com#hidden",
        "smtps://mail.example.com:0",
        "smtps://mail.example.com:port",
        "smtps://hidden@mail.example.com",
        "smtps://:hidden@mail.example.com",
        "smtps://hidden:@mail.example.com",
        "smtps://user:hid den@mail.example.com",
        "smtps://user:hid%0Dden@mail.example.com",
        "smtps://user:hid%C3%A4den@mail.example.com",
        "smtps://user:hid\u00e4den@mail.example.com",
        "smtps://user:hid/den@mail.example.com",
    ],
    "MAIL_FROM": [
        "hidden",
        "hidden@",
        "hidden <a@example.com>, b@example.com",
        "a@example.com, hidden@example.com",
        "<a@example.com> hidden",
        "hidden < a@example.com >",
        "hid\x00den <a@example.com>",
        "hid\u2028den <a@example.com>",
        f"{'hidden' * 20} <a@example.com>",
        f"{'hidden' * 50}@example.com",
        "hidden <\u00e4@example.com>",
    ],
    "MAIL_TEXTS": ["/nowhere/hidden", "/dev/null", "hid\x00den"],
    "PUBLIC_URL": [
        "hidden",
        "ftp://hidden.example.com",
        "https://",
        "https://app.example.com/?hidden=1",
        "https://user:hidden@app.example.com",
        "https://app.example.com/hid den",
        "https://app.example.com/hid\u00e4den",
        "https://app.example.com/@hidden",
    ],
    "WEBHOOK_ALLOW_NETWORKS": [
        "hidden",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/8;hidden",
        "10.0.0/8",
    ],
    "GRIP_URL": [
        "hidden",
        "http://127.0.0.1:5561",
        "http://127.0.0.1:5561/?key=hidden",
        f"https://127.0.0.1:5561/?key={GRIP_KEY}",
        f"http://127.0.0.1:0/?key={GRIP_KEY}",
        f"http://127.0.0.1:port/?key={GRIP_KEY}",
        f"http:///?key={GRIP_KEY}",
        f"http://hidden@push/?key={GRIP_KEY}",
        f"http://push/hidden?key={GRIP_KEY}",
        f"http://push/?key={GRIP_KEY}#hidden",
        f"http://push/?key={GRIP_KEY}&key={GRIP_KEY}",
        f"http://push/?key={GRIP_KEY}&iss=",
        f"http://push/?key={GRIP_KEY}&other=hidden",
        f"http://push/?key=base64:{GRIP_KEY}",
        f"http://push/?key={GRIP_KEY} hidden",
        f"http://push/?key={GRIP_KEY}\u00e4",
    ],
    "WORKER_HEALTH_FILE": ["hidden", "hidden/file", "/hidden/", "/hid\x01den"],
    "METRICS_TOKEN": [
        "hidden",
        "x" * 64,
        "hidden12" * 4,
        "a hidden token, longer than it must be",
        "ä-hidden-token-longer-than-it-must-be",
    ],
    "PORT": ["0", "65536", "http", *NOT_NUMBERS],
    "WEB_CONCURRENCY": ["0", "65", "auto", "x1"],
    "WEB_THREADS": ["0", "65", "x1"],
    "LOG_LEVEL": ["info", "TRACE", "hidden"],
}

FIELDS = {variable_of(item): item.name for item in fields(Settings)}
BESIDE = {
    "JWT_SECRETS_ACCEPTED": {"JWT_SECRET": SECRET},
    "JWT_JWKS_URL": {"JWT_ISSUER": "https://issuer.example.com", "JWT_AUDIENCE": "tasks"},
}
BESIDE["MAIL_URL"] = {
    "MAIL_FROM": "tasks@example.com",
    "PUBLIC_URL": "https://app.example.com",
}
BESIDE["JWT_SCOPES"] = {**BESIDE["JWT_JWKS_URL"], "JWT_JWKS_URL": "https://issuer.example.com/k"}
SAFE = {"APP_ENV": "production", "DATABASE_URL": REMOTE, "JWT_SECRET": SECRET}
EXTERNAL = {
    "JWT_JWKS_URL": "https://issuer.example.com/keys",
    "JWT_ISSUER": "https://issuer.example.com",
    "JWT_AUDIENCE": "tasks",
}


def read(**environment: str) -> Settings:
    return Settings.from_environment(environment)


def stopped(**environment: str) -> str:
    """The one line that these settings stop the start with."""
    with pytest.raises(ConfigurationError) as error:
        read(**environment)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def cases(table: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(variable, case) for variable, listed in table.items() for case in listed]


# Each variable


def test_every_setting_is_tried_here() -> None:
    assert set(FIELDS) == set(TAKEN) == set(REFUSED)


@pytest.mark.parametrize(("variable", "case"), cases(TAKEN))
def test_what_a_setting_takes(variable: str, case: tuple[str, Any]) -> None:
    text, value = case
    settings = read(**{variable: text, **BESIDE.get(variable, {})})
    assert getattr(settings, FIELDS[variable]) == value


@pytest.mark.parametrize(("variable", "text"), cases(REFUSED))
def test_a_wrong_value_stops_the_start_with_one_line_that_does_not_show_it(
    variable: str, text: str
) -> None:
    line = stopped(**{variable: text, **BESIDE.get(variable, {})})
    assert line.startswith(f"{variable} expects ")
    assert "hidden" not in line


GENERATED: dict[str, Callable[[Random], str]] = {
    "16 bytes in hexadecimal": lambda random: random.randbytes(16).hex(),
    "32 bytes in hexadecimal": lambda random: random.randbytes(32).hex(),
    "16 bytes in hexadecimal, twice": lambda random: random.randbytes(16).hex() * 2,
    "48 bytes in base64": lambda random: b64encode(random.randbytes(48)).decode(),
    "24 bytes in base64url": lambda random: urlsafe_b64encode(random.randbytes(24)).decode(),
    "two UUIDs": lambda random: (
        f"{UUID(int=random.getrandbits(128))}{UUID(int=random.getrandbits(128))}"
    ),
    "one UUID": lambda random: str(UUID(int=random.getrandbits(128))),
    "32 letters and digits": lambda random: "".join(random.choices(ascii_letters + digits, k=32)),
    "32 visible characters": lambda random: "".join(random.choices(VISIBLE, k=32)),
}


@pytest.mark.parametrize("form", GENERATED)
def test_no_generated_secret_is_taken_for_a_weak_one(form: str) -> None:
    random = Random(form)
    assert [text for _ in range(2_000) if is_weak(text := GENERATED[form](random))] == []


@pytest.mark.parametrize("nothing", ["", " ", "\n"])
def test_an_empty_variable_counts_as_unset(nothing: str) -> None:
    assert read(**dict.fromkeys(FIELDS, nothing)) == read()


# What is unsafe


def test_production_takes_what_is_safe() -> None:
    assert read(**SAFE, JWT_SECRETS_ACCEPTED=RANDOM).jwt_secrets_accepted == (RANDOM,)
    assert read(**SAFE).production
    assert read(APP_ENV="production", DATABASE_URL=REMOTE, **EXTERNAL).production


@pytest.mark.parametrize("variable", ["DATABASE_URL", "JWT_SECRET"])
def test_production_needs_a_database_and_a_secret(variable: str) -> None:
    line = stopped(**{**SAFE, variable: ""})
    assert line.startswith(variable)
    assert "required in production" in line


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({**EXTERNAL, "JWT_SECRETS_ACCEPTED": RANDOM}, "JWT_SECRETS_ACCEPTED needs JWT_SECRET b"),
        ({**SAFE, "JWT_SCOPES": "read:tasks=tasks:read"}, "JWT_SCOPES needs JWT_JWKS_URL beside"),
        ({**EXTERNAL, "JWT_ISSUER": ""}, "JWT_JWKS_URL needs"),
        ({**EXTERNAL, "JWT_AUDIENCE": ""}, "JWT_JWKS_URL needs"),
        ({"MAIL_URL": "smtps://m", "MAIL_FROM": "a@b"}, "MAIL_URL needs MAIL_FROM and PUBLIC_URL"),
        ({"MAIL_URL": "smtps://m", "PUBLIC_URL": "https://a"}, "MAIL_URL needs MAIL_FROM and PUB"),
        ({**SAFE, "PUBLIC_URL": "http://app.example.com"}, "PUBLIC_URL expects an https:// URL"),
        (
            {**SAFE, **EXTERNAL, "JWT_JWKS_URL": "http://issuer.example.com/keys"},
            "JWT_JWKS_URL expects an https://",
        ),
    ],
)
def test_a_setting_that_lacks_another_or_is_unsafe_stops_the_start(
    environment: dict[str, str], line: str
) -> None:
    assert stopped(**environment).startswith(line)


def test_the_application_never_starts_the_embedded_database_in_production() -> None:
    unsafe = Settings(app_env="production", jwt_secret=SECRET)
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        create_app(unsafe)


def test_an_embedded_database_that_does_not_start_stops_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_server: object) -> str:
        raise RuntimeError("the embedded PostgreSQL failed: no space left")

    monkeypatch.setattr(embedded.Server, "start", fail)
    monkeypatch.setattr("app.atexit.register", lambda _stop: None)
    with pytest.raises(ConfigurationError, match=r"DATABASE_URL is not set, and .* no space left"):
        create_app(read(APP_ENV="test"))


# Masking


def test_masked_settings_tell_no_secret() -> None:
    settings = read(
        **SAFE | {"JWT_SECRET": "https://hidden-and-longer-than-it-must-be.example.com"},
        DATABASE_URL_UNPOOLED=f"{REMOTE}?sslmode=require&sslpassword=hidden",
        RATELIMIT_STORAGE_URI="rediss://user:hidden@cache.example.com:6380/1",
        JWT_SECRETS_ACCEPTED="hidden-and-longer-than-it-must-be-by-a-little,",
        TRUSTED_HOSTS="a.example.com,b.example.com",
        METRICS_TOKEN="hidden-and-longer-than-it-must-be",
        MAIL_URL="smtp+starttls://hidden:hidden@mail.example.com:587",
        MAIL_FROM="Tasks <tasks@example.com>",
        PUBLIC_URL="https://app.example.com",
        GRIP_URL="http://127.0.0.1:5561/?key=hidden-and-longer-than-it-must-be",
    )
    masked = settings.masked()
    assert list(masked) == list(FIELDS)
    assert "hidden" not in str(masked)
    assert masked["DATABASE_URL"] == "postgresql+psycopg2://********@db.example.com/tasks"
    assert masked["RATELIMIT_STORAGE_URI"] == "rediss://********@cache.example.com:6380/1"
    assert (masked["JWT_SECRET"], masked["JWT_SECRETS_ACCEPTED"]) == ("********", "********")
    assert masked["MAIL_URL"] == "smtp+starttls://********@mail.example.com:587"
    assert masked["GRIP_URL"] == "http://127.0.0.1:5561/?********"
    assert masked["TRUSTED_HOSTS"] == "a.example.com,b.example.com"
    assert masked["JWT_JWKS_URL"] == ""


@pytest.mark.parametrize("tail", ["?key=hidden", "#hidden", "?a=1&key=hidden#hidden"])
def test_a_key_in_the_address_of_an_issuers_keys_is_masked(tail: str) -> None:
    url = "https://issuer.example.com/keys"
    masked = read(**EXTERNAL | {"JWT_JWKS_URL": url + tail}).masked()
    assert masked["JWT_JWKS_URL"] == f"{url}{tail[0]}********"
    assert read(**EXTERNAL).masked()["JWT_JWKS_URL"] == url


# The process


def start(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run in a process that knows nothing but these variables."""
    variables = {"PATH": os.environ["PATH"], "FLASK_SKIP_DOTENV": "1", **environment}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_server_stops_with_one_line_and_is_not_started_again() -> None:
    ended = start(["-c", "import wsgi"], **SAFE, RATELIMIT_STORAGE_URI="redis://:hidden@h:99999")
    assert (ended.returncode, ended.stdout) == (4, "")
    assert ended.stderr == "Configuration: RATELIMIT_STORAGE_URI expects a valid URL\n"


def test_a_process_that_reads_a_wrong_setting_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")
    monkeypatch.setenv("PORT", "hidden")
    with pytest.raises(SystemExit) as ended:
        environment.load()
    assert ended.value.code == 4
    assert capsys.readouterr() == ("", "Configuration: PORT expects 1 to 65535\n")


def test_a_setting_that_seems_misspelt_is_named_where_the_start_stops() -> None:
    ended = start(["-c", "import wsgi"], APP_ENV="production", DATBASE_URL=REMOTE, JWT_SECRT="x")
    assert (ended.returncode, ended.stdout) == (4, "")
    first, *others = ended.stderr.splitlines()
    assert first.startswith("Configuration: DATABASE_URL is required in production")
    assert others == [
        "Configuration: DATBASE_URL is not a setting and has no effect: is DATABASE_URL meant?",
        "Configuration: JWT_SECRT is not a setting and has no effect: is JWT_SECRET meant?",
    ]


@pytest.fixture
def dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `.env` file that sets two variables, and an environment that sets none."""
    for variable in (*FIELDS, "FLASK_SKIP_DOTENV"):
        monkeypatch.setenv(variable, "")  # so that what is loaded is taken back
        monkeypatch.delenv(variable)
    (tmp_path / ".env").write_text("PORT=8765\nWEB_THREADS=7\n")
    monkeypatch.setattr(environment, "ROOT", tmp_path)


@pytest.mark.usefixtures("dotenv")
def test_what_the_environment_leaves_out_comes_from_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORT", "8001")
    settings = environment.load()
    assert (settings.port, settings.web_threads) == (8001, 7)


@pytest.mark.usefixtures("dotenv")
@pytest.mark.parametrize("production", ["production", " production\n"])
def test_production_does_not_read_the_file(
    production: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in (SAFE | {"APP_ENV": production}).items():
        monkeypatch.setenv(variable, value)
    settings = environment.load()
    assert (settings.port, settings.web_threads) == (8000, 4)


@pytest.mark.usefixtures("dotenv")
def test_the_file_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")
    assert environment.load().port == 8000


@pytest.mark.usefixtures("dotenv")
@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfPORT=8765\r\n",
        b"PORT=8765\r\nWEB_THREADS=7\r\n",
        b"PORT=8765\rWEB_THREADS=7",
        b"export PORT = '8765' # ours\n",
        b"BASE=87\nPORT=${BASE}65",
        b'PORT="8765"',
        "# \xc3\xa9\nPORT=8765".encode(),
    ],
)
def test_a_file_is_read_however_an_editor_writes_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".env").write_bytes(content)
    assert environment.load().port == 8765


@pytest.mark.usefixtures("dotenv")
@pytest.mark.parametrize(
    "content",
    [
        "NAME=\u00e9\n".encode("latin-1"),
        "PORT=8765\n".encode("utf-16"),
        "PORT=8765\n".encode("utf-16-le"),
        "PORT=8765\n".encode("utf-16-be"),
    ],
)
def test_a_file_in_another_encoding_stops_the_start_with_one_line(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        environment.load()
    assert ended.value.code == 4
    expected = f"Configuration: {tmp_path}/.env is no text in UTF-8: save it as UTF-8\n"
    assert capsys.readouterr() == ("", expected)


@pytest.mark.usefixtures("dotenv")
def test_a_file_that_cannot_be_read_stops_the_start_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / ".env"
    file.unlink()
    if os.geteuid():
        file.touch(0o000)
    elif Path("/proc/self/mem").exists():
        file.symlink_to("/proc/self/mem")  # which not even root can read from its beginning
    else:
        pytest.skip("root can read every file here")
    with pytest.raises(SystemExit) as ended:
        environment.load()
    assert ended.value.code == 4
    told = capsys.readouterr().err
    assert told.startswith(f"Configuration: {file} cannot be read (")
    assert told.count("\n") == 1


@pytest.mark.usefixtures("dotenv")
def test_a_directory_of_that_name_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").mkdir()
    assert environment.load().port == 8000


# What libpq would add


@pytest.mark.parametrize(
    "name", ["pgbouncer", "schema", "connection_limit", "uselibpqcompat", "pass?word"]
)
def test_a_parameter_of_another_library_stops_the_start(name: str) -> None:
    line = stopped(DATABASE_URL=f"{HERE}?{name}=hidden")
    assert line.startswith("DATABASE_URL expects ")
    assert line.endswith("with no parameter but libpq's")
    assert "hidden" not in line


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGSERVICE", "elsewhere"),
        ("PGSERVICEFILE", "/nowhere"),
        ("PGOPTIONS", "-c default_transaction_read_only=on"),
        ("PGCLIENTENCODING", "SQL_ASCII"),
        ("PGDATESTYLE", "German"),
        ("PGTZ", "Europe/Oslo"),
    ],
)
def test_the_url_alone_says_which_server_and_session_is_meant(
    database_url: str,
    auth: Any,
    variable: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, value)
    user = auth(create_app(settings_for(database_url)))
    created = user.create_task(title="\u00c4rger", due_at="2027-01-31T09:30:00Z")
    assert user.get(f"/v1/tasks/{created['id']}").json == created
    assert created["due_at"] == "2027-01-31T09:30:00Z"


def test_a_password_file_of_libpqs_is_used(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = urlsplit(database_url)
    file = tmp_path / "passwords"
    file.touch(0o600)
    file.write_text(f"*:*:*:*:{parts.password}\n")
    monkeypatch.setenv("PGPASSFILE", str(file))
    url = f"postgresql://{parts.username}@{parts.hostname}:{parts.port}{parts.path}"
    client = create_app(settings_for(url)).test_client()
    assert client.get("/health/db").status_code == 200


# Where the certificates of authorities are


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only bundle of a system whose user has none in their home."""
    path = tmp_path / "bundle.pem"
    path.write_text("certificates")
    monkeypatch.setattr(database_url, "BUNDLES", ("/nowhere/bundle.pem", str(path)))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    return path


@pytest.mark.parametrize(
    "asked",
    [
        "sslmode=verify-full",
        "sslmode=verify-full&sslrootcert=system",
        "sslmode=verify-full&channel_binding=require",
        "sslrootcert=system",
    ],
)
def test_a_server_to_be_verified_is_verified_by_the_systems_bundle(
    bundle: Path, asked: str
) -> None:
    options = dict(parse_qsl(urlsplit(sqlalchemy_url(f"{REMOTE}?{asked}")).query))
    assert (options["sslmode"], options["sslrootcert"]) == ("verify-full", str(bundle))
    assert ("channel_binding" in options) == ("channel_binding" in asked)


def test_a_bundle_that_is_named_is_the_one_that_counts(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = f"{REMOTE}?sslmode=verify-full&sslrootcert=/etc/own.pem"
    assert sqlalchemy_url(named) == named.replace(REMOTE, THERE)
    monkeypatch.setenv("PGSSLROOTCERT", "/etc/own.pem")
    unnamed = f"{REMOTE}?sslmode=verify-full"
    assert sqlalchemy_url(unnamed) == unnamed.replace(REMOTE, THERE)


def test_the_bundle_of_the_users_home_is_left_to_libpq(bundle: Path) -> None:
    own = bundle.parent / ".postgresql" / "root.crt"
    own.parent.mkdir()
    own.touch()
    url = f"{REMOTE}?sslmode=verify-full"
    assert sqlalchemy_url(url) == url.replace(REMOTE, THERE)


@pytest.mark.parametrize("variable", ["DATABASE_URL", "DATABASE_URL_UNPOOLED"])
def test_a_bundle_that_cannot_be_read_stops_the_start_in_production(
    bundle: Path, variable: str
) -> None:
    def url(root: object) -> str:
        return f"{REMOTE}?sslmode=verify-full&sslrootcert={root}"

    environment = {"APP_ENV": "production", "JWT_SECRET": SECRET, "DATABASE_URL": url(bundle)}
    assert Settings.from_environment(environment).production
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_environment(environment | {variable: url("/nowhere/bundle.pem")})
    expected = "expects sslrootcert to name a file of certificates that can be read"
    assert str(refused.value) == f"{variable} {expected}"
