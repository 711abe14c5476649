"""What can be found, how bad it is and what to do about it: docs/operations/doctor.md lists it."""

from typing import Final, NamedTuple

OK, WARN, FAIL = LEVELS = ("ok", "warn", "fail")
"""How bad a finding is."""


class Finding(NamedTuple):
    """What was found; without a code it is as it should be."""

    text: str
    code: str | None = None

    @property
    def level(self) -> str:
        """How bad it is, one of LEVELS."""
        return REMEDIES[self.code][0] if self.code else OK

    @property
    def advice(self) -> str | None:
        """What to do about it."""
        return REMEDIES[self.code][1] if self.code else None


REMEDIES: Final[dict[str, tuple[str, str]]] = {
    "environment.development": (WARN, "Set APP_ENV=production wherever others are served."),
    "hosts.any": (WARN, "Set TRUSTED_HOSTS to the names that the service is called by."),
    "proxies.none": (
        WARN,
        "Put a buffering proxy in front; set TRUSTED_PROXIES to the number of proxies.",
    ),
    "counters.apart": (
        WARN,
        "Set RATELIMIT_STORAGE_URI to a Redis, or WEB_CONCURRENCY to 1 with a single instance.",
    ),
    "limits.off": (WARN, "Set RATELIMIT_PER_USER and RATELIMIT_PER_ADDRESS to more than 0."),
    "database.unreachable": (
        FAIL,
        "Correct DATABASE_URL or the network, then run the check again.",
    ),
    "encoding.letters": (WARN, "Create the database again in UTF8, with the locale C.UTF-8."),
    "server_log.values": (WARN, "Set them to panic and to -1, as docs/security.md shows."),
    "tls.plain": (FAIL, "Set sslmode=verify-full in DATABASE_URL, and enable TLS on the server."),
    "tls.unverified": (WARN, "Set sslmode=verify-full in DATABASE_URL."),
    "pooler.statement": (FAIL, "Set pool_mode=transaction; a batch is a transaction."),
    "migrations.pooled": (WARN, "Set DATABASE_URL_UNPOOLED to the database, not the pooler."),
    "clock.skewed": (WARN, "Synchronise the clocks of both hosts with NTP."),
    "clock.wrong": (FAIL, "Set the clocks of both hosts, and synchronise them with NTP."),
    "login.powerful": (WARN, "Log in as a role that is only a member of the tasks_* roles."),
    "login.stranger": (
        FAIL,
        "Grant tasks_app, tasks_auth, tasks_links, tasks_maintenance and tasks_worker to it.",
    ),
    "schema.behind": (FAIL, "Run `flask db upgrade`."),
    "schema.ahead": (WARN, "Deploy the release that the schema belongs to, or a later one."),
    "cluster.undistributed": (
        FAIL,
        "Run `flask cluster distribute`; without it, drop the extension.",
    ),
    "cluster.away": (FAIL, "Start it, or correct the way to it; see pg_hba.conf there."),
    "roles.powerful": (FAIL, "Alter the role: nologin nosuperuser nobypassrls."),
    "policies.off": (FAIL, "Run `alter table … enable` and `… force row level security`."),
    "policies.different": (FAIL, "Create the policies again as in the migrations."),
    "grants.missing": (FAIL, "Grant it again, as the migrations do."),
    "grants.excess": (FAIL, "Revoke it; the migrations have not granted it."),
    "grants.others": (WARN, "Revoke it, unless that role is yours and is meant to see all users."),
    "isolation.broken": (FAIL, "Stop the service, and correct policies, grants and roles."),
    "isolation.blind": (FAIL, "Correct policies and grants as those two checks say."),
    "unfinished": (FAIL, "Correct the cause, then run the check again."),
}
"""The code of each finding, its level, and what to do about it."""
