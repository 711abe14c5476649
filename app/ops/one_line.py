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
            raise click.ClickException(_reason(problem.__cause__) or problem.detail) from None
        except UnicodeError:
            raise click.ClickException("the arguments must be UTF-8") from None
        except psycopg2.Error as error:
            raise click.ClickException(_reason(error) or "the database failed") from None

    return wrapper


def _reason(error: BaseException | None) -> str | None:
    """Return what the database said in one line, and what to do about it."""
    if isinstance(error, DBAPIError):  # SQLAlchemy's own statements on a new connection
        error = error.orig
    if not isinstance(error, psycopg2.Error):
        return None
    if error.pgcode is None:
        return explained(error)
    said = str(error).splitlines()[0]
    return f"{said}: run `flask db upgrade`" if error.pgcode in UNMIGRATED else said
