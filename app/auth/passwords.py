"""Hash and check passwords with scrypt, a limited number at once.

Passwords are normalised to NFKC, because keyboards encode one password in several ways. A hash
needs a CPU core and 32 MB for a while, and anyone can ask for one: `places.for_passwords` limits
how many run at once in a process, and app/server reserves as many threads for them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import TIMEOUT_MAX, BoundedSemaphore
from typing import Final

from flask import Flask, current_app
from werkzeug import security

from app.core import deadline
from app.core.config import Settings
from app.core.places import for_passwords
from app.core.problem_kinds import OVERLOADED
from app.core.problems import Problem
from app.core.texts import compatible

EXTENSION: Final = "hashing"


def generate_password_hash(password: str) -> str:
    """Return the hash to store. Raises Problem 503 if others use all places until the deadline."""
    with _place():
        return security.generate_password_hash(compatible(password))


def check_password_hash(password_hash: str, password: str) -> bool:
    """Whether the password has this hash: in NFKC, or as it was sent, which release 1.0 hashed.

    Raises Problem 503 as above. A failure takes one hash or two depending on the password only, so
    that its duration reveals nothing about accounts.
    """
    with _place():
        forms = dict.fromkeys((compatible(password), password))
        return any(security.check_password_hash(password_hash, form) for form in forms)


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
    app.extensions[EXTENSION] = BoundedSemaphore(for_passwords(settings.web_threads))
