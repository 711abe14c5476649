"""What `make run` starts: `flask db upgrade`, then gunicorn, in one process.

Nothing of a start takes as long as importing the application, so it is done once for both.
"""

import sys

from flask_migrate import upgrade
from gunicorn.app.wsgiapp import WSGIApplication

from wsgi import app


def main() -> None:
    """Migrate the database and serve; ends when gunicorn does."""
    with app.app_context():
        upgrade()
    port = app.config["SETTINGS"].port
    print(f"Documentation: http://127.0.0.1:{port}/docs (Ctrl-C stops the service)", flush=True)
    sys.argv = ["gunicorn", "wsgi:app"]
    WSGIApplication(prog="gunicorn").run()


if __name__ == "__main__":
    main()
