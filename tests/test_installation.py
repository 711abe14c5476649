"""The locks install what they pin, with an old pip and after every dependency was released anew."""

import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from packaging.utils import canonicalize_name

from tests.package_index import PackageIndex, pins_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
LOCKS = (
    "requirements.txt",
    "requirements-embedded.txt",
    "requirements-otel.txt",
    "requirements-dev.txt",
    "benchmarks/peers/requirements.txt",
)
SERVICE = ("requirements.txt", "requirements-embedded.txt", "requirements-otel.txt")

# The pip that comes with Python 3.11.0; it does not run on 3.12, which comes with the other one.
# Both are older than 24, which first took `name[extra]` for the `name` that a lock pins.
OLD_PIP, OLD_PIP_HASH = (
    ("22.3", "1daab4b8d3b97d1d763caeb01a4640a2250a0ea899e257b1e44b9eded91e15ab")
    if sys.version_info < (3, 12)
    else ("23.2.1", "7ccf472345f20d35bdc9d1841ff5f313260c2c33fe417f48c30ac46cccabf5be")
)


@pytest.fixture(scope="module")
def old_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory to import the old pip from; skips where there is no network to fetch it."""
    directory = tmp_path_factory.mktemp("pip")
    wanted = directory / "requirements.txt"
    wanted.write_text(f"pip=={OLD_PIP} --hash=sha256:{OLD_PIP_HASH}")
    download = ["download", "--no-deps", "--require-hashes", "--dest", directory, "-r", wanted]
    network = ["--retries", "2", "--timeout", "20"]
    command = [sys.executable, "-m", "pip", "--no-input", *network, *download]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if found.returncode and re.search("[Cc]onnection|No matching distribution", found.stderr):
        pytest.skip(f"pip {OLD_PIP} is not installed, and there is no network to fetch it from")
    assert found.returncode == 0, found.stderr
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:  # Without its metadata pip takes itself for no package.
        archive.extractall(directory, [name for name in archive.namelist() if "pip/" in name])
    return directory


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> PackageIndex:
    locks = [(ROOT / name).read_text() for name in LOCKS]
    return PackageIndex(tmp_path_factory.mktemp("index"), locks)


class Environment:
    """A virtual environment that the old pip installs into, from an index of stubs alone."""

    def __init__(self, directory: Path, pip: Path, index: PackageIndex) -> None:
        self._directory = directory
        self._pip = pip
        self._index = index
        self._python = directory / "bin" / "python"
        create = [sys.executable, "-m", "venv", "--without-pip", directory]
        subprocess.run(create, check=True, timeout=60)

    def install(self, *locks: str) -> None:
        """Install locks in one command, which must succeed and leave nothing broken."""
        done = self.try_install(*((ROOT / lock).read_text() for lock in locks))
        assert done.returncode == 0, done.stdout + done.stderr
        check = self._run("check")
        assert check.returncode == 0, check.stdout + check.stderr

    def try_install(self, *texts: str) -> CompletedProcess[str]:
        """Have pip install what locks say."""
        arguments = ["--no-cache-dir", "--no-compile", "--require-hashes"]
        for number, text in enumerate(texts):
            lock = self._directory / f"{number}.txt"
            lock.write_text(self._index.lock(text))
            arguments += ["--requirement", str(lock)]
        return self._run("install", "--index-url", self._index.url, *arguments)

    def _run(self, *arguments: str) -> CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
        return subprocess.run(
            [self._python, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments],
            env={**kept, "PYTHONPATH": str(self._pip), "PIP_CONFIG_FILE": os.devnull},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def installed(self) -> dict[str, str]:
        """Every package and its version."""
        packages = sysconfig.get_path("purelib", "venv", {"base": str(self._directory)})
        found = importlib.metadata.distributions(path=[packages])
        return {canonicalize_name(one.name): one.version for one in found}


@pytest.fixture
def environment(tmp_path: Path, old_pip: Path, index: PackageIndex) -> Environment:
    return Environment(tmp_path / "environment", old_pip, index)


def pinned(*locks: str) -> dict[str, str]:
    """What has to be there once these locks are installed."""
    pins = [pin for lock in locks for pin in pins_of((ROOT / lock).read_text()) if pin.applies]
    return {pin.name: pin.version for pin in pins}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_installs_what_it_pins_and_nothing_newer(
    environment: Environment, lock: str
) -> None:
    environment.install(lock)
    assert environment.installed() == pinned(lock)


def test_the_locks_of_the_service_install_in_one_command(environment: Environment) -> None:
    environment.install(*SERVICE)
    assert environment.installed() == pinned(*SERVICE)


def test_an_optional_lock_installs_after_the_first(environment: Environment) -> None:
    first, *_, tracing = SERVICE
    environment.install(first)
    environment.install(tracing)
    assert environment.installed() == pinned(first, tracing)


def test_an_extra_that_is_not_pinned_is_noticed_here(environment: Environment) -> None:
    entries = re.split(r"(?m)^(?=\S)", (ROOT / "requirements.txt").read_text())
    lock = "".join(entry for entry in entries if not entry.startswith("pydantic[email]=="))
    done = environment.try_install(lock)
    assert done.returncode == 1
    assert "In --require-hashes mode, all requirements must have" in done.stderr


def test_every_lock_pins_both_forms_of_what_has_extras(tmp_path: Path) -> None:
    for lock in LOCKS:
        text = (ROOT / lock).read_text()
        copy = tmp_path / "lock.txt"
        copy.write_text(text)
        pin = [sys.executable, ROOT / ".ci" / "pin_extras.py", copy]
        subprocess.run(pin, check=True, timeout=60)
        assert copy.read_text() == text, lock
