"""What `make run` starts once there is a database."""

import json
from pathlib import Path
from urllib.request import urlopen

from tests.conftest import gunicorn_process
from tests.databases import own_database


def test_an_empty_database_is_migrated_and_served(cluster: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with own_database(cluster) as url:
        serving = gunicorn_process(url, log, "app.development", APP_ENV="development")
        with serving as (base, _), urlopen(f"{base}/health/db", timeout=5) as response:
            health = json.load(response)
    assert (health["status"], health["revision"]["up_to_date"]) == ("ok", True)
    assert f"Documentation: {base}/docs" in log.read_text()
