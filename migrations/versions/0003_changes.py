"""A feed of changes: its indexes, and up to where deletions have been removed for good.

Each index is made only if it is not there yet. On a large table, make them beforehand with the same
definitions and `create index concurrently`, which holds no write back.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = ("tasks", "categories")


def upgrade() -> None:
    op.add_column(
        "users", sa.Column("purged_version", sa.BigInteger, nullable=False, server_default="0")
    )
    for table in TABLES:
        op.create_index(f"ix_{table}_version", table, ["user_id", "version"], if_not_exists=True)
    op.execute("grant select (purged_version) on users to tasks_app")
    op.execute(
        "grant select (purged_version), update (purged_version) on users to tasks_maintenance"
    )
    op.execute(
        """
        create policy purge on users for update to tasks_maintenance
            using (true) with check (true)
        """
    )


def downgrade() -> None:
    op.execute("drop policy purge on users")
    for table in TABLES:
        op.drop_index(f"ix_{table}_version", table)
    op.drop_column("users", "purged_version")
