"""docs/moving-in.md: its files are imported as it says, in the order of the page."""

import os
import subprocess
from pathlib import Path

import httpx
import pytest

from app.api.transfer.moving.archives import LARGEST_CONTENT, MOST_ENTRIES
from app.api.transfer.moving.forms import FORMS
from app.api.transfer.moving.found import MOST_LOSSES
from app.api.transfer.moving.json_file import LARGEST, MOST_VALUES
from app.api.transfer.moving.plain_text import MOST_LINES
from app.api.transfer.moving.ticktick.rows import MOST_ROWS
from app.api.transfer.moving.trees import MOST_TASKS
from app.api.transfer.progress import LONGEST_SECONDS, MOST_REFUSALS
from app.core.ids import new_id
from tests.conftest import PASSWORD, ROOT
from tests.rig.programs import need
from tests.test_documents import table_under
from tests.test_readme import MARK, steps

PAGE = (ROOT / "docs" / "moving-in.md").read_text()


@pytest.fixture
def environment(server: str) -> dict[str, str]:
    """What the tour leaves in the shell of somebody who has signed in."""
    body = {"email": f"{new_id()}@example.com", "password": PASSWORD}
    httpx.post(f"{server}/v1/auth/register", json=body).raise_for_status()
    pair = httpx.post(f"{server}/v1/auth/token", json=body).raise_for_status().json()
    return {**os.environ, "API": server, "AUTH": f"Authorization: Bearer {pair['access_token']}"}


def test_the_page_prints_what_it_shows(environment: dict[str, str], tmp_path: Path) -> None:
    need("curl")
    walk = steps(PAGE)
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"\necho '{MARK}'\n".join(each for each, _ in walk)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (run.returncode, run.stderr) == (0, "")
    printed = [text.strip() for text in run.stdout.split(MARK)]
    assert printed == [shown.strip() for _, shown in walk]


def test_the_page_names_every_format_with_its_media_types() -> None:
    first = PAGE.split("\n## ", 1)[0]
    rows = [line.split(" | ") for line in first.splitlines() if line.startswith("| `")]
    named = {row[0].strip("| `"): tuple(row[2].replace("`", "").split(", ")) for row in rows[1:]}
    assert named == {name: form.media_types for name, form in FORMS.items()}


def test_the_limits_on_the_page_are_those_of_the_code() -> None:
    sizes = [size // 1024**2 for size in (LARGEST, LARGEST_CONTENT)]
    for limit in (MOST_TASKS, MOST_VALUES, MOST_LOSSES, MOST_LINES, MOST_ROWS):
        assert f" {limit:,}" in PAGE
    assert f"at most {MOST_ENTRIES} entries and {sizes[1]} MiB unpacked" in " ".join(PAGE.split())
    assert f"at most {sizes[0]} MiB" in PAGE
    assert f"first {MOST_REFUSALS}" in PAGE
    assert f"at most {LONGEST_SECONDS:g} seconds" in PAGE
    assert table_under(PAGE, "Limits and errors")
