"""Labels, of which a task has any number.

A task has its labels in `label_ids`. A trigger keeps the same in `task_labels`, by which tasks of a
label are found, and by which the database knows that each is a label of the task's own user.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

distributed_by = {"labels": "user_id", "task_labels": "user_id"}

OTHER = (
    r"[^\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028-\u2029\u202f\u205f\u3000]"
)
OWN = "user_id = nullif(current_setting('app.user_id', true), '')::uuid"

LABELS = f"""
create table labels (
    user_id uuid constraint fk_labels_users references users on delete cascade,
    id uuid,
    name text not null constraint ck_labels_name check (
        char_length(name) between 1 and 100 and name ~ '^({OTHER}.*)?{OTHER}$'
    ),
    color text constraint ck_labels_color check (color ~ '^#[0-9a-f]{{6}}$'),
    version bigint not null constraint ck_labels_version check (version > 0),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz,
    erased_version bigint,
    constraint pk_labels primary key (user_id, id),
    constraint ck_labels_erased check (erased_version is distinct from version
        or (deleted_at is not null and name = '-' and color is null))
);
create unique index uq_labels_name on labels (user_id, lower(name)) where deleted_at is null;
create index ix_labels_created_at on labels (user_id, created_at, id) where deleted_at is null;
create index ix_labels_version on labels (user_id, version);
create index ix_labels_deleted_at on labels (deleted_at) where deleted_at is not null;
create index ix_labels_trash on labels (user_id, deleted_at, id)
    where deleted_at is not null and erased_version is distinct from version;
grant select, insert, update on labels to tasks_app;
grant select, delete on labels to tasks_maintenance;
alter table labels enable row level security;
alter table labels force row level security;
create policy own_rows on labels to tasks_app using ({OWN}) with check ({OWN});
create policy purge on labels to tasks_maintenance using (deleted_at is not null);
"""

TASK_LABELS = f"""
create table task_labels (
    user_id uuid constraint fk_task_labels_users references users on delete cascade,
    label_id uuid,
    task_id uuid,
    constraint pk_task_labels primary key (user_id, label_id, task_id),
    constraint fk_task_labels_labels foreign key (user_id, label_id) references labels,
    constraint fk_task_labels_tasks foreign key (user_id, task_id) references tasks
        on delete cascade
);
create index ix_task_labels_task_id on task_labels (user_id, task_id);
grant select, insert, delete on task_labels to tasks_app;
alter table task_labels enable row level security;
alter table task_labels force row level security;
create policy own_rows on task_labels to tasks_app using ({OWN}) with check ({OWN});
"""

KEEP = """
create function keep_task_labels() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        delete from task_labels where user_id = new.user_id and task_id = new.id
            and label_id <> all (new.label_ids);
    end if;
    insert into task_labels (user_id, label_id, task_id)
        select new.user_id, unnest(new.label_ids), new.id on conflict do nothing;
    return null;
end $$;
create trigger keep_labels_of_new after insert on tasks
    for each row when (new.label_ids <> '{}') execute function keep_task_labels();
create trigger keep_labels after update of label_ids on tasks
    for each row when (old.label_ids <> new.label_ids) execute function keep_task_labels();
"""

# The tasks of the label that the fewest have; null if each has more than `most`.
RAREST = """
create function tasks_of_rarest_label(owner uuid, labels uuid[], most integer) returns uuid[]
language plpgsql stable as $$
declare
    label uuid;
    found_ids uuid[];
    fewest uuid[];
begin
    foreach label in array labels loop
        found_ids := array(
            select task_id from task_labels
                where user_id = owner and label_id = label limit most + 1
        );
        if cardinality(found_ids) <= least(most, coalesce(cardinality(fewest), most)) then
            fewest := found_ids;
        end if;
    end loop;
    return fewest;
end $$
"""

# Sorted and without repeats, so that two equal sets are equal arrays.
IS_SET = """
create function is_sorted_set(ids uuid[]) returns boolean
language sql immutable strict parallel safe as $$
    select ids = array(select distinct id from unnest(ids) id order by id)
$$
"""


def upgrade() -> None:
    op.execute(LABELS)
    op.execute(IS_SET)
    op.add_column(
        "tasks", sa.Column("label_ids", ARRAY(sa.Uuid), nullable=False, server_default="{}")
    )
    op.execute(
        "alter table tasks add constraint ck_tasks_label_ids check (label_ids = '{}' or"
        " cardinality(label_ids) <= 50 and is_sorted_set(label_ids)) not valid"
    )
    if context.is_offline_mode():
        op.execute("alter table tasks validate constraint ck_tasks_label_ids")
    op.execute(TASK_LABELS)
    op.execute(KEEP)
    op.execute(RAREST)


def downgrade() -> None:
    op.execute("drop function tasks_of_rarest_label")
    op.execute("drop trigger keep_labels on tasks")
    op.execute("drop trigger keep_labels_of_new on tasks")
    op.execute("drop function keep_task_labels")
    op.drop_table("task_labels")
    op.drop_column("tasks", "label_ids")
    op.execute("drop function is_sorted_set")
    op.drop_table("labels")
