"""A sign-in may store a new hash of its user's password, in the present form.

The policy `lock` of migration 0001 lets it update the row of that user alone.

Revision ID: 0016
Revises: 0015
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("grant update (password_hash) on users to tasks_auth")


def downgrade() -> None:
    op.execute("revoke update (password_hash) on users from tasks_auth")
