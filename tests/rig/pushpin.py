"""Pushpin and zurl with the configuration that is shipped, on free ports of 127.0.0.1."""

import resource
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

from tests.conftest import ROOT
from tests.locks import until
from tests.rig.programs import Program, account, answers, free_port, need, own_directory, write

SHIPPED = ROOT / "docs" / "operations" / "pushpin"
INTERNAL = Path("/usr/lib/pushpin/internal.conf")
KEY = "0b7e4d1a92c35f68e0d4a7b3c9f1265d8e7a0c4b"
OPEN_FILES = 65536
"""What a service of systemd may open (LimitNOFILE), or as many as this account may here."""


class Session(Program):
    """A program that puts its children into process groups of their own."""

    def send(self, number: int) -> None:
        """Send the signal to all processes of its session."""
        subprocess.run([need("pkill"), f"-{number}", "-s", str(self.pid)])


class Pushpin:
    """Before the service on this port, whose setting GRIP_URL is `grip_url`; may end and begin."""

    def __init__(self, service_port: int, log_level: int = 2) -> None:
        self._binaries = need("zurl"), need("pushpin")
        need("condure")
        self._directory = own_directory()
        self.port, self.control_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.grip_url = f"http://127.0.0.1:{self.control_port}/?{urlencode({'key': KEY})}"
        self.programs: list[Program] = []
        self.log = self._directory / "log"
        run, sockets = self._directory / "run", self._directory / "zurl"
        internal = INTERNAL.read_text().replace("/var/run/zurl/", f"{sockets}/")
        write(self._directory / "internal.conf", internal.encode())
        self._fill("routes", {"127.0.0.1:8000": f"127.0.0.1:{service_port}"})
        self._zurl = self._fill("zurl.conf", {"/var/run/zurl/": f"{sockets}/"})
        self._pushpin = self._fill(
            "pushpin.conf",
            {
                str(INTERNAL): str(self._directory / "internal.conf"),
                "/var/run/pushpin": str(run),
                "/var/log/pushpin": str(self._directory),
                "http_port=127.0.0.1:7999": f"http_port=127.0.0.1:{self.port}",
                "push_in_http_port=5561": f"push_in_http_port={self.control_port}",
                "REPLACE_BY_THE_KEY_OF_GRIP_URL": KEY,
                "log_level=1": f"log_level={log_level}",
            },
        )

    def _fill(self, name: str, changes: dict[str, str]) -> Path:
        """The shipped file with the places and ports of this one."""
        text = (SHIPPED / name).read_text()
        for shipped, own in changes.items():
            assert shipped in text, shipped
            text = text.replace(shipped, own)
        return write(self._directory / name, text.encode())

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def start(self) -> None:
        """Start both, and return when Pushpin takes clients and news."""
        zurl, pushpin = self._binaries
        # Each part finds the sockets of the others when they appear; old ones would mislead them.
        for name in ("run", "zurl"):
            shutil.rmtree(self._directory / name, ignore_errors=True)
            (self._directory / name).mkdir(0o700)
            shutil.chown(self._directory / name, *self._owner())
        with self.log.open("a") as output:
            for command in (
                [zurl, f"--config={self._zurl}"],
                [pushpin, f"--config={self._pushpin}", "--merge-output"],
            ):
                options = {"stdout": output, "stderr": output, "preexec_fn": _may_open_many}
                program = Session(command, self._directory, **options, **account())
                self.programs.append(program)
        until(lambda: self._is_ready() or not all(each.runs for each in self.programs))
        assert all(each.runs for each in self.programs), self.log.read_text()

    def stop(self, number: int = signal.SIGKILL) -> None:
        """End both."""
        while self.programs:
            self.programs.pop().end(number)

    def send(self, number: int) -> None:
        """Send the signal to both."""
        for program in self.programs:
            program.send(number)

    def _is_ready(self) -> bool:
        return answers(self.port) and answers(self.control_port)

    def _owner(self) -> tuple[int | str, int | str]:
        options = account()
        own = self._directory.stat()
        return options.get("user", own.st_uid), options.get("group", own.st_gid)

    def printed(self) -> str:
        """What both have printed."""
        return self.log.read_text()

    def holds(self) -> int:
        """How many subscriptions have been made so far, of any client."""
        return self.printed().count("[handler] subscribe ")


def _may_open_many() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
