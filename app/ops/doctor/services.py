"""The services beside the database: Redis, and another issuer of tokens."""

from jwt.exceptions import PyJWKClientConnectionError
from limits.errors import StorageError
from limits.storage import storage_from_string

from app.auth.jwks import KeySet
from app.ops.doctor.deployment import Deployment
from app.ops.doctor.findings import Finding
from app.web.shared_counts import MEMORY, PATIENCE_SECONDS


def redis(deployment: Deployment) -> list[Finding]:
    """Whether the counters are to be reached."""
    uri = deployment.settings.ratelimit_storage_uri
    if uri == MEMORY:
        return [Finding("none is configured")]
    if not storage_answers(uri):
        return [Finding("Redis does not answer", "redis.away")]
    return [Finding("Redis answers")]


def storage_answers(uri: str) -> bool:
    """Whether the storage of counters at this address does."""
    options = {"socket_connect_timeout": PATIENCE_SECONDS, "socket_timeout": PATIENCE_SECONDS}
    storage = storage_from_string(uri, wrap_exceptions=True, **options)
    try:
        return bool(storage.check())
    except StorageError:
        return False


def issuer(deployment: Deployment) -> list[Finding]:
    """Whether the other issuer's keys can be had and used."""
    url = deployment.settings.jwt_jwks_url
    if url is None:
        return [Finding("no other issuer is configured")]
    try:
        keys = KeySet(url).known()
    except PyJWKClientConnectionError:
        return [Finding("the issuer's keys could not be fetched", "issuer.away")]
    if not keys:
        return [Finding("none of the issuer's keys is of use", "issuer.unusable")]
    return [Finding(f"the issuer has {len(keys)} keys that are of use")]
