"""The secret of development: random, one for all processes of a checkout, and its owner's alone."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import app as application
from app import create_app
from app.core import secrets
from app.core.config import ConfigurationError, Settings
from app.core.secrets import shared_secret
from app.core.setting_fields import is_weak
from tests.conftest import ROOT, settings_for
from tests.parallel import at_once


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".development-secret"


def test_the_secret_is_random_and_stays(path: Path, tmp_path: Path) -> None:
    made = shared_secret(path)
    assert not is_weak(made)
    assert shared_secret(path) == made == path.read_text()
    assert shared_secret(tmp_path / "other") != made


def test_the_file_is_for_its_owner_alone_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        shared_secret(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.slow
def test_all_who_make_it_at_once_have_the_same(path: Path) -> None:
    script = "import sys; from pathlib import Path; from app.core.secrets import shared_secret;"
    script += "print(shared_secret(Path(sys.argv[1])))"

    def ask() -> str:
        command = [sys.executable, "-c", script, str(path)]
        return subprocess.check_output(command, cwd=ROOT, text=True, timeout=60).strip()

    assert set(at_once([ask] * 4)) == {path.read_text()}


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    path.symlink_to(planted)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        shared_secret(path)
    assert not planted.exists()
    shared_secret(planted)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        shared_secret(path)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o666])
def test_a_file_that_others_can_read_is_not_taken(path: Path, mode: int) -> None:
    shared_secret(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="of its owner alone"):
        shared_secret(path)


@pytest.mark.parametrize("content", ["", "change-me-change-me-change-me-please"])
def test_a_file_without_a_secret_is_not_taken(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="remove it") as error:
        shared_secret(path)
    assert content == "" or content not in str(error.value)


def test_a_pipe_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigurationError):
        shared_secret(path)


def test_where_nothing_can_be_written_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^JWT_SECRET is required, as .* cannot be used"):
        shared_secret(tmp_path / "no such directory" / "secret")


def test_the_secret_has_nothing_of_the_databases_password(
    database_url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifiers = []
    for file in (path, path, path.with_name("other")):
        monkeypatch.setattr(application, "SECRET_FILE", file)
        settings = Settings.from_environment({"APP_ENV": "test", "DATABASE_URL": database_url})
        verifiers.append(create_app(settings).extensions["token_verifier"])
    same, again, other = (verifier.own[0].id for verifier in verifiers)
    assert same == again != other


def test_with_another_issuer_alone_keys_are_not_made_of_the_url_as_it_is(database_url: str) -> None:
    external = {
        "JWT_SECRET": "",
        "JWT_JWKS_URL": "https://issuer.example.com/keys",
        "JWT_ISSUER": "https://issuer.example.com",
        "JWT_AUDIENCE": "tasks",
    }
    settings = settings_for(database_url, **external)
    present, *accepted = create_app(settings).config[secrets.SETTING]
    plain = secrets.Keys.derive(str(settings.database_url))
    assert present != plain
    assert accepted == [plain]  # what earlier releases made is still taken
    assert create_app(settings).config[secrets.SETTING][0] == present
