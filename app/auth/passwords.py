"""Hashing passwords, in NFKC: keyboards send one password as several texts.

scrypt takes a processor and 32 MB for a while, and anyone may ask for it. So many are hashed at
once in a process as leave half of its threads; app/server has no more threads for those who
sign up or in, so that nobody else waits for them.
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
    """What is kept of a password. Raises Problem 503 if it does not come to its turn in time."""
    with _turn():
        return security.generate_password_hash(compatible(password))


def check_password_hash(password_hash: str, password: str) -> bool:
    """Whether this is kept of the password, in NFKC or as it was sent, which is what release 1.0
    hashed. Raises Problem 503 likewise.

    A failure takes one hash or two, by the password alone: the time says nothing about accounts.
    """
    with _turn():
        forms = dict.fromkeys((compatible(password), password))
        return any(security.check_password_hash(password_hash, form) for form in forms)


@contextmanager
def _turn() -> Iterator[None]:
    hashing: BoundedSemaphore = current_app.extensions[EXTENSION]
    if not hashing.acquire(timeout=min(max(0.0, deadline.left()), TIMEOUT_MAX)):
        raise Problem(OVERLOADED)
    try:
        if deadline.left() <= 0:  # it waited for a thread, and nobody waits for the answer any more
            raise Problem(OVERLOADED)
        yield
    finally:
        hashing.release()


def init_app(app: Flask, settings: Settings) -> None:
    """Have nothing hashed yet."""
    app.extensions[EXTENSION] = BoundedSemaphore(for_passwords(settings.web_threads))
