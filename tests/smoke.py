"""What a first user does, in a fresh copy of the repository and with nothing installed.

`python3.11 -m tests.smoke` runs `make run` with that Python and its own pip, asks the service how
its database is, creates a task and lists it. It takes the standard library alone.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.fork import ROOT, files

PATIENCE: Final = 300.0


def main() -> int:
    """Print what was done, or what the service printed and why that is not enough."""
    began = time.monotonic()
    with TemporaryDirectory(prefix="tasks-smoke-") as temporary:
        checkout = Path(temporary).resolve()
        for name in files():
            target = checkout / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        try:
            run(checkout)
        except (AssertionError, OSError) as error:
            print((checkout / "output").read_text()[-8000:], file=sys.stderr)
            print(f"The smoke test failed: {error}", file=sys.stderr)
            return 1
        finally:
            remove_database(checkout)
        python = checkout / ".venv" / "bin" / "python"
        pip = subprocess.check_output([python, "-m", "pip", "--version"], text=True).split()[1]
    version = sys.version.split()[0]
    seconds = round(time.monotonic() - began)
    print(f"Python {version} and pip {pip} install, start, create and list, in {seconds} s.")
    return 0


def run(checkout: Path) -> None:
    """Start the service, use it and stop it, all as its user would."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # This make's options and targets are not those of the other.
    foreign = ("MAKE", "MFLAGS")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    with (checkout / "output").open("wb") as output:
        service = subprocess.Popen(
            ["make", "run", f"PYTHON3={sys.executable}"],
            cwd=checkout,
            env={**environment, "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            use(service, f"http://127.0.0.1:{port}")
        finally:
            os.killpg(service.pid, signal.SIGINT)  # as Ctrl-C does
            try:
                service.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(service.pid, signal.SIGKILL)
                raise AssertionError("it does not stop") from None


def use(service: "subprocess.Popen[bytes]", base: str) -> None:
    """Wait until the service is ready; then sign up, create a task and list it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        assert service.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline, f"it is not ready after {PATIENCE:.0f} s"
        try:
            health = call(f"{base}/health/db")
            break
        except URLError:
            time.sleep(0.2)
    assert health["status"] == "ok", health
    account = {"email": "grace@example.com", "password": "correct horse battery"}
    call(f"{base}/v1/auth/register", account | {"name": "Grace"})
    token = call(f"{base}/v1/auth/token", account)["access_token"]
    created = call(f"{base}/v1/tasks", {"title": "Buy milk"}, token)
    assert call(f"{base}/v1/tasks", token=token)["items"] == [created]


def call(url: str, body: dict[str, Any] | None = None, token: str | None = None) -> Any:
    """What the service answers; POST if there is a body. Raises URLError for an error status."""
    headers = {"Content-Type": "application/json"} if body else {}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    data = json.dumps(body).encode() if body else None
    with urlopen(Request(url, data, headers), timeout=10) as response:
        return json.load(response)


def remove_database(checkout: Path) -> None:
    """Remove what `make run` keeps for the next time; for root it is outside of the checkout."""
    python = checkout / ".venv" / "bin" / "python"
    code = "from app.dev.embedded import default_directory; print(default_directory())"
    found = subprocess.run([python, "-c", code], cwd=checkout, capture_output=True, text=True)
    if found.returncode == 0:
        shutil.rmtree(found.stdout.strip(), ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
