"""Loading the settings of a process, and ending the process if they are wrong."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values

from app.core.config import FAILED_TO_LOAD, ROOT, ConfigurationError, Settings
from app.core.misspelt import warnings


def load() -> Settings:
    """Return the settings of the environment and, outside production, of the file `.env`.

    Ends the process if they are wrong.
    """
    production = os.environ.get("APP_ENV", "").strip() == "production"
    with stopping_the_start():
        if not production and "FLASK_SKIP_DOTENV" not in os.environ:
            load_dotenv(ROOT / ".env")
        return Settings.from_environment(os.environ)


@contextmanager
def stopping_the_start() -> Iterator[None]:
    """Turn a ConfigurationError into the end of the process.

    Standard error gets one line, and one for each setting that seems misspelt. The exit status is
    FAILED_TO_LOAD.
    """
    try:
        yield
    except ConfigurationError as error:
        lines = [str(error), *misspelt_settings()]
        sys.stderr.write("".join(f"Configuration: {line}\n" for line in lines))
        raise SystemExit(FAILED_TO_LOAD) from None


def misspelt_settings() -> list[str]:
    """Return a warning for each variable whose name is almost that of a setting."""
    return warnings(os.environ, {item.metadata["variable"] for item in fields(Settings)})


def load_dotenv(path: Path) -> None:
    """Set the variables of the file that the environment does not have.

    A byte order mark and Windows line ends are ignored, because editors add them. Raises
    ConfigurationError if the file cannot be read or is not UTF-8.
    """
    try:
        # A directory of this name is a virtual environment.
        text = path.read_text("utf-8-sig") if path.is_file() or path.is_fifo() else ""
    except UnicodeDecodeError:
        text = "\0"
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror}): mend its permissions, or remove it"
        raise ConfigurationError(message) from None
    if "\0" in text:  # UTF-16 without a byte order mark
        raise ConfigurationError(f"{path} is no text in UTF-8: save it as UTF-8")
    for name, value in dotenv_values(stream=StringIO(text)).items():
        if value is not None:
            os.environ.setdefault(name, value)
