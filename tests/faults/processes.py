"""What the machine tells of its processes and processors."""

import os
import subprocess
import time


def resident(pid: int) -> int:
    """The memory that the process holds, in bytes."""
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True)
    return int(shown.stdout.strip() or 0) * 1024


class Processors:
    """How busy all processors are from here on, whoever keeps them so."""

    def __init__(self) -> None:
        self.began = self._idle(), time.monotonic()

    def busy(self) -> float:
        """The part of the time that they have not been idle."""
        idle, since = self._idle() - self.began[0], time.monotonic() - self.began[1]
        return 1 - idle / since / (os.cpu_count() or 1)

    def _idle(self) -> float:
        """Seconds that they were idle, in all. Source: proc(5), /proc/uptime."""
        try:
            with open("/proc/uptime") as file:
                return float(file.read().split()[1])
        except FileNotFoundError:
            return float("nan")
