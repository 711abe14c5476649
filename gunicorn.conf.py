"""How gunicorn serves the application; every figure can be set from the environment."""

import gc
import logging
import math
from typing import Any

from app.core import lifecycle, logs
from app.core.environment import exposed_development, load, misspelt_settings, without_mail
from app.core.metrics import tally
from app.core.version import __version__
from app.db.first_connection import warm_up
from app.server.master import Logger, announce_end
from app.server.worker import Worker
from app.web import errors

settings = load()
logs.configure(settings)

host = "0.0.0.0" if settings.production else "127.0.0.1"  # noqa: S104 behind a balancer
bind = f"{host}:{settings.port}"
worker_class = "app.server.worker.Worker"
workers = settings.web_concurrency
threads = settings.web_threads
worker_connections = 900  # with the database's, below the usual limit of 1024 open files
keepalive = 65  # longer than a balancer's, so that it is never the server that hangs up first
graceful_timeout = math.ceil(settings.shutdown_grace + settings.request_deadline) + 5
sendfile = False  # files are sent like all else, by a socket that gives up slow clients
limit_request_line = 8190
limit_request_field_size = 8190
logger_class = Logger
loglevel = settings.log_level.lower()
accesslog = None  # the application logs each request
control_socket_disable = True  # nobody uses it, and all servers of one account would share it
forwarded_allow_ips = ""  # TRUSTED_PROXIES decides, not gunicorn's trust in this host
worker_tmp_dir = None
wsgi_app = "wsgi:app"
preload_app = (
    True  # so that workers start at once, share what is loaded, and are all of one release
)


def on_starting(arbiter: Any) -> None:
    """Called once in the master process, before anything else."""
    if arbiter.cfg.is_ssl and issubclass(arbiter.worker_class, Worker):
        raise RuntimeError("this worker does not end TLS: let a balancer do so, or use -k gthread")


def when_ready(arbiter: Any) -> None:
    """Called once in the master process, before the first worker."""
    announce_end(arbiter)
    fields = {"version": __version__, "workers": workers, "threads": threads}
    log = logging.getLogger("app")
    log.info("the service starts", extra={"fields": fields})
    exposed = exposed_development(settings, arbiter.cfg.address)
    for warning in exposed + without_mail(settings) + misspelt_settings():
        log.warning(warning)
    # What is loaded by now is never given up. A collection would write into each object, and so
    # give each worker a copy of what all could share (Python, "gc.freeze").
    gc.freeze()
    # A list of tasks is hundreds of objects and no cycle; by default, each would be looked through.
    gc.set_threshold(20_000, 50, 100)


def pre_fork(_arbiter: Any, worker: Any) -> None:
    """Called in the master process before each worker."""
    if ledger := tally.ledger():
        ledger.assign(worker.age)


def child_exit(_arbiter: Any, worker: Any) -> None:
    """Called in the master process when a worker has ended, however it did."""
    if ledger := tally.ledger():
        ledger.release(worker.age)


def post_fork(_arbiter: Any, worker: Any) -> None:
    """Called in each worker as it begins."""
    if ledger := tally.ledger():
        ledger.take(worker.age)
    worker.grace = settings.shutdown_grace
    worker.patience = settings.request_deadline
    worker.error_response = errors.of_server


def post_worker_init(worker: Any) -> None:
    """Called in each worker before its first request."""
    warm_up(worker.wsgi, first=worker.age == 1)
    lifecycle.note_ready(worker.age)
