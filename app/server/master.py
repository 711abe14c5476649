"""What gunicorn's master process is given: where it logs, and how workers learn of the end."""

import os
import re
import signal
from types import FrameType
from typing import Any

from gunicorn import glogging

from app.core import lifecycle


class Logger(glogging.Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own lines go where the application's go, in the same form and redacted."""

    def setup(self, cfg: object) -> None:
        """Called at the start, and again when the configuration is read again."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True

    def warning(self, msg: str, *args: object, **kwargs: object) -> None:
        """Leave out what an invalid request consisted of, which may be a password."""
        if msg.startswith("Invalid request"):
            msg = re.split("b?['\"]", msg)[0].rstrip(": ")
        super().warning(msg, *args, **kwargs)


def announce_end(arbiter: Any) -> None:
    """Tell all workers that the server ends before gunicorn does anything; not on a reload.

    A signal alone may be lost: a worker forked just now still has the handlers of the master.
    """
    master = os.getpid()

    def receive(number: int, frame: FrameType | None) -> None:
        # In such a worker it is not for the server; and after USR2 another gunicorn goes on.
        if os.getpid() == master and not arbiter.reexec_pid:
            (lifecycle.stop if number == signal.SIGTERM else lifecycle.interrupt)()
        arbiter.signal(number, frame)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, receive)
