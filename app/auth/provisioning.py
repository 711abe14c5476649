"""Create the account of another issuer's user at their first write."""

from collections.abc import Callable
from functools import wraps
from typing import Final, TypeVar

from sqlalchemy.dialects.postgresql import insert

from app.auth.policies import current_principal
from app.db.run import execute
from app.db.scope import writing
from app.db.statement import Statement
from app.rows.owner import User
from app.rows.quotas import NoAccount
from app.rows.shape import USER_ID

Result = TypeVar("Result")


def with_account(write: Callable[[], Result]) -> Result:
    """Run the write, and create the account of another issuer's user if the write misses it.

    Raises NoAccount (401) for a user of this service, whose account was erased.
    """
    try:
        return write()
    except NoAccount:
        principal = current_principal()
        if not principal.external:
            raise
    execute(writing(principal.user_id, once=True), CREATE, user_id=principal.user_id)
    return write()


def provisioning(view: Callable[..., Result]) -> Callable[..., Result]:
    """Decorate a view that writes, so that it runs within `with_account`."""

    @wraps(view)
    def wrapper(*args: object, **kwargs: object) -> Result:
        return with_account(lambda: view(*args, **kwargs))

    return wrapper


CREATE: Final = Statement(insert(User).values(id=USER_ID).on_conflict_do_nothing())
