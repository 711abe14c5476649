"""A trash: what was deleted can be listed, and erased before it is purged.

Each index is made only if it is not there yet. On a large table, add the columns beforehand, and
make the indexes with the same definitions and `create index concurrently`, which holds no write
back.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

IN_TRASH = "deleted_at IS NOT NULL AND erased_version IS DISTINCT FROM version"

# What is left of an erased row; any later write gives it another version, and is free.
EMPTY = {
    "tasks": "deleted_at is not null and title = '-' and description is null and not complete and"
    " priority = 0 and due_date is null and due_at is null and category_id is null",
    "categories": "deleted_at is not null and name = '-' and color is null",
}


def upgrade() -> None:
    for table, empty in EMPTY.items():
        op.add_column(table, sa.Column("erased_version", sa.BigInteger), if_not_exists=True)
        op.create_check_constraint(
            op.f(f"ck_{table}_erased"),
            table,
            f"erased_version is distinct from version or ({empty})",
        )
        op.create_index(
            f"ix_{table}_trash",
            table,
            ["user_id", "deleted_at", "id"],
            postgresql_where=sa.text(IN_TRASH),
            if_not_exists=True,
        )


def downgrade() -> None:
    for table in EMPTY:
        op.drop_index(f"ix_{table}_trash", table)
        op.drop_column(table, "erased_version")
