"""A place for an export or an import, or the answer to whom there is none for."""

from typing import Final

from flask import current_app

from app.core.metrics import tally
from app.core.metrics.families import REFUSALS
from app.core.places import TRANSFERS, NoPlace, OwnPlaceTaken, Place, Places
from app.core.problem_kinds import OVERLOADED, TOO_MANY_REQUESTS
from app.core.problems import Problem

RETRY_AFTER: Final = {"Retry-After": "5"}


def take_place(user_id: str) -> Place:
    """A place, to be released when all is sent.

    Raises Problem 429 while another export or import of the user is under way, and 503 if others
    have all places.
    """
    places: Places = current_app.extensions[TRANSFERS]
    try:
        return places.take(user_id)
    except OwnPlaceTaken:
        tally.add(REFUSALS, "transfer")
        detail = "Another export or import of this user is under way."
        raise Problem(TOO_MANY_REQUESTS, detail, headers=RETRY_AFTER) from None
    except NoPlace:
        detail = "As many exports and imports are under way as this process takes at once."
        raise Problem(OVERLOADED, detail, headers=RETRY_AFTER) from None
