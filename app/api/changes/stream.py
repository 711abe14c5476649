"""Changes as a stream of events, which Pushpin holds: it requests each page of them.

Source: WHATWG HTML, "Server-sent events".
"""

from random import randrange
from typing import Final

import orjson

from app.api.changes import position
from app.api.changes.page import page
from app.api.changes.position import Position
from app.api.changes.queries import Feed, changes
from app.auth.tickets import Ticket
from app.core.principal import Principal
from app.core.problem_kinds import NOT_ACCEPTABLE
from app.core.problems import Problem
from app.web import grip
from app.web.request import Request
from app.web.response import JSON, Document, store_nothing

EVENTS: Final = "text/event-stream"
TARGET: Final = "/streams/changes"
LEAST_HOLD_SECONDS, MOST_HOLD_SECONDS = 1800, 3600
"""After a random time between these Pushpin asks again without a hint.

It does so for ten clients a second, and a client whose turn has not come hears no hint: so this is
rare, for as many clients as it may hold. Clients come again sooner by themselves.
"""

LEAST_RETRY, MOST_RETRY = 1000, 5000
"""Milliseconds after which a client comes again, at random, so that those who were cut off at once
do not come at once."""

LONGEST_TOKEN: Final = 200


def is_wanted(incoming: Request) -> bool:
    """Whether the client prefers events to JSON."""
    accept: str = incoming.environ.get("HTTP_ACCEPT", "")
    if EVENTS not in accept.lower():
        return False
    return incoming.accept_mimetypes.best_match([JSON, EVENTS]) == EVENTS


def begin(incoming: Request, principal: Principal, since: str | None, limit: int) -> Document:
    """The beginning of a stream; the Last-Event-ID counts before `since`.

    Raises Problem 406 for a request that does not come through Pushpin.
    """
    if not grip.can_hold(incoming):
        raise Problem(
            NOT_ACCEPTABLE,
            "This address does not stream changes: the operator has not set up Pushpin before it. "
            "Ask for application/json, with `wait`.",
        )
    seen = _last_seen(incoming, since, principal.user_id)
    feed = changes(principal.user_id, seen, limit)
    retry = f"retry: {randrange(LEAST_RETRY, MOST_RETRY)}\n"  # noqa: S311 not a secret
    ticket = Ticket.issue(principal, _place(feed.position, limit))
    return _answer(retry + _event(feed, principal.user_id), feed, ticket)


def go_on(ticket: Ticket) -> Document:
    """The next page of a stream; without changes, nothing that the client sees."""
    version, copied_to, limit = map(int, ticket.place.split("."))
    seen = Position(version, copied_to)
    feed = changes(ticket.user_id, seen, limit)
    is_news = feed.rows or feed.position != seen
    event = _event(feed, ticket.user_id) if is_news else ""
    return _answer(event, feed, ticket._replace(place=_place(feed.position, limit)))


def end() -> Document:
    """What ends a stream, so that the client comes again with a token."""
    return Document(b"", media_type=EVENTS)


def _last_seen(incoming: Request, since: str | None, user_id: str) -> Position | None:
    last: str | None = incoming.environ.get("HTTP_LAST_EVENT_ID")
    if last is None:
        return position.decode(since, user_id)
    return position.decode(last[: LONGEST_TOKEN + 1], user_id, header="Last-Event-ID")


def _place(after: Position, limit: int) -> str:
    return f"{after.version}.{after.copied_to}.{limit}"


def _event(feed: Feed, user_id: str) -> str:
    """A page as an event whose id is its token; without changes, the id alone."""
    content = page(feed, user_id)
    data = orjson.dumps(content, option=orjson.OPT_UTC_Z).decode()
    return f"id: {content['next_token']}\n" + (f"data: {data}\n\n" if feed.rows else "\n")


def _answer(events: str, feed: Feed, ticket: Ticket) -> Document:
    response = Document(events.encode(), media_type=EVENTS)
    store_nothing(response)
    target = f"{TARGET}/{ticket}"
    if feed.has_more:
        response.headers.update(grip.next_page(target))
    elif ticket.seconds:
        seconds = randrange(LEAST_HOLD_SECONDS, MOST_HOLD_SECONDS)  # noqa: S311
        response.headers.update(grip.held_stream(ticket.user_id, target, seconds))
    return response
