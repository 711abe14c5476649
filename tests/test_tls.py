"""TLS to the database: the right server is trusted, and any other stops the start with one line."""

from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from app import create_app
from app.core.config import FAILED_TO_LOAD
from app.db.base import db
from tests.conftest import PASSWORD, settings_for
from tests.databases import migrate
from tests.rig.certificates import Authority
from tests.rig.cluster import Cluster
from tests.rig.encrypted import encrypted
from tests.rig.neon import Neon, upgrade
from tests.rig.pgbouncer import PgBouncer
from tests.rig.programs import write
from tests.rig.service import refused, served

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project() -> Iterator[Neon]:
    """A project with an empty database."""
    with Cluster.throwaway() as cluster:
        yield Neon.create(cluster.url)


@pytest.fixture(scope="module")
def pooler(project: Neon) -> Iterator[PgBouncer]:
    """What stands before it, with TLS."""
    with PgBouncer(project.superuser_url) as made:
        yield made


@pytest.fixture(scope="module")
def elsewhere(project: Neon) -> Iterator[PgBouncer]:
    """A server whose certificate is for another host."""
    with PgBouncer(project.superuser_url, names=("db.example.com",)) as made:
        yield made


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """The bundle of an authority that has signed nothing here."""
    return write(tmp_path / "stranger.pem", Authority("Stranger").certificate)


@pytest.fixture
def wrong(
    request: pytest.FixtureRequest,
    project: Neon,
    pooler: PgBouncer,
    elsewhere: PgBouncer,
    stranger: Path,
) -> tuple[str, str]:
    """A URL whose server is not the one it should be, and what is said of it."""
    plain = project.owner_url.replace("127.0.0.1", "localhost")
    return {
        "authority": (pooler.through(project.owner_url, sslrootcert=str(stranger)), "authority"),
        "host name": (elsewhere.through(project.owner_url), "host name"),
        "plain text": (f"{plain}?sslmode=require", "TLS"),
        "no channel binding": (
            pooler.through(project.owner_url, channel_binding="require"),
            "channel_binding",
        ),
        "no bundle named": (
            pooler.through(project.owner_url).split("&sslrootcert")[0],
            "authority",
        ),
    }[request.param]


def one_line(output: str, url: str) -> str:
    """The only line that was printed beside the log's, without any secret in it."""
    password = url.split(":")[2].split("@")[0]
    assert password not in output
    assert "postgresql://" not in output
    assert "Traceback" not in output
    (line,) = [line for line in output.splitlines() if not line.startswith("{")]
    return line


def test_the_right_server_is_trusted_from_migration_to_service(
    project: Neon, pooler: PgBouncer, tmp_path: Path
) -> None:
    pooled = pooler.through(project.owner_url)
    project.migrate(pooled)
    with (
        served(tmp_path / "log", DATABASE_URL=pooled, WEB_CONCURRENCY="1") as (base, _),
        urlopen(f"{base}/health/db", timeout=30) as response,
    ):
        assert response.status == 200
    assert "postgresql://" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "wrong",
    ["authority", "host name", "plain text", "no channel binding", "no bundle named"],
    indirect=True,
)
def test_a_server_that_is_not_the_right_one_stops_the_start_with_one_line(
    wrong: tuple[str, str], tmp_path: Path
) -> None:
    url, told = wrong
    status, output = refused(tmp_path / "log", DATABASE_URL=url, HOME=str(tmp_path))
    line = one_line(output, url)
    assert line.startswith("Configuration: DATABASE_URL")
    assert told in line
    assert status == FAILED_TO_LOAD


@pytest.mark.parametrize("wrong", ["authority"], indirect=True)
def test_a_migration_to_the_wrong_server_ends_with_one_line(
    wrong: tuple[str, str], tmp_path: Path
) -> None:
    url, _ = wrong
    done = upgrade(DATABASE_URL=url, HOME=str(tmp_path))
    line = one_line(done.stdout + done.stderr, url)
    assert line.startswith("Error: nothing was migrated: ")
    assert done.returncode == 1


@pytest.mark.parametrize("variable", ["DATABASE_URL", "DATABASE_URL_UNPOOLED"])
def test_a_bundle_that_is_not_there_stops_the_start_before_any_connection(
    project: Neon, pooler: PgBouncer, tmp_path: Path, variable: str
) -> None:
    missing = pooler.through(project.owner_url, sslrootcert=str(tmp_path / "missing.pem"))
    urls = {"DATABASE_URL": pooler.through(project.owner_url), variable: missing}
    status, output = refused(tmp_path / "log", **urls)
    expected = f"{variable} expects sslrootcert to name a file of certificates that can be read"
    assert one_line(output, missing) == f"Configuration: {expected}"
    assert status == FAILED_TO_LOAD
    done = upgrade(**urls)
    assert one_line(done.stdout + done.stderr, missing).endswith(expected)
    assert done.returncode != 0


def test_channel_binding_may_be_required_of_a_server_that_offers_it(tmp_path: Path) -> None:
    authority = Authority()
    bundle = write(tmp_path / "authority.pem", authority.certificate)
    with encrypted(authority) as server:
        url = f"{server}?sslmode=verify-full&sslrootcert={bundle}&channel_binding=require"
        migrate(url)
        app = create_app(settings_for(url))
        credentials = {"email": "grace@example.com", "password": PASSWORD}
        registered = app.test_client().post("/v1/auth/register", json=credentials)
        assert registered.status_code == 201, registered.text
        with app.app_context():
            db.engine.dispose()
