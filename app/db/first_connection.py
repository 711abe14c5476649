"""The first connection of a process, opened before the first request needs it."""

import os
import sys
from threading import Thread

from flask import Flask
from sqlalchemy.exc import DBAPIError

from app.core.config import FAILED_TO_LOAD
from app.db.base import db, gate
from app.db.failures import Cause, while_connecting


def warm_up(app: Flask, *, first: bool) -> None:
    """Open a connection in a background thread, so that the first request finds one.

    Where TLS shows that the server is not the one it should be, the first worker ends the service
    with one line for the operator, as a wrong setting does.
    """
    Thread(target=_warm_up, args=(app, first), name="warm-up", daemon=True).start()


def _warm_up(app: Flask, first: bool) -> None:
    with app.app_context():
        try:
            db.engine.connect().close()
        except DBAPIError as error:
            failure = while_connecting(error.orig)
            if first and failure.cause is Cause.TLS:
                sys.stderr.write(f"Configuration: DATABASE_URL: {failure.advice}\n")
                sys.stderr.flush()
                os._exit(FAILED_TO_LOAD)
            if failure.for_all:
                gate().breaker.open(failure)
