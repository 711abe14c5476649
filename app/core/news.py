"""News: that a user's rows may have changed, for whoever tells the clients that wait for it.

The database knows no clients; app/web/hints.py listens where Pushpin is set up.
"""

from collections.abc import Callable
from typing import Final

from flask import Flask, current_app

EXTENSION: Final = "news"

Listener = Callable[[str], None]
"""Takes the id of a user, and neither waits nor raises."""


def tell(user_id: str) -> None:
    """Tell the current application's listener, if it has one, that there may be news."""
    listener: Listener | None = current_app.extensions.get(EXTENSION)
    if listener is not None:
        listener(user_id)


def listen(app: Flask, listener: Listener) -> None:
    """Call this listener after each commit of a user's write in this application."""
    app.extensions[EXTENSION] = listener
