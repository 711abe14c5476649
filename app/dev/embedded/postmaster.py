"""The server process that a data directory's postmaster.pid names, unless it is another by now."""

import hashlib
import os
import subprocess
from pathlib import Path
from typing import NamedTuple, Self

PID_FILE = "postmaster.pid"


class Postmaster(NamedTuple):
    """What postmaster.pid records; `status` is "ready" once the server takes connections."""

    pid: int
    port: int
    status: str

    @classmethod
    def recorded(cls, data: Path) -> Self | None:
        """Return what is recorded, whether or not the process runs."""
        try:
            lines = (data / PID_FILE).read_text().splitlines()
            status = lines[7].strip() if len(lines) > 7 else "starting"
            return cls(int(lines[0]), int(lines[3]), status)
        except (FileNotFoundError, IndexError, ValueError):
            return None

    @classmethod
    def running(cls, data: Path) -> Self | None:
        """Return what is recorded if that process is this server, not a zombie or a reused pid."""
        recorded = cls.recorded(data)
        if recorded is None:
            return None
        name = f"cluster_name={server_name(data)}".encode()
        if Path("/proc/self").exists():
            # Unlike the working directory, this can be read of another account's process.
            try:
                shown = Path(f"/proc/{recorded.pid}/cmdline").read_bytes()
            except OSError:
                return None
        else:
            command = ["ps", "-ww", "-o", "args=", "-p", str(recorded.pid)]
            shown = subprocess.run(command, capture_output=True).stdout
        return recorded if name in shown else None


def server_name(data: Path) -> str:
    """Return a name for the server of this data that a shell takes as it is, unlike a path."""
    return hashlib.sha256(os.fsencode(data)).hexdigest()[:32]
