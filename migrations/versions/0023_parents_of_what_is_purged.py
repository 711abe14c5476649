"""On a cluster a purge takes the parent away from the subtasks of what it removes.

One server's foreign key does that; that of a cluster cannot.

Revision ID: 0023
Revises: 0022
"""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("grant update (parent_id) on tasks to tasks_maintenance")


def downgrade() -> None:
    op.execute("revoke update (parent_id) on tasks from tasks_maintenance")
