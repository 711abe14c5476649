"""Hash and check passwords with argon2id, a limited number at once.

Passwords are normalised to NFKC, because keyboards encode one password in several ways. A hash
needs a CPU core and 32 MiB for a while, and anyone can ask for one: `places.hashes_at_once` limits
how many run at once in a process, and app/server reserves threads for the requests that need one.

Hashes of earlier releases are scrypt's. They still count, and are replaced when their user signs in
(docs/decisions/0064).
"""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_bytes, token_hex
from threading import TIMEOUT_MAX, BoundedSemaphore
from typing import Final, NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask import Flask, current_app
from werkzeug import security

from app.core import deadline
from app.core.config import Settings
from app.core.places import hashes_at_once
from app.core.problem_kinds import OVERLOADED
from app.core.problems import Problem
from app.core.texts import compatible

EXTENSION: Final = "hashing"

HASHER: Final = PasswordHasher(time_cost=2, memory_cost=32 * 1024, parallelism=1)
"""Argon2id with more than the least that OWASP's Password Storage Cheat Sheet asks for, 19 MiB.

glibc returns a block of 32 MiB to the system when it is freed. It would keep a smaller one for each
thread that has hashed a password (mallopt(3), M_MMAP_THRESHOLD).
"""


def _nobody() -> tuple[str, ...]:
    salt, digest = (b64encode(token_bytes(size)).decode().rstrip("=") for size in (16, 32))
    costs = f"m={HASHER.memory_cost},t={HASHER.time_cost},p={HASHER.parallelism}"
    return (
        f"$argon2id$v=19${costs}${salt}${digest}",
        f"scrypt:32768:8:1${token_hex(8)}${token_hex(64)}",
    )


NOBODY: Final = _nobody()
"""Hashes of no password, made in each way that a stored hash may have been made.

When HASHER changes, what it was is added here.
"""


class Check(NamedTuple):
    """Whether a password is right and, if it is, the hash to store in place of an outdated one."""

    is_right: bool
    renewed: str | None = None


def generate_password_hash(password: str) -> str:
    """Return the hash to store. Raises Problem 503 if others use all places until the deadline."""
    with _place():
        return HASHER.hash(compatible(password))


def check_password_hash(stored: str | None, password: str) -> Check:
    """Compare a password with a stored hash, which is None if there is no account.

    A failure computes a hash in each way of NOBODY, and with scrypt a second one if NFKC changes
    the password. So its duration reveals neither whether there is an account nor how old its hash
    is. Raises Problem 503 as above.
    """
    with _place():
        if stored is not None and _matches(stored, password):
            outdated = not _is_argon2(stored) or HASHER.check_needs_rehash(stored)
            return Check(True, HASHER.hash(compatible(password)) if outdated else None)
        for other in NOBODY:
            if stored is None or _way(other) != _way(stored):
                _matches(other, password)
        return Check(False)


def _matches(password_hash: str, password: str) -> bool:
    """Whether the password has this hash: in NFKC or, with scrypt, as release 1.0 was sent it."""
    if _is_argon2(password_hash):
        try:
            return HASHER.verify(password_hash, compatible(password))
        except (VerificationError, InvalidHashError):
            return False
    forms = dict.fromkeys((compatible(password), password))
    return any(security.check_password_hash(password_hash, form) for form in forms)


def _is_argon2(password_hash: str) -> bool:
    return password_hash.startswith("$argon2")


def _way(password_hash: str) -> str:
    """The method with its costs, which precede salt and digest."""
    return password_hash.rsplit("$", 2)[0]


@contextmanager
def _place() -> Iterator[None]:
    hashing: BoundedSemaphore = current_app.extensions[EXTENSION]
    left = deadline.left()  # nothing if it passed in the queue for a thread
    if left <= 0 or not hashing.acquire(timeout=min(left, TIMEOUT_MAX)):
        raise Problem(OVERLOADED)
    try:
        yield
    finally:
        hashing.release()


def init_app(app: Flask, settings: Settings) -> None:
    """Make the places for hashing in this process."""
    places = hashes_at_once(settings.web_threads, settings.web_concurrency)
    app.extensions[EXTENSION] = BoundedSemaphore(places)
