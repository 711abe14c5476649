"""A package index on disk, whose wheels are empty but require what the real packages require.

It shows what an installer makes of a lock on the day a dependency has a newer release, without
waiting for that day and without a network.
"""

import hashlib
import importlib.metadata
import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.markers import Marker
from packaging.utils import canonicalize_name

# As pip sees it, a newer release; no upper bound and no `~=` of a dependent excludes it.
NEWER = ".post1"

_ENTRY = re.compile(
    r"(?P<name>[a-z0-9.-]+)(\[(?P<extras>[a-z0-9,-]+)\])?"
    r"==(?P<version>\S+)( ; (?P<marker>.+))? \\\n"
)
_PARENT = re.compile(r"^    #(?: via)? +([a-z0-9.-]+)$", re.M)


class Pin(NamedTuple):
    """An entry of a lock; `parents` are the packages that a comment says require it."""

    name: str
    extras: tuple[str, ...]
    version: str
    marker: str | None
    parents: tuple[str, ...]

    @property
    def applies(self) -> bool:
        """Whether it is meant for this Python on this machine."""
        return self.marker is None or Marker(self.marker).evaluate()

    @property
    def line(self) -> str:
        """The requirement as the lock has it."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        marker = f" ; {self.marker}" if self.marker else ""
        return f"{self.name}{extras}=={self.version}{marker}"


def pins_of(lock: str) -> list[Pin]:
    """Every entry of a lock."""
    return [_pin(entry) for entry in re.split(r"(?m)^(?=[^\s#])", lock)[1:]]


def _pin(entry: str) -> Pin:
    found = _ENTRY.match(entry)
    assert found, f"not an entry of a lock: {entry[:100]}"
    extras = tuple(found["extras"].split(",")) if found["extras"] else ()
    parents = tuple(_PARENT.findall(entry))
    return Pin(found["name"], extras, found["version"], found["marker"], parents)


class PackageIndex:
    """Offers each package of some locks in its pinned version and in a newer one."""

    def __init__(self, directory: Path, locks: Iterable[str]) -> None:
        self.url = directory.as_uri()
        self._directory = directory
        self._hashes: dict[tuple[str, str], str] = {}
        for pins in map(pins_of, locks):
            for pin in pins:
                if (pin.name, pin.version) not in self._hashes:
                    self._offer(pin.name, pin.version, _requirements(pin, pins))

    def lock(self, text: str) -> str:
        """The lock, with the hashes of this index's wheels."""
        lines = (f"{p.line} --hash=sha256:{self._hashes[p.name, p.version]}" for p in pins_of(text))
        return "\n".join(lines)

    def _offer(self, name: str, version: str, requirements: Sequence[str]) -> None:
        page = self._directory / name
        page.mkdir(exist_ok=True)
        for offered in (version, version + NEWER):
            wheel = _wheel(page, name, offered, requirements)
            self._hashes[name, offered] = hashlib.sha256(wheel.read_bytes()).hexdigest()
        links = (f'<a href="{path.name}">{path.name}</a>\n' for path in page.glob("*.whl"))
        (page / "index.html").write_text("<!DOCTYPE html>\n" + "".join(links))


def _requirements(pin: Pin, pins: list[Pin]) -> list[str]:
    """Lines of METADATA: those of the installed package, else what the lock's comments tell."""
    try:
        installed = importlib.metadata.distribution(pin.name)
    except importlib.metadata.PackageNotFoundError:
        installed = None
    if installed is not None and installed.version == pin.version:
        extras = installed.metadata.get_all("Provides-Extra") or []
        required = installed.requires or []
    else:
        extras = [extra for p in pins if p.name == pin.name for extra in p.extras]
        children = [p for p in pins if pin.name in p.parents and not p.extras]
        required = [f"{p.name} ; {p.marker}" if p.marker else p.name for p in children]
    return [
        *(f"Provides-Extra: {extra}" for extra in extras),
        *(f"Requires-Dist: {line}" for line in required),
    ]


def _wheel(page: Path, name: str, version: str, requirements: Sequence[str]) -> Path:
    stem = f"{canonicalize_name(name).replace('-', '_')}-{version}"
    files = {
        "METADATA": [
            "Metadata-Version: 2.1",
            f"Name: {name}",
            f"Version: {version}",
            *requirements,
        ],
        "WHEEL": [
            "Wheel-Version: 1.0",
            "Generator: tests",
            "Root-Is-Purelib: true",
            "Tag: py3-none-any",
        ],
    }
    files["RECORD"] = [f"{stem}.dist-info/{file},," for file in (*files, "RECORD")]
    path = page / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, lines in files.items():
            archive.writestr(f"{stem}.dist-info/{file}", "\n".join([*lines, ""]))
    return path
