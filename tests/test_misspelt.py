"""Settings that seem misspelt are warned of once at the start; variables of others are not."""

from dataclasses import fields
from pathlib import Path

import pytest

from app.core.config import Settings, variable_of
from app.core.environment import misspelt
from tests.conftest import gunicorn_process

SETTINGS = {variable_of(item) for item in fields(Settings)}

USUAL = """
    PATH HOME PORT PORTS HOSTNAME LANG LC_ALL TZ TERM SHELL USER LOGNAME PWD SHLVL _ EDITOR MAIL
    DATABASE_URL_READONLY DATABASE_URL_POOLED DATABASE_URL2 DATABASE_URL_2 TEST_DATABASE_URL
    POSTGRES_URL POSTGRES_URL_NON_POOLING PGHOST PGUSER PGPASSWORD PGDATABASE PG_STATEMENT_TIMEOUT
    REDIS_URL SECRET_KEY APP_NAME APP_VERSION APP_DIR APP_URL APP_KEY APP_DEBUG APP_ENVIRONMENT
    NODE_ENV FLASK_ENV FLASK_APP FLASK_DEBUG GUNICORN_CMD_ARGS OTEL_SERVICE_NAME
    OTEL_TRACES_EXPORTER WEB_HOST WEB_PORT WEB_MEMORY DYNO RENDER RAILWAY_ENVIRONMENT FLY_REGION
    KUBERNETES_SERVICE_HOST TASKS_API_SERVICE_PORT DB_HOST DB_PORT DB_NAME DB_USER DB_PASSWORD
    DB_POOL_MIN DB_POOL_RECYCLE DB_STATEMENT_TIMEOUT_MS DATABASE_HOST DATABASE_NAME
    SHADOW_DATABASE_URL JWT_PUBLIC_KEY JWT_ALGORITHM JWT_SECRET_KEY JWT_SECRET_FILE JWT_SECRET_2
    LOG_FORMAT LOG_FILE LOG_LEVEL_ROOT SSL_CERT_FILE VIRTUAL_ENV PYTHONPATH PIP_INDEX_URL
    CORS_ALLOWED_ORIGINS ALLOWED_HOSTS MAX_BODY_SIZE METRICS_PORT REQUEST_TIMEOUT REQUEST_ID
    INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET WEBSITE_HOSTNAME XDG_RUNTIME_DIR SSH_CLIENT
"""

MEANT = {
    "JWT_SECRT": "JWT_SECRET",
    "JWT_SECRETS": "JWT_SECRET",
    "jwt_secret": "JWT_SECRET",
    "DATBASE_URL": "DATABASE_URL",
    "DATABASE_URI": "DATABASE_URL",
    "DATABASE-URL": "DATABASE_URL",
    "DATABASE_URL_UNPOLED": "DATABASE_URL_UNPOOLED",
    "APP_EVN": "APP_ENV",
    "LOGLEVEL": "LOG_LEVEL",
    "CORS_ORIGIN": "CORS_ORIGINS",
    "TRUSTED_HOST": "TRUSTED_HOSTS",
    "WEB_CONCURENCY": "WEB_CONCURRENCY",
    "RATE_LIMIT_PER_USER": "RATELIMIT_PER_USER",
    "METRIC_TOKEN": "METRICS_TOKEN",
}


def test_no_usual_variable_and_no_setting_is_taken_for_a_misspelt_one() -> None:
    assert misspelt([*USUAL.split(), *SETTINGS], SETTINGS) == {}


@pytest.mark.parametrize("name", MEANT)
def test_a_name_that_is_almost_a_setting_is_known(name: str) -> None:
    assert misspelt([name], SETTINGS) == {name: MEANT[name]}


def test_the_start_warns_of_each_once_and_shows_no_value(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    given = {"JWT_ISUER": "hidden-value", "DATABASE_URL_READONLY": "hidden-value"}
    with gunicorn_process(database_url, log, WEB_CONCURRENCY="2", **given):
        pass
    said = [line for line in log.read_text().splitlines() if "has no effect" in line]
    assert len(said) == 1
    assert "JWT_ISUER is not a setting and has no effect: is JWT_ISSUER meant?" in said[0]
    assert '"level":"WARNING"' in said[0]
    assert "hidden-value" not in log.read_text()
