"""Tasks have subtasks, in at most five levels.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import context, op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# Each task that gets a parent or becomes live is checked when the whole statement has been done, or
# the whole transaction where that defers it, so that parents and children may be written in any
# order. A level is one step up or down.
CHECK_PARENT = """
create function check_parent() returns trigger language plpgsql as $$
declare
    task uuid := new.id;
    above uuid;
    next_above uuid;
    below uuid[] := array[new.id];
    levels integer := 1;
begin
    -- What was restored with its parent is where it was.
    if new.parent_id = old.parent_id and exists (
        select from tasks t where t.user_id = new.user_id and t.id = new.parent_id
            and t.deleted_at is null and t.version > new.version and t.updated_at = new.updated_at
    ) then
        return null;
    end if;
    select t.parent_id into above from tasks t
        where t.user_id = new.user_id and t.id = new.id and t.deleted_at is null;
    while above is not null loop
        if above = new.id then
            raise 'a task is below itself'
                using errcode = '23514', constraint = 'ck_tasks_cycle', detail = new.id;
        end if;
        levels := levels + 1;
        if levels > 5 then
            raise 'too many levels'
                using errcode = '23514', constraint = 'ck_tasks_depth', detail = new.id;
        end if;
        select t.parent_id into next_above from tasks t
            where t.user_id = new.user_id and t.id = above and t.deleted_at is null;
        if not found then
            raise 'there is no such parent'
                using errcode = '23503', constraint = 'fk_tasks_parents', detail = task;
        end if;
        task := above;
        above := next_above;
    end loop;
    loop
        below := array(
            select t.id from tasks t
                where t.user_id = new.user_id and t.parent_id = any (below)
                    and t.deleted_at is null
        );
        exit when cardinality(below) = 0;
        levels := levels + 1;
        if levels > 5 then
            raise 'too many levels'
                using errcode = '23514', constraint = 'ck_tasks_depth', detail = new.id;
        end if;
    end loop;
    return null;
end $$;
create constraint trigger check_parent_of_new after insert on tasks
    deferrable for each row when (new.parent_id is not null and new.deleted_at is null)
    execute function check_parent();
create constraint trigger check_parent after update of parent_id, deleted_at on tasks
    deferrable for each row when (new.parent_id is not null and new.deleted_at is null
        and (new.parent_id is distinct from old.parent_id or old.deleted_at is not null))
    execute function check_parent();
"""

INDEXES = {
    "ix_tasks_parent_id": "on tasks (user_id, parent_id) where parent_id is not null",
}
"""Built once the migration is committed (migrations/env.py)."""

PARENTS = """
alter table tasks add constraint fk_tasks_parents foreign key (user_id, parent_id)
    references tasks on delete set null (parent_id) deferrable not valid
"""


def upgrade() -> None:
    op.add_column("tasks", sa.Column("parent_id", sa.Uuid))
    if context.is_offline_mode():
        for name, definition in INDEXES.items():
            op.execute(f"create index {name} {definition}")
    op.execute(PARENTS)
    if context.is_offline_mode():
        op.execute("alter table tasks validate constraint fk_tasks_parents")
    op.execute(CHECK_PARENT)


def downgrade() -> None:
    op.execute("drop trigger check_parent on tasks")
    op.execute("drop trigger check_parent_of_new on tasks")
    op.execute("drop function check_parent")
    op.drop_column("tasks", "parent_id")
