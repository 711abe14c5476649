"""The version of this release: the one place that says it, which imports nothing."""

from typing import Final

__version__: Final = "1.0.0"
