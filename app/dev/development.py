"""What `make run` starts: `flask db upgrade`, then gunicorn, in one process, and a worker beside.

Nothing of a start takes as long as importing the application, so it is done once for both.
"""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from click import ClickException
from flask_migrate import upgrade
from gunicorn.app.wsgiapp import WSGIApplication

from app.core.config import ConfigurationError
from app.core.environment import stopping_the_start
from wsgi import app

PATIENCE_SECONDS: Final = 10.0
"""How long the worker has to end, beyond SHUTDOWN_GRACE."""


def require_port(host: str, port: int) -> None:
    """Raise ConfigurationError if nothing can listen there, before anything else is done.

    gunicorn itself would try again for five seconds.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else "cannot be used"
            raise ConfigurationError(f"port {port} {why}; set PORT to another") from None


@contextmanager
def worker(grace: float) -> Iterator[None]:
    """Run `flask work` meanwhile, and wait for its end.

    Its standard input is a pipe that ends with this process and gunicorn's, so that it ends with
    them even if they are killed.
    """
    master = os.getpid()
    command = [sys.executable, "-m", "flask", "work", "--with-input"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield
    finally:
        if os.getpid() == master:  # gunicorn's workers, which are forks, come here as well
            process.terminate()
            try:
                process.wait(grace + PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def main() -> None:
    """Migrate the database and serve; ends when gunicorn does."""
    settings = app.config["SETTINGS"]
    with stopping_the_start():
        require_port("0.0.0.0" if settings.production else "127.0.0.1", settings.port)  # noqa: S104
    try:
        with app.app_context():
            upgrade()
    except ClickException as error:
        sys.exit(f"Error: {error.message}")
    print(
        f"Documentation: http://127.0.0.1:{settings.port}/docs (Ctrl-C stops the service)",
        flush=True,
    )
    sys.argv = ["gunicorn", "wsgi:app"]
    with worker(settings.shutdown_grace):
        WSGIApplication(prog="gunicorn").run()


if __name__ == "__main__":
    main()
