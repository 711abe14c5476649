"""Search that reads no more than it must, and orders that filters are checked in.

Each index is made only if it is not there yet. On a large table, make them beforehand with the same
definitions and `create index concurrently`, which holds no write back.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LIVE = sa.text("deleted_at IS NULL")


def due_or(other: str) -> sa.TextClause:
    """The expression of an index on when a task is due, with another value for never."""
    return sa.text(f"(case when due is null then '{other}'::timestamptz else due end)")


ORDERS = {
    "created_at": "created_at",
    "updated_at": "updated_at",
    "due_ascending": due_or("infinity"),
    "due_descending": due_or("-infinity"),
    "priority": "priority",
    "title_key": "title_key",
}
FILTERED = ("complete", "priority", "category_id", "due", "updated_at")

# What a user's texts are indexed by: each three letters in a row, behind eight digits of the user's
# id, so that an entry is one user's. Those that begin with one or two letters are a range of them.
PIECES = """
create or replace function text_pieces(owner uuid, title text, description text) returns tsvector
language plpgsql immutable parallel safe cost 10000 as $$
declare
    letters constant text := lower(title || chr(10) || coalesce(description, ''));
    prefix constant text := right(owner::text, 8);
    pieces text[] := '{}';
begin
    for place in 1..length(letters) loop
        pieces[place] := prefix || substr(letters, place, 3);
    end loop;
    return array_to_tsvector(pieces);
end $$
"""

PIECES_SOUGHT = r"""
create function pieces_sought(owner uuid, sought text) returns tsquery
language plpgsql immutable parallel safe as $$
declare
    letters constant text := lower(sought);
    prefix constant text := right(owner::text, 8);
    shorter constant text := case when length(letters) < 3 then ':*' else '' end;
begin
    return string_agg('''' || replace(replace(prefix || substr(letters, place, 3),
            '\', '\\'), '''', '''''') || '''' || shorter, ' & ')::tsquery
        from generate_series(1, greatest(1, length(letters) - 2)) place;
end $$
"""

# Without a policy's barrier in the way, as the operators of a search are not leakproof; so it is
# this function that keeps users apart. First it looks at 25 tasks in each of eight places of the
# user's time: what is in every twentieth and all over is found sooner by reading on in order.
SEARCH = """
create function search_tasks(sought text, pattern text, most integer) returns uuid[]
language plpgsql stable security definer as $$
declare
    me constant uuid := nullif(current_setting('app.user_id', true), '')::uuid;
    wanted constant tsquery := pieces_sought(me, sought);
    found uuid[];
begin
    if is_common(me, pattern) then
        return null;
    end if;
    select array_agg(id) into found from (
        select id from tasks
            where user_id = me and deleted_at is null and version <= 500
                and (title ilike pattern or description ilike pattern)
        union all
        select id from (
            select user_id, id, title, description from tasks
                where deleted_at is null and version > 500
                    and text_pieces(user_id, title, description) @@ wanted
                offset 0
            ) candidate
            where user_id = me and (title ilike pattern or description ilike pattern)
        limit most + 1
    ) matching;
    return case when cardinality(found) > most then null else coalesce(found, '{}') end;
end $$
"""

COMMON = """
create function is_common(owner uuid, pattern text) returns boolean
language plpgsql stable as $$
declare
    earliest timestamptz;
    latest timestamptz;
    hits integer;
    places integer;
begin
    select created_at into earliest from tasks
        where user_id = owner and deleted_at is null order by created_at, id limit 1;
    select created_at into latest from tasks
        where user_id = owner and deleted_at is null order by created_at desc, id desc limit 1;
    select coalesce(sum(here), 0), count(*) filter (where here > 0) into hits, places
        from generate_series(0, 7) place, lateral (
            select count(*) filter (where title ilike pattern or description ilike pattern) as here
                from (
                    select title, description from tasks
                        where user_id = owner and deleted_at is null
                            and created_at >= earliest + (latest - earliest) * place / 8
                        order by created_at, id limit 25
                ) sample
        ) found;
    return hits >= 10 and places >= 5;
end $$
"""

OWNERSHIP = """
do $$ begin
    execute format('alter function search_tasks set search_path = %I, pg_temp', current_schema());
    execute format('grant create on schema %I to tasks_search', current_schema());
    alter function search_tasks owner to tasks_search;
    execute format('revoke create on schema %I from tasks_search', current_schema());
end $$
"""

RIGHTS = """
grant select (user_id, id, title, description, version, created_at, deleted_at)
    on tasks to tasks_search;
create policy search on tasks for select to tasks_search using (true);
"""


def upgrade() -> None:
    op.execute(PIECES)
    op.execute(PIECES_SOUGHT)
    create_indexes()
    for name in ORDERS:
        op.drop_index(f"ix_tasks_{name}", "tasks")
    create_role()
    op.execute(RIGHTS)
    op.execute(COMMON)
    op.execute(SEARCH)
    op.execute("revoke execute on function search_tasks from public")
    op.execute("grant execute on function search_tasks to tasks_app")
    op.execute(OWNERSHIP)


def downgrade() -> None:
    op.execute("drop function search_tasks")
    op.execute("drop function is_common")
    op.execute("drop policy search on tasks")
    op.execute(
        "revoke select (user_id, id, title, description, version, created_at, deleted_at)"
        " on tasks from tasks_search"
    )
    drop_role()
    for name, key in ORDERS.items():
        op.create_index(f"ix_tasks_{name}", "tasks", ["user_id", key, "id"], postgresql_where=LIVE)
        op.drop_index(f"ix_tasks_by_{name}", "tasks")
    op.drop_index("ix_tasks_unindexed_text", "tasks")
    op.drop_index("ix_tasks_text", "tasks")
    op.execute("drop function pieces_sought")
    op.execute("drop function text_pieces")


def create_indexes() -> None:
    for name, key in ORDERS.items():
        op.create_index(
            f"ix_tasks_by_{name}",
            "tasks",
            ["user_id", key, "id", *(column for column in FILTERED if column != name)],
            postgresql_where=LIVE,
            if_not_exists=True,
        )
    op.create_index(
        "ix_tasks_text",
        "tasks",
        [sa.text("text_pieces(user_id, title, description)")],
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": 256},
        postgresql_where=sa.text("deleted_at IS NULL AND version > 500"),
        if_not_exists=True,
    )
    op.create_index(
        "ix_tasks_unindexed_text",
        "tasks",
        ["user_id"],
        postgresql_where=sa.text("deleted_at IS NULL AND version <= 500"),
        if_not_exists=True,
    )


def create_role() -> None:
    """As the first migration makes its roles; this user gives the function away to it."""
    op.execute(
        """
        do $$ begin
            if not exists (select from pg_roles where rolname = 'tasks_search') then
                begin
                    create role tasks_search nologin noinherit nobypassrls;
                exception when duplicate_object or unique_violation then null;
                end;
            end if;
            if not pg_has_role(current_user, 'tasks_search',
                case when current_setting('server_version_num')::int < 160000
                    then 'member' else 'set' end) then
                execute format('grant tasks_search to %I', current_user);
            end if;
            if not has_schema_privilege('tasks_search', current_schema(), 'usage') then
                execute format('grant usage on schema %I to tasks_search', current_schema());
            end if;
        end $$
        """
    )


def drop_role() -> None:
    """Drop the role, unless another database of the cluster needs it or it is not ours to drop."""
    op.execute(
        """
        do $$ begin
            execute format('revoke usage on schema %I from tasks_search', current_schema());
            drop role tasks_search;
        exception when dependent_objects_still_exist or insufficient_privilege then null;
        end $$
        """
    )
