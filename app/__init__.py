"""The Tasks API: a multi-user task service on PostgreSQL."""

import atexit
import hashlib
import os
import re
from collections.abc import Callable
from functools import partial
from typing import Final

from apiflask import APIBlueprint, APIFlask
from flask import Response
from flask_cors import CORS
from werkzeug.middleware.proxy_fix import ProxyFix

from app.api import kinds
from app.api.health import probe
from app.auth import passwords, policies, tickets
from app.core import deadline, logs, places, secrets
from app.core.config import ROOT, ConfigurationError, Settings
from app.core.database_url import sqlalchemy_url
from app.core.version import __version__ as __version__
from app.db import base
from app.ops import commands, telemetry
from app.rows import quotas
from app.web import (
    access_log,
    edge,
    errors,
    grip,
    hints,
    mail_limits,
    request_limits,
    shared_counts,
    sign_in_limits,
)
from app.web.application import Application
from app.web.docs import page
from app.web.openapi import document

SECRET_FILE: Final = ROOT / ".development-secret"

EXPOSED_HEADERS: Final = (
    "Content-Disposition",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
)

ALLOWED_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "X-Request-ID",
    "traceparent",
    "tracestate",
)


def create_app(settings: Settings | None = None) -> APIFlask:
    """The application, from these settings or from the environment's.

    Raises ConfigurationError, whose message is one line for the operator.
    """
    settings = settings or Settings.from_environment(os.environ)
    app = Application(
        __name__,
        title=document.TITLE,
        version=__version__,
        spec_path=None,
        docs_path=None,
        static_folder=None,
    )
    configure(app, settings)
    logs.configure(settings, access_log.context)
    access_log.init_app(app)
    telemetry.init_app(app, os.environ)
    deadline.init_app(app, settings)
    shared = shared_counts.Shared(settings.ratelimit_storage_uri)
    request_limits.init_app(app, settings, shared)
    sign_in_limits.init_app(app, shared)
    mail_limits.init_app(app, shared)
    grip.init_app(app, settings)
    hints.init_app(app, settings)
    quotas.init_app(app, settings, (kind.table for kind in kinds.KINDS.values()))
    edge.init_app(app)
    url = settings.database_url or start_embedded(settings)
    app.config["MIGRATION_URL"] = settings.migration_url or url
    base.init_app(app, settings, url)
    errors.init_app(app)
    secret = settings.jwt_secret or development_secret(settings)
    # Earlier releases derived keys of the URL as it is.
    own = (secret, *settings.jwt_secrets_accepted) if secret else (stretched(url), url)
    secrets.init_app(app, *own)
    policies.init_app(app, settings, issues=secret is not None)
    register_blueprints(app)
    places.init_app(app, settings)
    passwords.init_app(app, settings)
    page.init_app(app, issues=secret is not None)
    probe.init_app(app)
    commands.init_app(app)
    admit_browsers(app, settings)
    app.after_request(policies.confirm)  # first of all that follow a request, as it may answer anew
    trust_proxies(app, settings)
    if settings.metrics_token:
        measure(app)
    return app


def configure(app: APIFlask, settings: Settings) -> None:
    """Configure Flask and APIFlask."""
    app.config.update(
        SETTINGS=settings,
        TESTING=settings.app_env == "test",
        PROPAGATE_EXCEPTIONS=False,
        MAX_BODY_BYTES=settings.max_body_bytes,
        MAX_IMPORT_BYTES=64 * settings.max_body_bytes,
        DATABASE_CONNECTIONS=settings.db_pool_size + settings.db_max_overflow,
        HOSTS=settings.trusted_hosts,
        OPENAPI_VERSION="3.1.0",
        DESCRIPTION=document.DESCRIPTION,
        LICENSE={"name": "MIT", "identifier": "MIT"},
        CONTACT={"name": "The operator of this service"},
        SERVERS=[{"url": "/", "description": "Where this document comes from."}],
        AUTO_SERVERS=False,
        AUTO_404_RESPONSE=False,
        AUTO_VALIDATION_ERROR_RESPONSE=False,
    )


def register_blueprints(app: APIFlask) -> None:
    """Every route, with who may call it; what an address may is checked before, by request_limits.

    Who has to be signed in also needs the scope for tasks, unless another one is named here.
    """
    from app.api.batch.routes import blueprint as batch
    from app.api.categories.routes import blueprint as categories
    from app.api.changes.routes import blueprint as changes
    from app.api.changes.routes import streams
    from app.api.health.routes import blueprint as health
    from app.api.labels.routes import blueprint as labels
    from app.api.links.routes import own as own_links
    from app.api.links.routes import public as links
    from app.api.reminders.routes import blueprint as reminders
    from app.api.sessions.routes import blueprint as sessions
    from app.api.tasks.routes import blueprint as tasks
    from app.api.tokens.routes import blueprint as tokens
    from app.api.transfer.routes import blueprint as transfer
    from app.api.trash.routes import blueprint as trash
    from app.api.users.routes import auth as authentication
    from app.api.users.routes import me
    from app.api.webhooks.routes import blueprint as webhooks

    once = partial(request_limits.by_user, 1)  # where views count what a body costs
    table: tuple[tuple[APIBlueprint, str, tuple[Callable[[], None], ...]], ...] = (
        (health, "", (policies.public,)),
        (authentication, "/v1/auth", (policies.issuing,)),
        (links, "/v1/auth", (policies.issuing,)),
        (me, "/v1/me", (policies.signed_in, request_limits.by_user, policies.for_account)),
        (own_links, "/v1/me", (policies.signed_in, request_limits.by_user, policies.for_account)),
        (
            sessions,
            "/v1/sessions",
            (policies.signed_in, request_limits.by_user, policies.for_account),
        ),
        (tokens, "/v1/tokens", (policies.signed_in, request_limits.by_user, policies.for_account)),
        (
            webhooks,
            "/v1/webhooks",
            (policies.signed_in, request_limits.by_user, policies.for_account),
        ),
        (tasks, "/v1/tasks", (policies.signed_in, request_limits.by_user)),
        (categories, "/v1/categories", (policies.signed_in, request_limits.by_user)),
        (labels, "/v1/labels", (policies.signed_in, request_limits.by_user)),
        (reminders, "/v1/reminders", (policies.signed_in, request_limits.by_user)),
        (changes, "/v1/changes", (policies.signed_in, request_limits.by_user)),
        (streams, "/streams", (tickets.by_ticket, request_limits.by_user)),
        (batch, "/v1/batch", (policies.signed_in, request_limits.by_user)),
        (trash, "/v1/trash", (policies.signed_in, request_limits.by_user)),
        (transfer, "/v1", (policies.signed_in, once, policies.for_account)),
    )
    for blueprint, prefix, checks in table:
        app.register_blueprint(blueprint, url_prefix=prefix)
        scope = () if policies.for_account in checks else (policies.for_tasks,)
        scoped = (*checks, *scope) if policies.signed_in in checks else checks
        app.before_request_funcs.setdefault(blueprint.name, []).extend(scoped)
    app.config["SECURED_BLUEPRINTS"] = {b.name for b, _, c in table if policies.signed_in in c}
    app.config["ACCOUNT_BLUEPRINTS"] = {b.name for b, _, c in table if policies.for_account in c}


def development_secret(settings: Settings) -> str | None:
    """A secret that all processes of this checkout share, where none is set or required."""
    if settings.production or settings.jwt_jwks_url:
        return None
    return secrets.shared_secret(SECRET_FILE)


def stretched(url: str) -> str:
    """What keys are derived from where there is no secret: the database's URL, made slow to guess.

    A cursor shows something made under such a key, by which the password could otherwise be tried
    as fast as a hash is computed. Takes a tenth of a second, once in a process.
    """
    return hashlib.scrypt(url.encode(), salt=b"tasks-api", n=2**15, r=8, p=1, maxmem=2**26).hex()


def start_embedded(settings: Settings) -> str:
    """Start the embedded PostgreSQL and return its URL; the last process to exit stops it.

    Raises ConfigurationError in production, and if it does not start.
    """
    if settings.production:
        raise ConfigurationError("DATABASE_URL is required in production")
    from app.dev import embedded

    server = embedded.Server(embedded.default_directory())
    atexit.register(server.stop)
    try:
        return sqlalchemy_url(server.start())
    except RuntimeError as error:
        raise ConfigurationError(f"DATABASE_URL is not set, and {error}") from error


def admit_browsers(app: APIFlask, settings: Settings) -> None:
    """Let pages of the configured origins call, and read the headers they need (Fetch, CORS)."""
    if settings.cors_origins:
        CORS(
            app,
            resources=r"/v1/.*",
            origins=[exactly(origin) for origin in settings.cors_origins],
            allow_headers=[*ALLOWED_HEADERS],
            expose_headers=[*EXPOSED_HEADERS],
            max_age=86_400,
        )
        app.after_request(vary_by_origin)


def exactly(origin: str) -> re.Pattern[str]:
    """A pattern of this origin alone, as scheme and host have no letter case (RFC 6454, section 4).

    Flask-CORS takes a string with brackets in it, as IPv6 addresses have, for a regular expression.
    """
    return re.compile(re.escape(origin) + r"\Z", re.IGNORECASE | re.ASCII)


def measure(app: APIFlask) -> None:
    """Count what this application does, and tell it to the bearer of METRICS_TOKEN."""
    from app.ops import prometheus

    prometheus.init_app(app)


def vary_by_origin(response: Response) -> Response:
    """Keep caches from giving one origin's answer to another (Fetch, section 3.3.5)."""
    response.vary.add("Origin")
    return response


def trust_proxies(app: APIFlask, settings: Settings) -> None:
    """Believe the X-Forwarded headers of as many proxies as there are, and of no more."""
    if count := settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, count, count, count)  # type: ignore[method-assign]
