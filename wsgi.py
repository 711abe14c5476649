"""The application object of WSGI servers and of the `flask` command."""

from app import create_app
from app.core.environment import load, stopping_the_start

with stopping_the_start():
    app = create_app(load())
