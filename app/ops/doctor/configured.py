"""Settings that are unsafe, or that do not fit together. Nothing is asked of the database."""

from app.ops.doctor.deployment import Deployment, listed
from app.ops.doctor.findings import Finding
from app.web.shared_counts import MEMORY


def environment(deployment: Deployment) -> list[Finding]:
    """Whether unsafe settings are refused."""
    code = None if deployment.settings.production else "environment.development"
    return [Finding(f"the environment is {deployment.settings.app_env}", code)]


def keys(deployment: Deployment) -> list[Finding]:
    """Which keys sign access tokens, and which are accepted as well."""
    settings, [present, *others] = deployment.settings, deployment.keys
    if settings.jwt_secret is None:
        whose = "another issuer's" if settings.jwt_jwks_url else "development's"
        return [Finding(f"access tokens are signed with {whose} keys")]
    accepted = listed([each.id for each in others])
    text = f"access tokens are signed with {present.id}"
    return [Finding(text + (f", those of {accepted} are taken as well" if others else ""))]


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
