"""`flask work`: sends mails, calls webhooks, and purges once a day. Any number may run.

It never ends by itself: while the database is away it waits. A signal ends it: the mail that is
being sent and the webhooks that are being called have SHUTDOWN_GRACE seconds then, and no other is
begun.
"""

import logging
import os
import select
import signal
import sys
import time
from contextlib import suppress
from random import SystemRandom
from threading import Thread
from typing import Any, Final

import click
import psycopg2
from apiflask import APIFlask
from flask import Flask, current_app
from flask.cli import with_appcontext

from app.core.config import Settings
from app.core.environment import misspelt_settings, stopping_the_start, without_mail
from app.core.problems import Problem
from app.core.secrets import accepted
from app.core.version import __version__
from app.ops import heartbeat, jobs
from app.ops.hooks.calls import Calls
from app.ops.mail import conversation, resets, templates
from app.ops.mail.delivery import Postman
from app.ops.mail.message import Composer
from app.ops.one_line import one_line_errors, reason

IDLE_SECONDS: Final = (1.0, 2.0)
PURGE_SECONDS: Final = 60.0
"""How often a worker asks whether it is time to purge."""

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
REMINDER_SECONDS: Final = 60.0

BUSY_SECONDS: Final = conversation.LONGEST_SECONDS + 60.0
"""How long one turn may take: a conversation, and what the database needs to be told of it."""

BEAT_SECONDS: Final = 10.0

logger = logging.getLogger(__name__)


class Stop:
    """Whether this process has been told to end, which also ends its waits."""

    def __init__(self, grace: float, *, with_input: bool = False) -> None:
        self.grace = grace
        self.requested = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._ends = [self._read, sys.stdin.fileno()] if with_input else [self._read]

    def listen(self) -> None:
        """Take the signals that end a process; what nohup has set to be ignored stays ignored."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self.request)

    def request(self, *_signal: Any) -> None:
        """Ask this process to end. A handler of signals may call it."""
        self.requested = True
        with suppress(OSError):
            os.write(self._write, b"\0")
        conversation.shorten(self.grace)

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until the process is to end; return whether it is."""
        if not self.requested and self._readable(seconds):
            self.requested = True
        return self.requested

    def _readable(self, seconds: float) -> bool:
        return bool(select.select(self._ends, [], [], seconds)[0])


class Worker:
    """Does what is due: mails one at a time, webhooks and the purge in threads of their own."""

    def __init__(self, app: Flask, settings: Settings, stop: Stop) -> None:
        keys = {each.id: each for each in accepted()}
        composer = Composer(settings, templates.load(settings), keys)
        self.app = app
        self.postman = Postman(settings, composer, self._note_busy, lambda: stop.requested)
        self.calls = Calls(app, settings, stop.wait, stop.grace)
        self.file = heartbeat.file_of(settings)
        self.stop = stop
        self.beats_at = self.purges_at = self.told_at = float("-inf")
        self.beats = True
        self.purging: Thread | None = None
        self.pause = 0.0

    def run(self) -> None:
        """Work until the process is to end."""
        self.calls.start()
        while not self.stop.requested:
            self._beat()
            try:
                self._purge()
                found = self._mail()
            except (Problem, psycopg2.Error) as error:
                self.stop.wait(self._backed_off(error))
                continue
            except Exception:
                logger.exception("the worker met an error that nobody foresaw")
                found = False
            self._is_back()
            self.stop.wait(0 if found else SystemRandom().uniform(*IDLE_SECONDS))
        self._end()

    def run_once(self) -> None:
        """Do what is due, and return. Raises Problem or psycopg2.Error."""
        while not self.stop.requested and self._mail():
            pass
        self.calls.run_once()
        self._tell(jobs.purge_if_due(lambda: self.stop.requested))

    def _mail(self) -> bool:
        """Answer a request for a mail, and deliver one; return whether there was either."""
        asked = resets.answer_next()
        return self.postman.deliver_next() or asked

    def _beat(self) -> None:
        if time.monotonic() >= self.beats_at:
            self._write_beat(0.0)
            self.beats_at = time.monotonic() + BEAT_SECONDS

    def _note_busy(self) -> None:
        self._write_beat(BUSY_SECONDS)
        self.beats_at = float("-inf")

    def _write_beat(self, busy_seconds: float) -> None:
        try:
            heartbeat.beat(self.file, busy_seconds)
            self.beats = True
        except OSError as error:
            if self.beats:
                logger.warning("%s cannot be written: %s", self.file, error.strerror)
            self.beats = False

    def _purge(self) -> None:
        """Look whether it is time to purge, in a thread so that no mail waits meanwhile."""
        now = time.monotonic()
        if now < self.purges_at or (self.purging and self.purging.is_alive()):
            return
        self.purges_at = now + PURGE_SECONDS
        self.purging = Thread(target=self._purge_if_due, name="purge", daemon=True)
        self.purging.start()

    def _purge_if_due(self) -> None:
        with self.app.app_context():
            try:
                self._tell(jobs.purge_if_due(lambda: self.stop.requested))
            except (Problem, psycopg2.Error) as error:
                logger.warning("not purged: %s", reason(error))
            except Exception:
                logger.exception("the purge met an error that nobody foresaw")

    def _tell(self, removed: dict[str, int] | None) -> None:
        if removed is not None:
            logger.info("old rows were purged", extra={"fields": {**removed}})

    def _backed_off(self, error: Exception) -> float:
        """Return how long to wait for the database, and tell operators once a minute."""
        if time.monotonic() - self.told_at > REMINDER_SECONDS:
            logger.warning("the worker waits for the database: %s", reason(error))
            self.told_at = time.monotonic()
        self.pause = min(max(2 * self.pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        return self.pause * SystemRandom().uniform(0.8, 1.2)

    def _is_back(self) -> None:
        if self.pause:
            logger.info("the worker has the database again")
        self.pause, self.told_at = 0.0, float("-inf")

    def _end(self) -> None:
        """Record what is left to be recorded, and let the purge end its present statement."""
        try:
            self.postman.settle()
        except (Problem, psycopg2.Error) as error:
            logger.error("what became of a mail is not recorded: %s", reason(error))
        self.calls.join()
        if self.purging:
            self.purging.join(self.stop.grace)


@click.command("work")
@click.option("--once", is_flag=True, help="Do what is due, and end.")
@click.option(
    "--check", is_flag=True, help="Tell by the status whether a worker of this host runs."
)
@click.option("--with-input", is_flag=True, help="End when the standard input does.")
@with_appcontext
@one_line_errors
def work(once: bool, check: bool, with_input: bool) -> None:
    """Send mails, call webhooks and purge once a day, until a signal comes.

    Any number of workers may run. SIGTERM lets what is under way end, within SHUTDOWN_GRACE.
    """
    settings: Settings = current_app.config["SETTINGS"]
    if check:
        if not heartbeat.is_alive(heartbeat.file_of(settings)):
            raise click.ClickException("no worker of this host was well within the last minute")
        return
    app: APIFlask = current_app._get_current_object()  # type: ignore[attr-defined]
    stop = Stop(settings.shutdown_grace, with_input=with_input)
    with stopping_the_start():
        worker = Worker(app, settings, stop)
    stop.listen()
    if once:
        worker.run_once()
        return
    logger.info("the worker starts", extra={"fields": {"version": __version__}})
    for warning in without_mail(settings) + misspelt_settings():
        logger.warning(warning)
    worker.run()
    logger.info("the worker ends")
