"""The roles of the database, tried without the API."""

from typing import Any

from app.db.nodes import CITUS, IS_CLUSTER, ONE_SERVER


def act_as(cursor: Any, role: str, user_id: str = "") -> None:
    """Let the transaction go on as this role for this user, as the service does it."""
    cursor.execute(f"select {IS_CLUSTER}")
    [(is_cluster,)] = cursor.fetchall()
    nodes = CITUS if is_cluster else ONE_SERVER
    cursor.execute(nodes.assume(role, user_id, 60_000))
