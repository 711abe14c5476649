"""The version of this release; imports nothing, so that any tool can read it."""

from typing import Final

__version__: Final = "1.1.0"
