"""The directory of the addresses that users sign in with: taking one, and giving it up.

A cluster spreads users by their id, and this table by the address. So an address is unique here,
and not in `users`. Each statement that writes `users.email` writes the directory too: it takes a
new address before the user's row is written, and gives the former one up afterwards.
"""

from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, Text, Uuid, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from app.core.problem_kinds import CONFLICT
from app.core.problems import Problem
from app.db.base import Base
from app.rows.shape import USER_ID
from app.web.errors import CONSTRAINTS

CONSTRAINTS["pk_sign_in_addresses"] = Problem(
    CONFLICT, "An account with this e-mail address exists."
)


class SignInAddress(Base):
    """An address in lower case, and the user who signs in with it."""

    __tablename__ = "sign_in_addresses"

    address: Mapped[str] = mapped_column(Text, primary_key=True)
    user_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))


def taken_if_free(email: ColumnElement[Any]) -> CTE:
    """Take an address for the user, unless somebody has it; a row if it was taken."""
    row = insert(SignInAddress).values(address=func.lower(email), user_id=USER_ID)
    return row.on_conflict_do_nothing().returning(SignInAddress.address).cte("taken")


def taken(email: ColumnElement[Any]) -> CTE:
    """Take an address for the user, one of a part of the statement; a row if there is one.

    An address of somebody else violates the primary key, so that nothing of the statement is done.
    """
    row = select(func.lower(email), USER_ID)
    insertion = insert(SignInAddress).from_select(["address", "user_id"], row)
    return insertion.returning(SignInAddress.address).cte("taken")


def given_up(emails: Select[Any]) -> CTE:
    """Give the selected addresses of the user up; null is none."""
    address = SignInAddress.address.in_(select(func.lower(emails.subquery().c.email)))
    removal = delete(SignInAddress).where(address, SignInAddress.user_id == USER_ID)
    return removal.returning(SignInAddress.address).cte("given_up")
