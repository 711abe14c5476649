"""What was moved in from other apps: of each task what came, and the version that it got.

So a newer export of the same account changes what nobody has touched here since, and nothing else.

Revision ID: 0021
Revises: 0020
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

distributed_by = {"moved_tasks": "user_id"}

OWN = "user_id = nullif(current_setting('app.user_id', true), '')::uuid"

MOVED_TASKS = f"""
create table moved_tasks (
    user_id uuid constraint fk_moved_tasks_users references users on delete cascade,
    task_id uuid,
    fingerprint bytea not null constraint ck_moved_tasks_fingerprint check (
        octet_length(fingerprint) = 32
    ),
    version bigint not null constraint ck_moved_tasks_version check (version > 0),
    constraint pk_moved_tasks primary key (user_id, task_id),
    constraint fk_moved_tasks_tasks foreign key (user_id, task_id) references tasks
        on delete cascade
);
grant select, insert, update (fingerprint, version) on moved_tasks to tasks_app;
alter table moved_tasks enable row level security;
alter table moved_tasks force row level security;
create policy own_rows on moved_tasks to tasks_app using ({OWN}) with check ({OWN});
"""


def upgrade() -> None:
    op.execute(MOVED_TASKS)


def downgrade() -> None:
    op.drop_table("moved_tasks")
