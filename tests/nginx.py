"""nginx with the configuration that is shipped, on free ports of 127.0.0.1."""

import re
import shutil
import signal
import subprocess
from typing import Self

from tests.conftest import ROOT
from tests.locks import until
from tests.rig.programs import Program, account, answers, free_port, need, own_directory, write

SHIPPED = ROOT / "docs" / "operations" / "nginx.conf"

AROUND = """
daemon off;
pid {directory}/pid;
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    scgi_temp_path {directory}/scgi;
    uwsgi_temp_path {directory}/uwsgi;
    gzip on;  # as Debian has it
    include {directory}/tasks.conf;
}}
"""


class Nginx:
    """Before the instances on these ports; with a certificate and its key, over TLS as well."""

    def __init__(self, *instances: int, pem: bytes = b"") -> None:
        self._binary = need("nginx")
        self._directory = own_directory()
        self._program: Program | None = None
        self.log = self._directory / "log"
        self.port, self.tls_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        certificate = write(self._directory / "tasks.pem", pem)
        changes = {
            "listen 80;": f"listen 127.0.0.1:{self.port};",
            "192.0.2.11:8000": f"127.0.0.1:{instances[0]}",
            "192.0.2.12:8000": f"127.0.0.1:{instances[-1]}",
            "unix:/run/": f"unix:{self._directory}/",
            "TASKS.EXAMPLE.COM": "localhost",
        }
        if pem:
            changes["# listen 443 "] = f"listen 127.0.0.1:{self.tls_port} "
            changes["# ssl_certificate"] = "ssl_certificate"
            changes["/etc/nginx/tasks.pem"] = str(certificate)
        text = SHIPPED.read_text()
        for shipped, own in changes.items():
            assert shipped in text, shipped
            text = text.replace(shipped, own)
        write(self._directory / "tasks.conf", text.encode())
        around = AROUND.format(directory=self._directory)
        configuration = write(self._directory / "nginx.conf", around.encode())
        self._command = [self._binary, "-e", "stderr", "-c", str(configuration)]

    def __enter__(self) -> Self:
        with self.log.open("w") as output:
            program = self._program = Program(
                self._command, self._directory, stdout=output, stderr=output, **account()
            )
        try:
            until(lambda: answers(self.port) or not program.runs)
            assert program.runs, self.log.read_text()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._program:
            self._program.end(signal.SIGKILL)
        shutil.rmtree(self._directory, ignore_errors=True)

    def problems(self) -> list[str]:
        """What it finds wrong with the file."""
        command = [*self._command, "-t"]
        checked = subprocess.run(command, capture_output=True, text=True, cwd="/", **account())
        said = checked.stdout + checked.stderr
        assert "test is successful" in said, said
        return re.findall(r"^.*\[(?:warn|emerg|alert|error)\].*$", said, re.M)
