"""How many exports and imports there are at a time: no more than leave the other threads free."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Semaphore
from typing import Final

from flask import Flask, current_app

from app.config import Settings
from app.problems import OVERLOADED, Problem

EXTENSION: Final = "places_to_transfer"
RETRY_AFTER: Final = {"Retry-After": "5"}


def take_place() -> Semaphore:
    """A place, to be released when all is sent. Raises Problem 503 if all are taken."""
    places: Semaphore = current_app.extensions[EXTENSION]
    if not places.acquire(blocking=False):
        detail = "As many exports and imports are under way as this process takes at once."
        raise Problem(OVERLOADED, detail, headers=RETRY_AFTER)
    return places


@contextmanager
def place() -> Iterator[None]:
    """A place as long as this is entered. Raises Problem 503 if all are taken."""
    taken = take_place()
    try:
        yield
    finally:
        taken.release()


def init_app(app: Flask, settings: Settings) -> None:
    """A quarter of the threads: long polls may have half."""
    app.extensions[EXTENSION] = Semaphore(max(1, settings.web_threads // 4))
