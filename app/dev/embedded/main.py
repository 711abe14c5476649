"""Runs a command with the configured database, or else with the embedded one, or drops that."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from dotenv import dotenv_values

from .cluster import REPOSITORY, Server, default_directory

_USAGE = "usage: python app/dev/embedded COMMAND [ARGUMENT...] | --is-used | --reset [--yes]"


def main(argv: Sequence[str]) -> int:
    """Run what the arguments say; return an exit code, and that of a command as a shell would."""
    if not argv:
        print(_USAGE, file=sys.stderr)
        return 2
    if argv == ["--is-used"]:  # for make, which installs the programs only where they are needed
        return 0 if is_used() else 1
    try:
        if argv[0] == "--reset":
            return reset(confirmed=argv[1:] == ["--yes"])
        return run(argv)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1


def run(command: Sequence[str]) -> int:
    """Run the command with a database to its end; return its exit code."""
    if not os.environ.get("DATABASE_URL"):
        os.environ.pop("DATABASE_URL", None)  # Set but empty, it would hide the one in .env.
    _handle_signals(_end)
    if not is_used():
        return _run(command, {})
    with Server(default_directory()) as url:
        # The second one as well, or a leftover in .env would migrate some other database.
        return _run(command, {"DATABASE_URL": url, "DATABASE_URL_UNPOOLED": url})


def _handle_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # What nohup or a shell's background job has set to be ignored stays ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _run(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run the command, which gets the signals of this process; return its code as a shell would."""
    try:
        process = subprocess.Popen(command, env={**os.environ, **variables})
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126

    def pass_on(number: int, _frame: FrameType | None) -> None:
        # A terminal sends its Ctrl-C to the command by itself. A hang-up means that the terminal is
        # gone; to gunicorn SIGHUP would mean: reload.
        if number != signal.SIGINT:
            process.terminate()

    _handle_signals(pass_on)
    code = process.wait()
    return code if code >= 0 else 128 - code


def reset(*, confirmed: bool) -> int:
    """Drop the development database, once the user has confirmed; return an exit code.

    Raises RuntimeError if the database is in use.
    """
    if not is_used():
        raise RuntimeError(
            "Only the embedded database is dropped here, and this configuration names another one "
            "(DATABASE_URL or APP_ENV=production, in the environment or in .env)."
        )
    directory = default_directory()
    if not confirmed and not _says_yes(f"Drop the database in {directory} with all accounts?"):
        raise RuntimeError("Nothing was dropped.")
    found = Server(directory).drop()
    print(f"The database in {directory} was dropped." if found else f"{directory} has no database.")
    return 0


def is_used() -> bool:
    """Return whether no other database is configured, in the environment or in .env.

    Production gets no database by accident: its configuration refuses to start instead.
    """
    dotenv = {} if "FLASK_SKIP_DOTENV" in os.environ else _dotenv()
    configured = _filled(dotenv) | _filled(os.environ)
    return configured.get("APP_ENV") != "production" and "DATABASE_URL" not in configured


def _dotenv() -> Mapping[str, str | None]:
    # Read as app/core/environment.py does, which reports what is wrong with the file. To import it
    # would load the application, which takes longer than everything else here.
    try:
        return dotenv_values(REPOSITORY / ".env", encoding="utf-8-sig")
    except (OSError, UnicodeError):
        return {}


def _filled(variables: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value.strip() for name, value in variables.items() if value and value.strip()}


def _says_yes(question: str) -> bool:
    try:
        return input(f"{question} [yes/no] ").strip().lower() == "yes"
    except EOFError:
        print()
        return False
