"""By which column each table is distributed, as the migrations that create them say."""

from typing import Final

from app.core.config import ROOT

ATTRIBUTE: Final = "distributed_by"
"""In a migration that adds tables: their names, each with the column by which its rows are spread
over the servers of a cluster, or None if it stays on the coordinator.
"""


def distributions() -> dict[str, str | None]:
    """Return the column of each table, those first that others refer to."""
    from alembic.script import ScriptDirectory  # which no other command needs

    scripts = ScriptDirectory(str(ROOT / "migrations"))
    found: dict[str, str | None] = {}
    for script in reversed(list(scripts.walk_revisions())):
        found |= getattr(script.module, ATTRIBUTE, {})
    return found
