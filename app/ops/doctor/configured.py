"""Settings that are unsafe, or that do not fit together. Nothing is asked of the database."""

import re
from collections import Counter
from math import log2
from typing import Final
from urllib.parse import urlsplit

from app.ops.doctor.deployment import Deployment, listed
from app.ops.doctor.findings import Finding
from app.web.counters import MEMORY

RANDOM_BITS: Final = 128
WORDS: Final = re.compile("secret|password|change|example|default|insecure|tasks", re.IGNORECASE)


def environment(deployment: Deployment) -> list[Finding]:
    """Whether unsafe settings are refused."""
    code = None if deployment.settings.production else "environment.development"
    return [Finding(f"the environment is {deployment.settings.app_env}", code)]


def keys(deployment: Deployment) -> list[Finding]:
    """Which keys sign, which are accepted, and whether one of their secrets could be guessed."""
    settings, [present, *others] = deployment.settings, deployment.keys
    if settings.jwt_secret is None:
        whose = "another issuer's" if settings.jwt_jwks_url else "development's"
        return [Finding(f"access tokens are signed with {whose} keys")]
    if weak := [each.id for each in deployment.keys if guessable(each.secret)]:
        return [Finding(f"the secret of {listed(weak)} could be guessed", "keys.guessable")]
    accepted = listed([each.id for each in others])
    text = f"access tokens are signed with {present.id}"
    return [Finding(text + (f", those of {accepted} are taken as well" if others else ""))]


def guessable(secret: str) -> bool:
    """Whether a secret contains words, or too few or too similar characters.

    Of 43 random characters of base64, one in 1,500 has no digit.
    """
    counts = Counter(secret).values()
    bits = sum(-count * log2(count / len(secret)) for count in counts)
    return bits < RANDOM_BITS or not re.search("[0-9]", secret) or bool(WORDS.search(secret))


def hosts(deployment: Deployment) -> list[Finding]:
    """Whether requests with any Host header are served."""
    names = deployment.settings.trusted_hosts
    called = listed(names) or "whatever host it is called by"
    return [Finding(f"the service answers to {called}", None if names else "hosts.any")]


def proxies(deployment: Deployment) -> list[Finding]:
    """Whether the addresses of clients are taken from a proxy."""
    if count := deployment.settings.trusted_proxies:
        return [Finding(f"the last {count} of X-Forwarded-For is believed")]
    text = "no proxy is trusted: all clients behind one count as one address"
    return [Finding(text, "proxies.none")]


def counters(deployment: Deployment) -> list[Finding]:
    """Whether rate limits are on, and counted by all processes together."""
    settings, found = deployment.settings, []
    if settings.ratelimit_storage_uri == MEMORY and settings.web_concurrency > 1:
        text = f"each of {settings.web_concurrency} processes counts requests and sign-ins alone"
        found.append(Finding(text, "counters.apart"))
    if not (settings.ratelimit_per_user and settings.ratelimit_per_address):
        found.append(Finding("a limit of requests is off", "limits.off"))
    return found or [Finding("requests and failed sign-ins are counted in one place")]


def origins(deployment: Deployment) -> list[Finding]:
    """Whether pages that were loaded without TLS may call."""
    names = [name for name in deployment.settings.cors_origins if name.startswith("http://")]
    if plain := [name for name in names if urlsplit(name).hostname != "localhost"]:
        return [Finding(f"pages that anyone may change call: {listed(plain)}", "origins.plain")]
    return [Finding("pages call only where nobody can change them on the way")]


def logs(deployment: Deployment) -> list[Finding]:
    """Whether the log contains more than an operator needs."""
    level = deployment.settings.log_level
    return [Finding(f"the log holds {level} and above", "logs.debug" if level == "DEBUG" else None)]


def timeouts(deployment: Deployment) -> list[Finding]:
    """Whether the timeouts of a request's waits are shorter than its deadline."""
    settings = deployment.settings
    longest = max(settings.db_pool_timeout, settings.db_statement_timeout)
    if longest >= settings.request_deadline:
        text = f"a request has {settings.request_deadline:g} s, one of its waits {longest:g} s"
        return [Finding(text, "timeouts.order")]
    return [Finding(f"a request has {settings.request_deadline:g} s, a wait {longest:g} s")]
