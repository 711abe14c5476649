"""HAProxy with the configuration that is shipped, on free ports of 127.0.0.1."""

import csv
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from typing import Self

from tests.conftest import ROOT
from tests.locks import until
from tests.rig.programs import Program, account, answers, free_port, need, own_directory, write

SHIPPED = ROOT / "docs" / "operations" / "haproxy.cfg"
TLS = "# bind :443 ssl crt /etc/haproxy/tasks.pem"


class HAProxy:
    """Before the instances on these ports; with a certificate and its key, over TLS as well.

    `edit` makes of the shipped file what is to be run instead.
    """

    def __init__(self, *instances: int, pem: bytes = b"", edit: Callable[[str], str] = str) -> None:
        self._binary = need("haproxy")
        self._directory = own_directory()
        self._program: Program | None = None
        self.log = self._directory / "log"
        self._console = self._directory / "admin.sock"
        self.port, self.tls_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        certificate = write(self._directory / "tasks.pem", pem)
        changes = {
            "bind :80\n": f"bind 127.0.0.1:{self.port}\n",
            "192.0.2.11:8000": f"127.0.0.1:{instances[0]}",
            "192.0.2.12:8000": f"127.0.0.1:{instances[-1]}",
            "/run/haproxy/admin.sock mode 660": str(self._console),
            "TASKS.EXAMPLE.COM": "localhost",
        }
        if pem:
            changes[TLS] = f"bind 127.0.0.1:{self.tls_port} ssl crt {certificate}"
        text = edit(SHIPPED.read_text())
        for shipped, own in changes.items():
            assert text.count(shipped) == 1, shipped
            text = text.replace(shipped, own)
        self._configuration = write(self._directory / "haproxy.cfg", text.encode())

    def __enter__(self) -> Self:
        command = [self._binary, "-db", "-f", str(self._configuration)]
        with self.log.open("w") as output:
            program = self._program = Program(
                command, self._directory, stdout=output, stderr=output, **account()
            )
        try:
            until(lambda: (answers(self.port) and self._console.exists()) or not program.runs)
            assert program.runs, self.log.read_text()
            until(self._takes_all)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _takes_all(self) -> bool:
        """Whether it takes all instances to be up; its socket is there before it listens."""
        try:
            return set(self.states().values()) == {"UP"}
        except ConnectionRefusedError:
            return False

    def __exit__(self, *_: object) -> None:
        if self._program:
            self._program.end(signal.SIGKILL)
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def pid(self) -> int:
        assert self._program
        return self._program.pid

    def states(self) -> dict[str, str]:
        """What it takes each instance for: UP, DOWN, or on the way to either."""
        return {name: row["status"] for name, row in self._instances().items()}

    def sessions(self) -> int:
        """How many requests the instances have been given and not answered yet."""
        return sum(int(row["scur"]) for row in self._instances().values())

    def _instances(self) -> dict[str, dict[str, str]]:
        with socket.socket(socket.AF_UNIX) as console:
            console.connect(str(self._console))
            console.sendall(b"show stat\n")
            shown = b"".join(iter(lambda: console.recv(65536), b"")).decode()
        rows = csv.DictReader(shown.removeprefix("# ").strip().splitlines())
        return {
            row["svname"]: row
            for row in rows
            if row["pxname"] == "instances" and row["svname"] != "BACKEND"
        }


def problems() -> list[str]:
    """What it finds wrong with the shipped file."""
    command = [need("haproxy"), "-c", "-f", str(SHIPPED)]
    checked = subprocess.run(command, capture_output=True, text=True)
    said = checked.stdout + checked.stderr
    return [line for line in said.splitlines() if re.search(r"WARNING|ALERT|ERROR", line)]
