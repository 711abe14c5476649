"""The embedded PostgreSQL of development and tests: a real server whose programs come in a wheel.

Start it with `python app/dev/embedded COMMAND`, which does not import the application.
"""

from .cluster import Server, default_directory
from .throwaway import throwaway

__all__ = ["Server", "default_directory", "throwaway"]
