"""Errors of commands, as one line."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import click
import psycopg2
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from app.core.problems import Problem
from app.db.failures import explained

UNMIGRATED: Final = ("22023", "42P01", "42883")
"""SQLSTATEs of a missing role, table and function (PostgreSQL, appendix A)."""


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command: print expected errors as one line, with exit code 1."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ValidationError as error:
            first = error.errors()[0]
            raise click.ClickException(f"--{first['loc'][0]} {first['msg']}") from None
        except Problem as problem:
            raise click.ClickException(reason(problem)) from None
        except UnicodeError:
            raise click.ClickException("the arguments must be UTF-8") from None
        except psycopg2.Error as error:
            raise click.ClickException(reason(error)) from None

    return wrapper


def reason(error: BaseException) -> str:
    """Return what the database said in one line, and what to do about it."""
    cause = error.__cause__ if isinstance(error, Problem) else error
    if isinstance(cause, DBAPIError):  # SQLAlchemy's own statements on a new connection
        cause = cause.orig
    if not isinstance(cause, psycopg2.Error):
        return error.detail if isinstance(error, Problem) else "the database failed"
    if cause.pgcode is None:
        return explained(cause)
    said = str(cause).splitlines()[0]
    return f"{said}: run `flask db upgrade`" if cause.pgcode in UNMIGRATED else said
