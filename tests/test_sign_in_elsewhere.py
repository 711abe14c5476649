"""The commands of docs/operations/sign-in-elsewhere.md do what is shown, on other ports."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from app.core.config import Settings
from tests.conftest import ROOT
from tests.databases import opened
from tests.rig.cluster import Cluster
from tests.rig.programs import answers, free_port, need
from tests.test_production_like import MARK, directory, run
from tests.test_readme import code, steps

PAGE = (ROOT / "docs" / "operations" / "sign-in-elsewhere.md").read_text()
PORTS = ("8003", "8004", "8005", "8006")


@pytest.mark.slow
def test_the_commands_print_what_is_shown_and_leave_nothing(tmp_path: Path) -> None:
    need("curl")
    need("openssl")
    walk = steps(PAGE)
    script = f"\necho '{MARK}'\n".join(commands for commands, _ in walk)
    ports = {shipped: free_port() for shipped in PORTS}
    for shipped, port in ports.items():
        assert shipped in script
        script = script.replace(shipped, str(port))
    script = script.replace(".venv/bin/python", shlex.quote(sys.executable))
    with Cluster.throwaway() as cluster, directory() as place:
        output = run(script, cluster.url, tmp_path / "log", place)
        printed = [step.strip() for step in output.split(MARK)]
        assert printed == [shown.strip() for _, shown in walk]
        with opened(cluster.url) as cursor:
            cursor.execute("select datname from pg_database where not datistemplate")
            assert cursor.fetchall() == [("postgres",)]
        assert list(place.iterdir()) == []
    assert not any(answers(port) for port in ports.values())


def test_the_settings_that_are_shown_are_accepted_in_production() -> None:
    (block,) = code(PAGE, "env")
    variables = dict(pair.split("=", 1) for pair in shlex.split(block))
    settings = Settings.from_environment(
        {**variables, "DATABASE_URL": "postgresql://tasks_service@localhost/tasks"}
    )
    assert settings.production
    assert settings.jwt_secret is None
    assert {ours for _, ours in settings.jwt_scopes} == {"tasks:read", "tasks:write", "account"}


def test_the_issuer_of_the_page_prints_its_usage_and_keeps_its_key_to_its_owner(
    tmp_path: Path,
) -> None:
    (program,) = set(re.findall(r"docs/operations/issuer/\S+\.py", PAGE))

    def issuer(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, program, *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    asked = issuer()
    assert (asked.returncode, asked.stdout) == (1, "")
    assert "issuer.py KEY token NAME=VALUE" in asked.stderr
    file = tmp_path / "key.pem"
    first, second = (issuer(str(file), "token", "sub=somebody", "sub=alice") for _ in range(2))
    assert file.stat().st_mode & 0o777 == 0o600
    for signed in (first, second):
        public = load_pem_private_key(file.read_bytes(), None).public_key()
        assert jwt.decode(signed.stdout.strip(), public, algorithms=["ES256"])["sub"] == "alice"
